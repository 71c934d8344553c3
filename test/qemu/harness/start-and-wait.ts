/** Started by the harness's own test, to be killed: a process that runs a guest, says its QEMU's pid and waits. */
import { startGuest } from "./guest.ts";
import { qemu } from "./qemus.ts";

const guest = await startGuest({ qemu: qemu("new"), kind: "boot" });
console.log(`${guest.pid} ${guest.folder}`);
await guest.exited;
