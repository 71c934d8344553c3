/** Ways to get a guest back, and what is refused before QEMU may touch anything. The guest has the last word. */
import { execFileSync } from "node:child_process";
import { openSync, writeFileSync, writeSync } from "node:fs";
import { open, readFile, truncate } from "node:fs/promises";
import { join } from "node:path";
import { describe, expect, test } from "vitest";
import type { SnapshotInfo } from "../../src/operations/inspect.ts";
import {
  fixedram,
  type GuestOptions,
  hasQemu,
  qemu,
  qemus,
  Serial,
  sha256,
  startFixedram,
  startGuest,
  testFolder,
  verdictOf,
} from "./harness/index.ts";
import { isRunning, processesWith } from "./support/processes.ts";
import { saved } from "./support/saved.ts";
import {
  expectWell,
  follow,
  refusalOf,
  refused,
  resume,
  resumeCommand,
  runState,
  save,
  settingsOf,
} from "./support/steps.ts";
import { onTerminal } from "./support/terminal.ts";

async function infoOf(file: string): Promise<SnapshotInfo> {
  const run = await fixedram(["info", file, "--json"]);
  expect(run, run.stdout).toMatchObject({ code: 0 });
  return JSON.parse(run.stdout) as SnapshotInfo;
}

describe.each(qemus())("QEMU $label ($version)", (one) => {
  test("--qmp attaches to a QEMU in -incoming defer, and leaves it running with its own settings", async () => {
    const { guest, file, before } = await saved(one);
    const waiting = await startGuest({ ...guest.options, incoming: "defer" });
    const qmp = await waiting.qmp();
    await qmp.execute("migrate-set-parameters", { "multifd-channels": 5, "max-bandwidth": 1_234_567 });
    const settings = await settingsOf(qmp);
    const run = await fixedram(["resume", file, "--qmp", waiting.qmpPath, "--json"]);
    expect(run, run.stdout).toMatchObject({ code: 0 });
    const transport = one.label === "old" ? "multifd" : "mapped-ram";
    expect(JSON.parse(run.stdout)).toMatchObject({ process: null, runState: "running", transport });
    expect(await settingsOf(qmp)).toEqual(settings);
    expectWell(await waiting.verdict(), before);

    const second = await refused(["resume", file, "--qmp", waiting.qmpPath, "--json"]);
    expect(second).toMatchObject({ code: 4, error: { code: "qemu.not-waiting", found: "running" } });
    expectWell(await waiting.verdict(), before);
  });

  test("--qmp --paused holds the guest", async () => {
    const { guest, file, before } = await saved(one);
    const waiting = await startGuest({ ...guest.options, incoming: "defer" });
    const run = await fixedram(["resume", file, "--qmp", waiting.qmpPath, "--paused", "--json"]);
    expect(run, run.stdout).toMatchObject({ code: 0 });
    const qmp = await waiting.qmp();
    expect(await runState(qmp)).toBe("paused");
    await qmp.execute("cont");
    expectWell(await waiting.verdict(), before);
  });

  test("the recorded command runs with --run-recorded, and not without a yes", async () => {
    const { guest, file, before } = await saved(one);
    const unasked = await refused(["resume", file, "--json"]);
    expect(unasked).toMatchObject({ code: 2, error: { code: "usage.not-confirmed" } });
    expect(processesWith(guest.serialPath)).toEqual([]);
    const resumed = await follow(["resume", file, "--json", "--run-recorded"], guest.serialPath, "boot");
    expectWell(await resumed.verdict(), before);
    await resumed.quit();
  });

  test("a guest whose memory is a file with other bytes in it gets a stream", async () => {
    const image = join(testFolder(), "memory");
    const file = { "memory-backend": "memory-backend-file", size: "64M" };
    const extraArgs = [
      ...["-object", `${file["memory-backend"]},id=ram0,size=${file.size},share=on,mem-path=${image}`],
      ...["-machine", "memory-backend=ram0"],
    ];
    writeFileSync(image, "");
    await truncate(image, 64 * 2 ** 20);
    const { guest, file: snapshot, before } = await saved(one, { extraArgs, zeroing: true });
    const old = Buffer.alloc(2 ** 20, 0xa5);
    const handle = openSync(image, "r+");
    for (let at = 0; at < 64; at++) writeSync(handle, old, 0, old.length, at * old.length);
    const resumed = await resume(guest, snapshot, one);
    expect(resumed.result.transport).toBe("multifd");
    if (one.label === "new") expect(resumed.result.transportReason).toContain("ram0");
    expectWell(await resumed.verdict(), before);
    // The guest never writes most of its memory: no page of it may be what the file held.
    const now = await readFile(image);
    const page = old.subarray(0, 4096);
    const left = Array.from({ length: 64 * 256 }, (_, i) => i).filter((i) =>
      now.subarray(i * 4096, (i + 1) * 4096).equals(page),
    );
    expect(left).toEqual([]);
  });

  test("a memory file that another guest lives in is not loaded into, and that guest goes on", async () => {
    const image = join(testFolder(), "memory");
    writeFileSync(image, "");
    await truncate(image, 64 * 2 ** 20);
    const extraArgs = [
      ...["-object", `memory-backend-file,id=ram0,size=64M,share=on,mem-path=${image}`],
      ...["-machine", "memory-backend=ram0"],
    ];
    const guest = await startGuest({ qemu: one, kind: "boot", extraArgs });
    const before = await guest.ready(10_000);
    const file = join(testFolder(), "guest.fram");
    await save(guest, file);
    const { argv, serialPath } = resumeCommand({ ...guest.options, qemu: one });
    expect(await refused(["resume", file, "--json", "--", ...argv])).toMatchObject({
      code: 4,
      error: { code: "guest.memory-in-use", path: image, found: expect.stringContaining(`QEMU ${guest.pid}`) },
    });
    expect(processesWith(serialPath)).toEqual([]);
    expectWell(await guest.verdict(), before);
  });

  test("machines that do not fit: QEMU's own words, what to change, the file as it was, no QEMU left", async () => {
    const { guest, file } = await saved(one);
    const digest = await sha256(file);
    const cases: readonly (readonly [string, Partial<GuestOptions>, RegExp, RegExp])[] = [
      ["another machine", { machine: "pc-q35-7.2" }, /Machine type received is 'pc-i440fx-7.2'/, /-machine/],
      ["less memory", { memory: 32, dirty: 8, still: 8 }, /pc\.ram/, /-m\b/],
      ["more memory", { memory: 128 }, /pc\.ram/, /-m\b/],
      ["a CPU without APIC", { extraArgs: ["-cpu", "qemu64,-apic"] }, /Unknown savevm section/, /-cpu/],
    ];
    for (const [what, options, words, hint] of cases) {
      const { argv, serialPath } = resumeCommand({ ...guest.options, ...machineOf(options), qemu: one });
      const { ended } = startFixedram(["resume", file, "--json", "--", ...argv]);
      const loaded = new Promise<never>((_, reject) => {
        setTimeout(() => reject(new Error(`${what}: it does not end`)), 30_000);
      });
      const { code, error } = refusalOf(await Promise.race([ended, loaded]));
      expect({ what, code, error: error.code }).toEqual({ what, code: 4, error: "qemu.load-failed" });
      expect(error.said, what).toMatch(words);
      expect(error.hint, what).toMatch(hint);
      expect(processesWith(serialPath), what).toEqual([]);
    }
    expect(await sha256(file)).toBe(digest);
  });

  test("a disk that another QEMU has: it is said, and no QEMU stays", async () => {
    const disk = join(testFolder(), "disk.qcow2");
    execFileSync("qemu-img", ["create", "-q", "-f", "qcow2", disk, "1M"]);
    const drive = `if=none,id=d0,format=qcow2,file=${disk}`;
    const extraArgs = ["-drive", drive, "-device", "virtio-blk-pci,drive=d0"];
    const { guest, file } = await saved(one, { extraArgs });
    const other = await startGuest({ qemu: one, kind: "boot", extraArgs });
    await other.ready();
    const { argv, serialPath } = resumeCommand(guest.options);
    const { code, error } = await refused(["resume", file, "--json", "--", ...argv]);
    expect({ code, error: error.code }).toEqual({ code: 4, error: "qemu.load-failed" });
    expect(error.said).toMatch(/Failed to get "write" lock/);
    expect(error.hint).toMatch(/Another QEMU still uses a disk/);
    expect(processesWith(serialPath)).toEqual([]);
    await other.kill();
    const resumed = await resume(guest, file, one);
    expect((await resumed.verdict()).ok).toBe(true);
    await resumed.quit();
  });

  test("a device less: QEMU's own words", async () => {
    const { guest, file } = await saved(one, { vga: "std" });
    const { argv, serialPath } = resumeCommand({ ...guest.options, vga: "none" });
    const { code, error } = await refused(["resume", file, "--json", "--", ...argv]);
    expect({ code, error: error.code }).toEqual({ code: 4, error: "qemu.load-failed" });
    expect(error.said).toMatch(/vga|Unknown ramblock/i);
    expect(error.hint).toMatch(/devices/);
    expect(processesWith(serialPath)).toEqual([]);
  });
});

