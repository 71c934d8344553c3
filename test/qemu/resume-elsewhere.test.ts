/** Resuming where something is not as it was at the save: QEMU's hardware, its user; and the question asked on a terminal. */
import { spawn } from "node:child_process";
import { chmodSync, mkdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, test } from "vitest";
import {
  atTestEnd,
  fixedram,
  type Qemu,
  qemu,
  qemus,
  ROOT,
  requireAll,
  Serial,
  startGuest,
  testFolder,
  verdictOf,
} from "./harness/index.ts";
import { processesWith } from "./support/processes.ts";
import { saved } from "./support/saved.ts";
import { expectWell, noticesOf, refused, resume, saveRefused } from "./support/steps.ts";

/** A user without privileges may not write-protect memory, which a background save takes. */
const mayNotProtect = readFileSync("/proc/sys/vm/unprivileged_userfaultfd", "utf8").trim() === "0";

const isRoot = process.getuid?.() === 0;
if (!isRoot) console.warn("the tests of a QEMU of another user need root");
const testAsRoot = test.skipIf(!isRoot && !requireAll);
/** The option's old name went with QEMU 10. */
const asNobody = ({ major }: Qemu) => (major < 10 ? ["-runas", "nobody"] : ["-run-with", "user=nobody"]);

describe.each(qemus())("QEMU $label ($version)", (one) => {
  test("the same QEMU: nothing is said; more devices and another CPU, which QEMU takes in silence: said", async () => {
    const { guest, file, before } = await saved(one);
    const same = await resume(guest, file, one);
    expect(same.result.notices).toEqual([]);
    await same.quit();

    const more = ["-cpu", "Nehalem", "-device", "virtio-rng-pci"];
    const other = await resume(guest, file, one, { qemuArgs: more });
    const said = other.result.notices.map(({ level, code, message }) => `${level} ${code} ${message}`);
    expect(said).toEqual([
      expect.stringMatching(/^warning cpu-differs .*qemu64.*Nehalem/),
      expect.stringMatching(/^warning devices-differ .*virtio-rng-pci/),
    ]);
    expectWell(await other.verdict(), before);
    await other.quit();
  });

  test("another machine and less memory: said before QEMU refuses it", async () => {
    const { guest, file } = await saved(one);
    const argv = [one.path, "-nodefaults", "-display", "none", "-accel", "tcg", "-machine", "pc-q35-7.2", "-m", "32"];
    const { error, stderr } = await refused(["resume", file, "--json", "--", ...argv]);
    expect(error.code).toBe("qemu.load-failed");
    const said = noticesOf(stderr).join("\n");
    expect(said).toMatch(/machine-differs .*pc-i440fx-7\.2.*pc-q35-7\.2/);
    expect(said).toMatch(/memory-differs RAM block pc\.ram has 64 MiB in the snapshot, this QEMU has one of 32 MiB/);
    expect(guest.options.machine).toBe("pc-i440fx-7.2");
  });

  testAsRoot("QEMU runs as another user: saved and resumed, started and attached to", async () => {
    const { guest, file, before } = await saved(one, { extraArgs: asNobody(one) });
    const started = await resume(guest, file, one);
    expect(started.result.transport).toBe("multifd");
    if (one.label === "new") expect(started.result.transportReason).toContain("may not read");
    expectWell(await started.verdict(), before);
    await started.quit();

    const waiting = await startGuest({ ...guest.options, incoming: "defer" });
    // A folder that its user may not enter: said, and that QEMU goes on waiting.
    const shut = join(testFolder(), "shut");
    mkdirSync(shut, { mode: 0o700 });
    const attach = ["resume", file, "--qmp", waiting.qmpPath, "--json"];
    const { error } = await refused([...attach, "--socket-dir", shut]);
    expect(error).toMatchObject({ code: "qemu.cannot-reach", hint: expect.stringContaining("--socket-dir") });
    const run = await refused([...attach, "--socket-dir", join(shut, "none")]);
    expect(run.error.code).toMatch(/^system\./);

    const open = testFolder();
    chmodSync(open, 0o711);
    const done = await fixedram([...attach, "--socket-dir", open]);
    expect(done, done.stdout).toMatchObject({ code: 0 });
    expectWell(await waiting.verdict(), before);
    const out = join(testFolder(), "x.fram");
    expect((await saveRefused(waiting, out, "--socket-dir", shut)).error.code).toBe("qemu.cannot-reach");
    if (mayNotProtect) {
      const { error } = await saveRefused(waiting, out, "--mode", "background");
      expect(error).toMatchObject({ code: "qemu.no-background", hint: expect.stringContaining("userfaultfd") });
    }
    expectWell(await waiting.verdict(), before);
  });
});

/** `fixedram resume FILE` on a terminal of its own (script(1)): what it shows, and typing. */
function onTerminal(file: string, serialPath: string) {
  const words = [process.execPath, join(ROOT, "bin", "fixedram"), "resume", file];
  const command = words.map((word) => `'${word.replaceAll("'", "'\\''")}'`).join(" ");
  const child = spawn("script", ["-qec", command, "/dev/null"], { stdio: ["pipe", "pipe", "inherit"] });
  const ended = new Promise<number | null>((resolve) => child.once("exit", resolve));
  atTestEnd(() => {
    for (const pid of processesWith(serialPath)) process.kill(pid, "SIGKILL");
  });
  let shown = "";
  child.stdout.on("data", (text: Buffer) => {
    shown += text.toString();
  });
  const says = (pattern: RegExp) => expect.poll(() => shown, { timeout: 30_000 }).toMatch(pattern);
  return { says, type: (text: string) => child.stdin.write(text), ended, shown: () => shown };
}

describe("the recorded command on a terminal", () => {
  test("is shown, an argument a line, and runs after a yes", async () => {
    const { guest, file, before } = await saved(qemu("new"));
    const terminal = onTerminal(file, guest.serialPath);
    await terminal.says(/Run this command\? \[y\/N\]/);
    expect(terminal.shown()).toMatch(/^ {2}-chardev\r?\n {2}socket,id=serial0,/m);
    expect(processesWith(guest.serialPath)).toEqual([]);
    terminal.type("yes\r");
    await terminal.says(/Resumed/);
    const serial = await Serial.connect(guest.serialPath, 20_000);
    expectWell(await verdictOf(serial, "boot"), before);
    terminal.type("\x03");
    expect([0, 130]).toContain(await terminal.ended);
    expect(processesWith(guest.serialPath)).toEqual([]);
  });

  test.each([
    ["no", "no\r", 2, "usage.not-confirmed"],
    ["nothing", "\r", 2, "usage.not-confirmed"],
    ["the end of input", "\x04", 2, "usage.not-confirmed"],
    ["Ctrl-C", "\x03", 130, "interrupted.signal"],
  ])("does not run after %s", async (_what, typed, code, error) => {
    const { guest, file } = await saved(qemu("new"));
    const terminal = onTerminal(file, guest.serialPath);
    await terminal.says(/Run this command\? \[y\/N\]/);
    terminal.type(typed);
    expect(await terminal.ended, terminal.shown()).toBe(code);
    expect(terminal.shown()).toContain(error);
    expect(processesWith(guest.serialPath)).toEqual([]);
  });
});
