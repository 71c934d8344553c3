/**
 * The harness itself, on real QEMUs: guests come up and answer, QEMU's own migration keeps them well, and damage is noticed
 * (a verdict that cannot fail proves nothing).
 */
import { spawn } from "node:child_process";
import { once } from "node:events";
import { existsSync, openSync, readFileSync, rmSync, writeFileSync, writeSync } from "node:fs";
import { dirname, join } from "node:path";
import { describe, expect, test } from "vitest";
import {
  fsck,
  type Guest,
  type GuestOptions,
  hasQemu,
  qemu,
  qemus,
  ROOT,
  sha256,
  startGuest,
  testFolder,
} from "./harness/index.ts";

/** QEMU's own migration of a stopped guest into a file, through a shell, at full speed. */
async function migrateToFile(guest: Guest, path: string): Promise<void> {
  const qmp = await guest.qmp();
  await qmp.execute("migrate-set-parameters", { "max-bandwidth": 1024 ** 4 });
  await qmp.execute("stop");
  await qmp.execute("migrate", { uri: `exec:cat > ${path}` });
  await migrationEnds(guest);
  await guest.kill();
}

async function migrationEnds(guest: Guest): Promise<void> {
  const qmp = await guest.qmp();
  for (;;) {
    const { status } = (await qmp.execute("query-migrate")) as { status?: string };
    if (status === "completed") return;
    if (status === "failed" || status === "cancelled") throw new Error(`migration ${status}: ${guest.output()}`);
    await new Promise((resolve) => setTimeout(resolve, 10));
  }
}

/** Loads a stream and lets the guest run. */
async function load(options: GuestOptions, path: string): Promise<Guest> {
  const guest = await startGuest({ ...options, incoming: `exec:cat ${path}` });
  await migrationEnds(guest);
  await (await guest.qmp()).execute("cont");
  return guest;
}

const C_ADDRESS = 0x9e3779b97f4a7c15n;

/** Where the page at `address`, never rewritten, lies in a stream of the boot guest: by its first word (test/guests/boot/boot.asm). */
function findStillPage(stream: Buffer, address: number, bootId: string): number {
  const word = Buffer.alloc(8);
  word.writeBigUInt64LE((C_ADDRESS * BigInt(address) + BigInt(`0x${bootId}`)) & 0xffff_ffff_ffff_ffffn);
  return stream.indexOf(word);
}

