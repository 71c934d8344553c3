/**
 * Files of every kind that QEMU writes, read by the commands: shown, verified, converted both ways, resumed. The guest's own
 * verdict decides; what the test is about must be in the file, so it is looked for.
 */
import { existsSync, readFileSync, statSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, test } from "vitest";
import type { ConvertResult } from "../../src/operations/convert.ts";
import type { SnapshotInfo } from "../../src/operations/inspect.ts";
import { openSnapshot } from "../../src/operations/open.ts";
import type { VerifyResult } from "../../src/operations/verify.ts";
import { walk } from "../../src/pages/plan.ts";
import { read } from "../docs/independent-reader.ts";
import {
  fixedram,
  type Guest,
  type GuestOptions,
  hasQemu,
  qemu,
  type Status,
  startGuest,
  testFolder,
} from "./harness/index.ts";
import { otherQemu } from "./harness/qemus.ts";
import { countsOf, writeStream } from "./support/legacy.ts";
import { type MappedWish, writeMapped } from "./support/mapped.ts";
import { expectWell, loadStock, refused, resume } from "./support/steps.ts";

interface Saved {
  readonly guest: Guest;
  readonly before: Status;
  readonly file: string;
}

async function answer<T>(...args: readonly string[]): Promise<T> {
  const run = await fixedram([...args, "--json"]);
  expect(run, run.stdout + run.stderr).toMatchObject({ code: 0 });
  return JSON.parse(run.stdout) as T;
}

async function mapped(options: Partial<GuestOptions>, wish: MappedWish): Promise<Saved> {
  const guest = await startGuest({ qemu: qemu("new"), kind: "boot", zeroing: true, ...options });
  const before = await guest.ready(20_000);
  const file = join(testFolder(), "guest.mapped");
  await writeMapped(guest, file, wish);
  return { guest, before, file };
}

/** Pages, configuration and device state of a file. */
async function essence(file: string, options: { readonly offset?: number } = {}) {
  await using snapshot = await openSnapshot(file, options);
  const { map, configuration, devices, vmdesc } = snapshot;
  const states = devices.map(({ name, instance, version, payload }) => [
    name,
    instance,
    version,
    Buffer.from(payload).toString("hex"),
  ]);
  const blocks = map.blocks.map(({ name, length, pageSize }) => ({ name, length, pageSize }));
  return { machine: configuration.machine, blocks, states, vmdesc: Buffer.from(vmdesc ?? []).toString("utf8") };
}

async function same(a: string, b: string): Promise<void> {
  const run = await fixedram(["diff", a, b, "--json"]);
  expect(run.code, run.stdout.slice(0, 2000)).toBe(0);
}

/** To fixed-ram, to a stream, to fixed-ram: nothing is lost, and stock QEMU loads the last. */
async function roundTrip({ guest, before, file }: Saved, given: readonly string[] = [], loads = true): Promise<string> {
  const folder = testFolder();
  const [first, stream, last] = ["first.fram", "a.stream", "last.fram"].map((name) => join(folder, name)) as [
    string,
    string,
    string,
  ];
  const made = await answer<ConvertResult>("convert", file, first, ...given);
  expect(made.pages?.data).toBeGreaterThan(1000);
  await answer("convert", first, stream, "--to", "stream");
  const again = await answer<ConvertResult>("convert", stream, last);
  expect(again.pages).toEqual(made.pages);
  expect(await essence(last)).toEqual(await essence(first));
  await same(first, last);
  expect(await answer<VerifyResult>("verify", last, "--deep")).toMatchObject({ ok: true, sealState: "sealed" });
  if (loads) await goesOn(await loadStock(guest.options, last, "multifd"), before);
  return last;
}

async function goesOn(loaded: Guest, before: Status): Promise<void> {
  const qmp = await loaded.qmp();
  const { status } = (await qmp.execute("query-status")) as { status: string };
  if (status !== "running") await qmp.execute("cont");
  expectWell(await loaded.verdict(), before);
  await loaded.kill();
}