function machineOf(options: Partial<GuestOptions>): Partial<GuestOptions> & { readonly memory?: number } {
  return options;
}

/** What damages a file; FORMATS says what stock QEMU does with it: crashes, loads half, or takes what lies there for memory. */
const damages: readonly (readonly [string, string, (file: string, info: SnapshotInfo) => Promise<void>])[] = [
  [
    "cut among its pages",
    "file\\.|stream\\.",
    (file, info) => truncate(file, (ramOf(info)?.pagesOffset ?? 0) + 8 * 2 ** 20),
  ],
  ["of page size 0", "stream.mapped-page-size", (file, info) => patch(file, (ramOf(info)?.bitmapOffset ?? 0) - 24, 0)],
  [
    "of page size 8192",
    "stream.mapped-page-size",
    (file, info) => patch(file, (ramOf(info)?.bitmapOffset ?? 0) - 24, 8192),
  ],
  [
    "with its pages past the end",
    "file\\.|stream\\.",
    (file, info) => patch(file, (ramOf(info)?.bitmapOffset ?? 0) - 8, 2 ** 40),
  ],
  ["empty", "stream.cut|file\\.", (file) => truncate(file, 0)],
];

function ramOf(info: SnapshotInfo) {
  return info.blocks.find(({ name }) => name === "pc.ram");
}