describe.each(qemus())("QEMU $label ($version)", (one) => {
  test.each(["pc", "q35"])("the boot guest comes up on %s, counts, verifies", async (machine) => {
    const guest = await startGuest({ qemu: one, kind: "boot", machine });
    const first = await guest.ready(10_000);
    const verdict = await guest.verdict();
    expect(verdict).toMatchObject({ ok: true, bootId: first.bootId });
    await guest.serial.waitFor(/^ok /, 5000, guest.serial.lines.length);
    const later = await guest.status();
    expect(later.counter).toBeGreaterThan(verdict.counter);
    expect(await guest.kill()).toEqual({ code: null, signal: "SIGKILL" });
  });

  test("a boot guest above 4 GiB, spread, zeroing, at full speed", async () => {
    for (const machine of ["pc", "q35"]) {
      const options = {
        machine,
        memory: 5000,
        dirty: 0.25,
        still: 0.25,
        spread: true,
        zeroing: true,
        dirtyRate: Infinity,
      } as const;
      const guest = await startGuest({ qemu: one, kind: "boot", ...options });
      await guest.ready(20_000);
      await guest.serial.waitFor(/^ok \S+ \S+ 0*[1-9a-f]/, 20_000);
      expect(await guest.verdict()).toMatchObject({ ok: true });
      await guest.kill();
    }
  });

  test("another boot has another boot id, and a muted guest does not answer", async () => {
    const guest = await startGuest({ qemu: one, kind: "boot" });
    const before = await guest.ready(10_000);
    const from = guest.serial.lines.length;
    await (await guest.qmp()).execute("system_reset");
    await guest.serial.waitFor(/^ready /, 10_000, from);
    const after = await guest.status();
    expect(after.bootId).not.toBe(before.bootId);
    guest.serial.send("z");
    expect(await guest.answers(300)).toBe(false);
  });

  test("a stopped boot guest goes through QEMU's own migration and verifies; a damaged stream does not", async () => {
    const folder = testFolder();
    const source = await startGuest({ qemu: one, kind: "boot", zeroing: false });
    const before = await source.ready(10_000);
    const path = join(folder, "stream");
    await migrateToFile(source, path);

    const good = await load(source.options, path);
    const verdict = await good.verdict();
    expect(verdict).toMatchObject({ ok: true, bootId: before.bootId });
    expect(verdict.counter).toBeGreaterThan(before.counter);
    await good.kill();

    const stream = readFileSync(path);
    const at = findStillPage(stream, 4 * 2 ** 20 + 20 * 2 ** 20, before.bootId);
    expect(at).toBeGreaterThan(0);
    stream.writeUInt8(stream.readUInt8(at + 100) ^ 1, at + 100);
    writeFileSync(path, stream);
    const damaged = await load(source.options, path);
    const bad = await damaged.verdict();
    expect(bad).toMatchObject({ ok: false, bootId: before.bootId });
    expect(bad.said.join("\n")).toContain("0000000001800060");
  });

  test("the Linux guest comes up and goes through QEMU's own migration: memory, disk, network, dirtier on 2 CPUs", async () => {
    const source = await startGuest({ qemu: one, kind: "linux", smp: 2, dirtyRate: 20, diskLoad: true, vga: "std" });
    const before = await source.ready(30_000);
    expect(await source.verdict()).toMatchObject({ ok: true, bootId: before.bootId });
    await source.ask("net", /^net ok/);
    const path = join(testFolder(), "stream");
    await migrateToFile(source, path);

    const target = await load(source.options, path);
    const verdict = await target.verdict();
    expect(verdict).toMatchObject({ ok: true, bootId: before.bootId });
    expect(verdict.counter).toBeGreaterThan(before.counter);
    expect(verdict.said[0]).toMatch(/memory=ok:32MiB:\w{64} disk=ok:\w{64} dirtier=ok/);
    await target.ask("net", /^net ok/);

    const disk = String(source.options.disk);
    const running = await sha256(disk);
    expect(await target.powerOff()).toEqual({ code: 0, signal: null });
    expect(await sha256(disk)).not.toBe(running);
    expect(await fsck(disk)).toMatchObject({ clean: true });
  });

  test("the Linux guest's verdict fails when its memory changed", async () => {
    const guest = await startGuest({ qemu: one, kind: "linux", machine: "q35", still: 8 });
    await guest.ready(30_000);
    await guest.ask("spoil", /^spoil ok/);
    const verdict = await guest.verdict();
    expect(verdict.ok).toBe(false);
    expect(verdict.said[0]).toContain("memory=BAD");
  });
});

test("a damaged disk is noticed", async () => {
  const guest = await startGuest({ qemu: qemu(hasQemu("old") ? "old" : "new"), kind: "linux", still: 1 });
  await guest.ready(30_000);
  const disk = String(guest.options.disk);
  await guest.powerOff();
  expect(await fsck(disk)).toMatchObject({ clean: true });
  const image = readFileSync(disk);
  // The ext4 superblock's magic, 0x438 into the disk, wherever qcow2 put that cluster; then the root directory's name of this file system.
  const label = image.indexOf("fixedram\0", 0, "latin1");
  expect(label).toBeGreaterThan(0);
  const file = openSync(disk, "r+");
  writeSync(file, Buffer.alloc(1024, 0xee), 0, 1024, label - 0x78);
  expect((await fsck(disk)).clean).toBe(false);
});

test("a QEMU that does not start says why", async () => {
  const start = startGuest({ qemu: qemu("new"), kind: "boot", machine: "no-such-machine" });
  await expect(start).rejects.toThrow(/unsupported machine type|no-such-machine/);
});

test("a QEMU does not outlive the tests, even when they are killed", async () => {
  const script = join(ROOT, "test", "qemu", "harness", "start-and-wait.ts");
  const child = spawn(process.execPath, ["--import", "tsx", script], { stdio: ["ignore", "pipe", "inherit"] });
  const [said] = (await once(child.stdout, "data")) as [Buffer];
  const [pid = "", folder = ""] = said.toString().trim().split(" ");
  expect(existsSync(`/proc/${pid}`)).toBe(true);
  child.kill("SIGKILL");
  await once(child, "exit");
  // The kernel ends it with its parent; reaping it is up to init.
  await expect.poll(() => stateOf(pid), { timeout: 5000 }).toMatch(/^[ZX]?$/);
  rmSync(dirname(folder), { recursive: true });
});

/** The kernel's letter for a process's state, nothing when it is gone. */
function stateOf(pid: string): string {
  try {
    return /\) (\S)/.exec(readFileSync(`/proc/${pid}/stat`, "latin1"))?.[1] ?? "";
  } catch {
    return "";
  }
}
