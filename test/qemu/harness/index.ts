/** Everything a test on a real QEMU needs. */
export { type GuestOptions, guestArgv, type SettledOptions, serialArgs } from "./argv.ts";
export { type CliRun, fixedram, startFixedram } from "./cli.ts";
export { type DiskCheck, fsck, sha256 } from "./files.ts";
export { Guest, type Status, startGuest, statusOf, type Verdict, verdictOf } from "./guest.ts";
export { atTestEnd, type Exit, startProcess, testFolder } from "./processes.ts";
export { CACHE, hasQemu, type Qemu, qemu, qemus, ROOT, requireAll } from "./qemus.ts";
export { type Heard, Serial } from "./serial.ts";