/** Writes a u64, big-endian. The mapped-ram header is 28 bytes before the bitmap: version, page size at 4, bitmap, pages at 20. */
async function patch(file: string, offset: number, value: number): Promise<void> {
  const bytes = Buffer.alloc(8);
  bytes.writeBigUInt64BE(BigInt(value));
  const handle = await open(file, "r+");
  await handle.write(bytes, 0, 8, offset);
  await handle.close();
}

test.each(damages)("a file %s is refused before there is a QEMU", async (_what, expected, damage) => {
  const { guest, file } = await saved(qemu("new"));
  await damage(file, await infoOf(file));
  // A program that would leave a mark when it is run.
  const mark = join(testFolder(), "ran");
  const { code, error } = await refused(["resume", file, "--json", "--", "/bin/sh", "-c", `echo > ${mark}`]);
  expect({ code }, error.message).toEqual({ code: 3 });
  // A sealed file is found damaged by its seal already.
  expect(error.code).toMatch(new RegExp(`^(?:seal\\.damaged|${expected})`));
  expect(await readFile(mark).catch(() => null)).toBeNull();
  const waiting = await startGuest({ ...guest.options, incoming: "defer" });
  expect(await refused(["resume", file, "--json", "--qmp", waiting.qmpPath])).toMatchObject({ code: 3 });
  expect(await runState(await waiting.qmp())).toBe("inmigrate");
});

test("in the foreground QEMU's exit code is ours, and a signal ends it", async () => {
  const one = qemu("new");
  const exitDevice = ["-device", "isa-debug-exit,iobase=0xf4,iosize=0x04"];
  const { guest, file, before } = await saved(one, { extraArgs: exitDevice });
  const resumed = await resume(guest, file, one);
  expectWell(await resumed.verdict(), before);
  // isa-debug-exit ends QEMU with (value << 1) + 1.
  await resumed.execute("human-monitor-command", { "command-line": "o /1 0xf4 0x10" }).catch(() => {});
  expect(await resumed.ended).toMatchObject({ code: 33, signal: null });

  const again = await resume(guest, file, one);
  process.kill(again.pid, "SIGTERM");
  const { code } = await again.ended;
  expect([0, 143]).toContain(code);
  expect(isRunning(again.result.process.pid)).toBe(false);
});

test("Ctrl-C on a terminal ends the QEMU in the foreground", async () => {
  const one = qemu("new");
  const { guest, file, before } = await saved(one);
  const { argv, serialPath } = resumeCommand({ ...guest.options, qemu: one });
  const terminal = onTerminal(["resume", file, "--", ...argv], serialPath);
  await expect.poll(() => terminal.shown(), { timeout: 20_000 }).toMatch(/Resumed/);
  const serial = await Serial.connect(serialPath, 20_000);
  expectWell(await verdictOf(serial, "boot"), before);
  terminal.type("\x03");
  expect([0, 130]).toContain(await terminal.ended);
  expect(processesWith(serialPath)).toEqual([]);
});

test("SIGINT while QEMU loads: nothing stays, the file is as it was", async () => {
  const one = qemu(hasQemu("old") ? "old" : "new");
  const { guest, file } = await saved(one, { memory: 512, still: 384 });
  const digest = await sha256(file);
  const { argv, serialPath } = resumeCommand({ ...guest.options, qemu: one });
  const { child, ended } = startFixedram(["resume", file, "--json", "--", ...argv]);
  await new Promise<void>((resolve) => {
    child.stderr.on("data", (text: string) => {
      if (text.includes('"phase":"load"')) resolve();
    });
  });
  child.kill("SIGINT");
  const run = await ended;
  expect(run.code).toBe(130);
  expect(JSON.parse(run.stdout)).toMatchObject({ error: { code: "interrupted.signal" } });
  expect(processesWith(serialPath)).toEqual([]);
  expect(await sha256(file)).toBe(digest);
});
