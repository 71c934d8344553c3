/**
 * Streams that QEMU wrote into a file by itself, of every kind, resumed by `fixedram resume`: the guest's own memory check has
 * the last word. What the test is about must occur in the stream, so it is counted.
 */
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, test } from "vitest";
import type { BlockMap, SnapshotInfo } from "../../src/operations/inspect.ts";
import { makeStream } from "../stream/qemu-streams.ts";
import {
  fixedram,
  type Guest,
  type GuestOptions,
  hasQemu,
  type Qemu,
  qemu,
  qemus,
  type Status,
  startGuest,
  testFolder,
} from "./harness/index.ts";
import { countsOf, differsFromStock, type MigrationStatus, type StreamWish, writeStream } from "./support/legacy.ts";
import { expectWell, follow, long, resume } from "./support/steps.ts";

interface Saved {
  readonly guest: Guest;
  readonly before: Status;
  readonly file: string;
}

async function saved(options: Partial<GuestOptions> & Pick<GuestOptions, "qemu">, wish: StreamWish): Promise<Saved> {
  const guest = await startGuest({ kind: "boot", zeroing: true, ...options });
  const before = await guest.ready();
  const file = join(testFolder(), "guest.stream");
  await writeStream(guest, file, wish);
  await guest.kill();
  return { guest, before, file };
}

async function resumes({ guest, file, before }: Saved, target: Qemu, state = "running"): Promise<void> {
  const resumed = await resume(guest, file, target);
  expect(resumed.result).toMatchObject({ transport: "stream", runState: state, qemuVersion: target.version });
  if (state !== "running") await resumed.execute("cont");
  expectWell(await resumed.verdict(), before);
  expect(await resumed.quit()).toMatchObject({ code: 0 });
}

/** All with FIXEDRAM_LONG=1; else the other QEMU than the one that wrote the stream, where there is one. */
function targetsOf(one: Qemu): readonly Qemu[] {
  return long ? qemus() : [qemus().find((each) => each !== one) ?? one];
}

/** With FIXEDRAM_LONG=1 on both QEMUs, else on this one (or the only one); what is left out says so in its name. */
function often(one: Qemu, label: Qemu["label"]) {
  const left = !long && one.label !== label && qemus().length > 1;
  return (name: string, body: () => Promise<void>) => (left ? test.skip(`[long] ${name}`, body) : test(name, body));
}

/** 7.2 under TCG loses pages that are written during a live migration (without fixedram too), so its guest hardly writes. */
function rateFor({ label }: Qemu): number {
  return label === "old" ? 0 : 32;
}