describe.skipIf(!hasQemu("new"))("mapped-ram by QEMU itself", () => {
  test("plain and stopped, multifd, live with stale pages: round trips lose nothing", async () => {
    const wishes: readonly MappedWish[] = [
      { stop: true },
      { capabilities: ["multifd"], parameters: { "multifd-channels": 2 } },
      { rounds: 3 },
    ];
    for (const wish of wishes) await roundTrip(await mapped({}, wish));
  });

  test("as a reader sees it that was written from docs/format.md alone, and as a file of ours made of it", async () => {
    const { file } = await mapped({}, { capabilities: ["multifd"], parameters: { "multifd-channels": 2 } });
    const ours = join(testFolder(), "ours.fram");
    const made = await answer<ConvertResult>("convert", file, ours);
    for (const path of [file, ours]) {
      await using snapshot = await openSnapshot(path);
      const found = read(path);
      expect(found.blocks.map(({ name, length }) => [name, length])).toEqual(
        snapshot.map.blocks.map(({ name, length }) => [name, length]),
      );
      expect(found.devices).toEqual(
        snapshot.devices.map(({ name, instance, payload }) => ({ name, instance, size: payload.length })),
      );
      expect(found.streamEnd).toBe(snapshot.streamEnd);
      expect(found.seal?.id ?? null).toBe(path === ours ? made.id : null);
      expect(found.seal?.problems() ?? []).toEqual([]);
      let pages = 0;
      await walk(snapshot.map, {
        async data(block, first, count, store, offset) {
          const bytes = Buffer.alloc(4096);
          await snapshot.map.stores[store]?.read(bytes, offset);
          expect(found.page(block, first)?.equals(bytes)).toBe(true);
          if (path === ours && pages % 50 === 0) expect(found.seal?.pageIsSealed(block, first)).toBe(true);
          pages += count;
        },
        zero(block, first) {
          expect(found.page(block, first)).toBeNull();
        },
      });
      expect(pages).toBeGreaterThan(4096);
      found.close();
    }
  });

  test("at an offset in its file", async () => {
    const saved = await mapped({}, { offset: 12_345 });
    const { guest, before, file } = saved;
    const given = ["--offset", "12345"];
    expect((await refused(["info", file, "--json"])).error.code).toBe("file.unknown-format");
    const info = await answer<SnapshotInfo>("info", file, ...given);
    expect(info).toMatchObject({ container: "mapped-ram", machine: guest.options.machine });
    expect(await answer<VerifyResult>("verify", file, ...given)).toMatchObject({ ok: true, container: "mapped-ram" });
    await roundTrip(saved, given);
    const resumed = await resume(guest, file, qemu("new"), { args: given });
    expect(resumed.result).toMatchObject({ transport: "mapped-ram" });
    expectWell(await resumed.verdict(), before);
    await resumed.quit();
  });

  test("with virtio-mem, whose state comes before the pages", async () => {
    const extraArgs = ["-object", "memory-backend-ram,id=vm0,size=256M"];
    extraArgs.push("-device", "virtio-mem-pci,id=vmem,memdev=vm0,requested-size=128M");
    // Older machine types send it later.
    const options = { machine: "pc-q35-9.0", extraArgs };
    const saved = await mapped({ ...options, maxMemory: 1024 }, { stop: true });
    await using snapshot = await openSnapshot(saved.file);
    expect(snapshot.devices.map(({ name }) => name).join()).toContain("virtio-mem-device-early");
    await roundTrip(saved);
  });

  test("with dirty bitmaps, which travel along", async () => {
    const extraArgs = ["-blockdev", "null-co,node-name=disk0,size=1048576"];
    const guest = await startGuest({ qemu: qemu("new"), kind: "boot", extraArgs });
    const before = await guest.ready(20_000);
    await (await guest.qmp()).execute("block-dirty-bitmap-add", { node: "disk0", name: "backup0" });
    const file = join(testFolder(), "guest.mapped");
    await writeMapped(guest, file, { capabilities: ["dirty-bitmaps"] });
    const last = await roundTrip({ guest, before, file }, [], false);
    const resumed = await resume(guest, last, qemu("new"));
    expectWell(await resumed.verdict(), before);
    const nodes = (await resumed.execute("query-named-block-nodes")) as { "dirty-bitmaps"?: { name: string }[] }[];
    expect(nodes.flatMap((each) => each["dirty-bitmaps"] ?? []).map(({ name }) => name)).toEqual(["backup0"]);
    await resumed.quit();
  });

  test("with shared memory left out: read, but nothing is made of it, and QEMU never reads the file", async () => {
    const ram = join(testFolder(), "ram");
    const extraArgs = ["-object", `memory-backend-file,id=ram0,size=64M,mem-path=${ram},share=on`];
    // QEMU 10 fails to write one.
    const sid = otherQemu("sid");
    if (sid === undefined) return console.warn("not tested: no newer QEMU");
    const options = { qemu: sid, machine: "pc-i440fx-7.2,memory-backend=ram0", extraArgs };
    const saved = await mapped(options, { capabilities: ["x-ignore-shared"] });
    const info = await answer<SnapshotInfo>("info", saved.file);
    expect(info.capabilities).toEqual(expect.arrayContaining(["mapped-ram", "x-ignore-shared"]));
    expect(info.blocks.find(({ name }) => name === "ram0")?.present).toBe(0);
    expect(await answer<VerifyResult>("verify", saved.file)).toMatchObject({ ok: true });
    const out = join(testFolder(), "out.fram");
    expect((await refused(["convert", saved.file, out, "--json"])).error.code).toBe("file.ignore-shared");
    expect(existsSync(out)).toBe(false);
    const resumed = await resume(saved.guest, saved.file, sid).catch((error: Error) => error);
    if (resumed instanceof Error) expect(resumed.message).not.toContain('"transport":"mapped-ram"');
    else {
      expect(resumed.result.transport).toBe("stream");
      await resumed.quit();
    }
  });

  test("by background-snapshot, whose bitmaps stay empty: named by every command, given to no QEMU", async () => {
    const { guest, file } = await mapped({}, { capabilities: ["background-snapshot"] });
    for (const command of [["info"], ["map"], ["convert"], ["seal"], ["resume"]]) {
      const more = command[0] === "convert" ? [join(testFolder(), "x.fram")] : [];
      const tail = command[0] === "resume" ? ["--", ...guest.argv] : [];
      const { error, code } = await refused([...command, file, ...more, "--json", ...tail]);
      expect([command, error.code, code]).toEqual([command, "file.empty-bitmaps", 3]);
      expect(error.hint).toContain("background-snapshot");
    }
    const run = await fixedram(["verify", file, "--json"]);
    expect(run.code).toBe(1);
    expect(JSON.parse(run.stdout)).toMatchObject({ ok: false, problems: [{ code: "file.empty-bitmaps" }] });
  });

  test("with its bitmaps as a big-endian host writes them (made from a real one)", async () => {
    const saved = await mapped({}, { stop: true });
    const usual = await essence(saved.file);
    const bytes = readFileSync(saved.file);
    const info = await answer<SnapshotInfo>("info", saved.file);
    for (const { bitmapOffset, pages } of info.blocks) {
      bytes.subarray(bitmapOffset ?? 0, (bitmapOffset ?? 0) + Math.ceil(pages / 64) * 8).swap64();
    }
    const big = join(testFolder(), "big.mapped");
    writeFileSync(big, bytes);
    expect((await answer<SnapshotInfo>("info", big, "--big-endian")).blocks).toEqual(info.blocks);
    const last = await roundTrip({ ...saved, file: big }, ["--big-endian"]);
    expect(await essence(last)).toEqual({ ...usual });
    const resumed = await resume(saved.guest, big, qemu("new"), { args: ["--big-endian"] });
    expect(resumed.result).toMatchObject({
      transport: "stream",
      transportReason: expect.stringContaining("big-endian"),
    });
    await resumed.execute("cont");
    expectWell(await resumed.verdict(), saved.before);
    await resumed.quit();
  });
});

