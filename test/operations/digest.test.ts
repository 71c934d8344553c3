import * as fs from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, expect, test } from "vitest";
import { keepZeroPages } from "../../src/fixedram/keep-zeros.ts";
import { openFixedRam } from "../../src/fixedram/reader.ts";
import { sealInPlace } from "../../src/fixedram/seal-in-place.ts";
import { FixedRamWriter } from "../../src/fixedram/writer.ts";
import { DigestThreads } from "../../src/operations/digest.ts";
import { verify } from "../../src/operations/verify.ts";
import { InPlaceFile } from "../../src/storage/in-place-file.ts";
import { TargetFile } from "../../src/storage/target-file.ts";
import { batch, configuration, meta, ramStart, tail } from "../fixedram/sample.ts";

const PAGE = 4096;
let folder: string;
let file: string;
beforeEach(() => {
  folder = fs.mkdtempSync(join(tmpdir(), "fixedram-digest-"));
  file = join(folder, "guest.mapped");
});
afterEach(() => fs.rmSync(folder, { recursive: true, force: true }));

const RAM = 20_000;

/** A file as QEMU leaves it: main RAM with pages scattered over several jobs, a small block with two pages of eight present. */
async function write(): Promise<{ readonly ram: number; readonly rom: number }> {
  const start = ramStart(["pc.ram", RAM], ["rom", 8]);
  const writer = new FixedRamWriter(TargetFile.create(file), configuration(), start, {
    isMainRam: () => true,
    digests: false,
  });
  const [ram, rom] = writer.blocks;
  if (ram === undefined || rom === undefined) throw new Error("no block");
  for (const from of [0, 511, 8190, 19_990])
    writer.writePages(
      batch(
        ram,
        Array.from({ length: 10 }, (_, i): [number, number] => [from + i, i + 1]),
        0,
      ),
    );
  writer.writePages(batch(rom, [[2, 8]]));
  writer.writePages(batch(rom, [[5, 9]]));
  writer.tail(tail());
  await writer.finish(null);
  const [first, second] = writer.layout.blocks;
  return { ram: first?.pagesOffset ?? 0, rom: second?.pagesOffset ?? 0 };
}

async function sealed(threads: boolean, noZero = false): Promise<Buffer> {
  const store = InPlaceFile.open(file);
  try {
    await using digests = new DigestThreads(threads ? store.shared : null, { worth: 0, noZero: () => noZero });
    const opened = await openFixedRam(store);
    await sealInPlace(store, opened, meta, { digester: digests.digest });
  } finally {
    await store.close();
  }
  return fs.readFileSync(file);
}

test("threads make the seal that one thread makes, byte for byte", async () => {
  await write();
  const unsealed = fs.readFileSync(file);
  const alone = await sealed(false);
  fs.writeFileSync(file, unsealed);
  const together = await sealed(true, true);
  expect(together.equals(alone)).toBe(true);
  expect(await verify({ file, deep: true })).toMatchObject({ ok: true, sealState: "sealed" });
});

test("a page that is said to be written and is zero is told of, and nothing is sealed", async () => {
  const { ram } = await write();
  const fd = fs.openSync(file, "r+");
  fs.writeSync(fd, new Uint8Array(PAGE), 0, PAGE, ram + 8193 * PAGE);
  fs.closeSync(fd);
  const { size } = fs.statSync(file);
  await expect(sealed(true, true)).rejects.toMatchObject({
    code: "qemu.lost-pages",
    details: { block: "pc.ram", page: 8193, offset: ram + 8193 * PAGE },
  });
  expect(fs.statSync(file).size).toBe(size);
  await sealed(true, false);
  expect(await verify({ file, deep: true })).toMatchObject({ ok: true });
});

test("zero pages of small blocks become present, and what lay in them is gone", async () => {
  const { rom } = await write();
  const fd = fs.openSync(file, "r+");
  // Of an earlier round: the page is zero by now.
  fs.writeSync(fd, new Uint8Array(PAGE).fill(7), 0, PAGE, rom + 3 * PAGE);
  fs.closeSync(fd);
  const store = InPlaceFile.open(file);
  const before = await openFixedRam(store);
  const holes = before.bitmaps[0]?.count();
  await keepZeroPages(store, before, ({ pages }) => pages > 8);
  expect(before.bitmaps.map((bitmap) => bitmap.count())).toEqual([holes, 8]);
  const after = await openFixedRam(store);
  expect(after.bitmaps.map((bitmap) => bitmap.count())).toEqual([holes, 8]);
  await store.close();
  const bytes = fs.readFileSync(file);
  const page = (index: number) => bytes.subarray(rom + index * PAGE, rom + (index + 1) * PAGE);
  expect([0, 1, 3, 4, 6, 7].every((index) => page(index).every((byte) => byte === 0))).toBe(true);
  expect([2, 5].every((index) => page(index).some((byte) => byte !== 0))).toBe(true);
  await sealed(true);
  expect(await verify({ file, deep: true })).toMatchObject({ ok: true, sealState: "sealed" });
});