for (const one of qemus()) {
  describe(`a stream of QEMU ${one.version}`, () => {
    test("stopped, pc: info, map, and resume on every QEMU", async () => {
      const stream = await saved({ qemu: one }, { stop: true });
      const run = await fixedram(["info", stream.file, "--json"]);
      const info = JSON.parse(run.stdout) as SnapshotInfo;
      expect(info).toMatchObject({ container: "stream", machine: "pc-i440fx-7.2", runState: "paused", seal: null });
      const ram = info.blocks.find(({ name }) => name === "pc.ram");
      expect(ram).toMatchObject({ length: 64 * 2 ** 20, pages: 16384, pagesOffset: null });
      expect(ram?.present).toBeGreaterThan(4096);
      expect(ram?.present).toBeLessThan(16384);
      expect((await fixedram(["info", stream.file])).stdout).toContain("migration stream");
      const map = JSON.parse((await fixedram(["map", stream.file, "--json"])).stdout) as { blocks: BlockMap[] };
      expect(map.blocks.find(({ name }) => name === "pc.ram")?.present).toBe(ram?.present);
      for (const target of targetsOf(one)) await resumes(stream, target, "paused");
    });

    often(one, "new")("live, q35: many rounds", async () => {
      const until = ({ ram }: MigrationStatus) => (ram?.["dirty-sync-count"] ?? 0) > 4;
      const stream = await saved({ qemu: one, machine: "q35", dirtyRate: rateFor(one) }, { until });
      const counts = await countsOf(stream.file);
      // 65536 KiB of RAM, and pages that came again.
      expect(counts.data + counts.zero).toBeGreaterThan(16384 + 300);
      expect(counts.rounds).toBeGreaterThan(5);
      expect(await differsFromStock(stream.guest, stream.file)).toEqual([]);
      for (const target of targetsOf(one)) await resumes(stream, target);
    });

    // The boot guest rewrites pages whole, which XBZRLE gives up on; a kernel changes a few bytes in many of its pages.
    often(one, "new")("xbzrle: pages as differences to themselves, unpacked as stock QEMU does", async () => {
      const until = (status: MigrationStatus) => (status["xbzrle-cache"]?.pages ?? 0) > 300;
      const stream = await saved(
        { qemu: one, kind: "linux", memory: 128, still: 16, diskLoad: true, net: false },
        {
          until,
          capabilities: ["xbzrle"],
          parameters: { "xbzrle-cache-size": 128 * 2 ** 20, "max-bandwidth": 2 ** 25 },
        },
      );
      const counts = await countsOf(stream.file);
      expect(counts.xbzrle).toBeGreaterThan(50);
      expect(await differsFromStock(stream.guest, stream.file)).toEqual([]);
      await resumes(stream, one);
    });

    often(one, "new")("a background snapshot, without END", async () => {
      const stream = await saved({ qemu: one }, { capabilities: ["background-snapshot"] });
      expect((await countsOf(stream.file)).kinds).not.toContain("ram-end");
      for (const target of targetsOf(one)) await resumes(stream, target);
    });

    often(one, "new")("dirty bitmaps travel along", async () => {
      const extraArgs = ["-blockdev", "null-co,node-name=disk0,size=1048576"];
      const guest = await startGuest({ kind: "boot", qemu: one, extraArgs });
      const before = await guest.ready(10_000);
      const node = { node: "disk0", name: "backup0" };
      await (await guest.qmp()).execute("block-dirty-bitmap-add", node);
      const file = join(testFolder(), "guest.stream");
      await writeStream(guest, file, { capabilities: ["dirty-bitmaps"] });
      await guest.kill();
      expect((await countsOf(file)).kinds).toContain("dirty-bitmap");
      const resumed = await resume(guest, file, one);
      expectWell(await resumed.verdict(), before);
      const nodes = (await resumed.execute("query-named-block-nodes")) as { "dirty-bitmaps"?: { name: string }[] }[];
      expect(nodes.flatMap((each) => each["dirty-bitmaps"] ?? []).map(({ name }) => name)).toEqual(["backup0"]);
      await resumed.quit();
    });

    often(one, "old")("microvm", async () => {
      const stream = await makeStream({ qemu: one.path, machine: "microvm" });
      const file = join(testFolder(), "microvm.stream");
      writeFileSync(file, stream);
      const serial = join(testFolder(), "serial");
      const chardev = ["-chardev", `socket,id=s,path=${serial},server=on,wait=off`, "-serial", "none"];
      const argv = [one.path, "-machine", "microvm", "-m", "16", "-display", "none", ...chardev];
      const resumed = await follow(["resume", file, "--json", "--", ...argv], serial, "boot");
      expect(resumed.result).toMatchObject({ transport: "stream", runState: "prelaunch" });
      await resumed.quit();
    });
  });
}

test.skipIf(!hasQemu("old"))("compressed pages, which QEMU wrote up to 9.0", async () => {
  const stream = await saved({ qemu: qemu("old"), dirtyRate: 0 }, { stop: true, capabilities: ["compress"] });
  expect((await countsOf(stream.file)).zlib).toBeGreaterThan(1000);
  for (const target of long ? qemus() : [qemu("old")]) await resumes(stream, target, "paused");
});

test("a changed byte in a stream is what the guest's verdict is about", async () => {
  const one = qemus().at(-1);
  if (one === undefined) return;
  const { guest, file } = await saved({ qemu: one, zeroing: false }, { stop: true });
  const { readFile } = await import("node:fs/promises");
  const bytes = await readFile(file);
  // Far inside the RAM section: a byte of some page's content, at least 8 from the next header.
  const at = Math.floor(bytes.length / 2);
  for (let i = 0; i < 40; i++) bytes.writeUInt8(bytes.readUInt8(at + i * 9000) ^ 1, at + i * 9000);
  writeFileSync(file, bytes);
  const run = await resume(guest, file, one).catch((error: Error) => error);
  if (run instanceof Error) return expect(run.message).toMatch(/stream\./);
  await run.execute("cont");
  expect(await run.verdict()).toMatchObject({ ok: false });
  await run.quit();
});