describe.skipIf(!hasQemu("new"))("streams", () => {
  test("with the guest's uuid, which goes along", async () => {
    const uuid = "5c6bfb70-1f0c-4a0e-9a7e-0123456789ab";
    const extraArgs = ["-uuid", uuid];
    const guest = await startGuest({ qemu: qemu("new"), kind: "boot", extraArgs });
    const before = await guest.ready(20_000);
    const file = join(testFolder(), "guest.stream");
    await writeStream(guest, file, { capabilities: ["validate-uuid"] });
    await guest.kill();
    expect((await answer<SnapshotInfo>("info", file)).guestUuid).toBe(uuid);
    const last = await roundTrip({ guest, before, file });
    expect((await answer<SnapshotInfo>("info", last)).guestUuid).toBe(uuid);
  });

  test("the index is kept from the command line and makes the second reading short", async () => {
    const guest = await startGuest({ qemu: qemu("new"), kind: "boot" });
    await guest.ready(20_000);
    const file = join(testFolder(), "guest.stream");
    await writeStream(guest, file, { stop: true });
    await guest.kill();
    expect((await countsOf(file)).data).toBeGreaterThan(4096);
    const first = await answer<SnapshotInfo>("info", file, "--keep-index");
    expect(statSync(`${file}.index`).size).toBeGreaterThan(1000);
    expect(await answer<SnapshotInfo>("info", file)).toEqual(first);
  });
});
