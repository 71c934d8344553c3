import * as fs from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { FixedRamWriter } from "../../src/fixedram/writer.ts";
import { hexPage } from "../../src/operations/diff/hex.ts";
import { type DiffOptions, diff } from "../../src/operations/diff.ts";
import { TargetFile } from "../../src/storage/target-file.ts";
import { batch, configuration, meta, ramStart, tail } from "../fixedram/sample.ts";
import { mapOf, PAGE } from "../machine/sample.ts";
import { device, encode, failure, type Step } from "./synthetic.ts";

let folder: string;
let a: string;
let b: string;
beforeEach(() => {
  folder = fs.mkdtempSync(join(tmpdir(), "fixedram-diff-"));
  a = join(folder, "a.fram");
  b = join(folder, "b.fram");
});
afterEach(() => fs.rmSync(folder, { recursive: true, force: true }));

/** A sealed file with these pages (page, fill), and where its first page and its table lie. */
async function write(path: string, pages: [number, number][], record: typeof meta | null = meta) {
  const writer = new FixedRamWriter(TargetFile.create(path), configuration(), ramStart(["pc.ram", 2000], ["vga", 4]));
  const [ram] = writer.blocks;
  if (ram === undefined) throw new Error("no block");
  for (let at = 0; at < pages.length; at += 500) writer.writePages(batch(ram, pages.slice(at, at + 500)));
  writer.tail(tail());
  await writer.finish(record);
  const [layout] = writer.layout.blocks;
  if (layout === undefined) throw new Error("no layout");
  return layout;
}

function patch(path: string, position: number, ...bytes: number[]): void {
  const fd = fs.openSync(path, "r+");
  fs.writeSync(fd, Uint8Array.from(bytes), 0, bytes.length, position);
  fs.closeSync(fd);
}

const many = (change: Record<number, number> = {}) =>
  Array.from({ length: 1500 }, (_, i): [number, number] => [i, change[i] ?? (i % 250) + 1]);
const compared = async (options: Partial<DiffOptions> = {}) => (await diff({ a, b, ...options })).pages;

describe("diff", () => {
  test("of a file and itself: the same, trusted or read", async () => {
    await write(a, many());
    const result = await diff({ a, b: a });
    expect(result).toMatchObject({ same: true, configuration: [], notices: [], devices: { same: 1, different: [] } });
    expect(result.pages).toEqual({ total: 2004, changed: 0, added: 0, gone: 0, unknown: 0, extents: 0, trusted: 0 });
    expect((await diff({ a, b: a, trustSeals: true })).pages).toMatchObject({ trusted: 1500, extents: 0 });
  });

  test("names pages, their bytes and the runs, and writes the list", async () => {
    await write(a, many());
    await write(b, [...many({ 7: 99, 8: 98, 600: 0 }), [1900, 5]]);
    const pagesOut = join(folder, "list.tsv");
    const result = await diff({ a, b, hex: 2, pagesOut, cells: 4 });
    expect(result.same).toBe(false);
    expect(result.pages).toMatchObject({ changed: 2, gone: 1, added: 1, extents: 3 });
    expect(fs.readFileSync(pagesOut, "utf8")).toBe(
      "changed\tpc.ram\t7\t2\ngone\tpc.ram\t600\t1\nadded\tpc.ram\t1900\t1\n",
    );
    expect(fs.statSync(pagesOut).mode % 0o1000).toBe(0o600);
    expect(result.hex.map(({ page, kind, bytes, rows }) => [page, kind, bytes, rows.length])).toEqual([
      [7, "changed", 4096, 256],
      [8, "changed", 4096, 256],
    ]);
    expect(result.hex[0]?.rows[1]).toEqual({ offset: 16, a: "08".repeat(16), b: "63".repeat(16) });
    const [ram, vga] = result.blocks;
    expect(ram?.map).toEqual({
      pagesPerCell: 500,
      a: [1, 1, 1, 0],
      b: [1, 1, 1, 1 / 500],
      different: [2 / 500, 1 / 500, 0, 1 / 500],
    });
    expect(ram?.a).toEqual({ length: 2000 * 4096, pageSize: 4096, pages: 2000, present: 1500 });
    expect(vga?.extents).toBe(0);
  });

  test("never writes the list over a file it compares, whatever that is called", async () => {
    await write(a, many());
    await write(b, many({ 7: 99 }));
    const before = [a, b].map((path) => fs.readFileSync(path));
    const [hard, soft] = [join(folder, "hard"), join(folder, "soft")];
    fs.linkSync(a, hard);
    fs.symlinkSync(b, soft);
    for (const pagesOut of [a, b, hard, soft])
      expect((await failure(() => diff({ a, b, pagesOut }))).code).toBe("usage.same-file");
    expect([a, b].map((path, i) => before[i]?.equals(fs.readFileSync(path)))).toEqual([true, true]);
    expect(fs.readdirSync(folder).sort()).toEqual(["a.fram", "b.fram", "hard", "soft"]);
  });

  test("shows both blocks of one name whose pages have different sizes", async () => {
    const mapWith = (pageSize: number, fill: number) => {
      const { map } = { map: mapOf([["ram", new Uint8Array(4 * PAGE).fill(fill)]]) };
      const blocks = map.blocks.map((block) => ({ ...block, pageSize, pages: block.length / pageSize }));
      return { ...map, blocks };
    };
    const [left, right] = [mapWith(PAGE, 1), mapWith(2 * PAGE, 2)];
    const [one, other] = [left.blocks[0] ?? null, right.blocks[0] ?? null];
    const gone = { block: "ram", kind: "gone", first: 0, pages: 4 } as const;
    const shown = await hexPage(left, right, { name: "ram", a: one, b: null }, gone, 3);
    expect([shown.offset, shown.bytes]).toEqual([3 * PAGE, PAGE]);
    const added = { block: "ram", kind: "added", first: 0, pages: 2 } as const;
    const reread = await hexPage(left, right, { name: "ram", a: null, b: other }, added, 1);
    expect([reread.offset, reread.bytes, reread.rows[0]?.a]).toEqual([2 * PAGE, 2 * PAGE, "00".repeat(16)]);
  });

  test("with a list that cannot be written leaves none behind", async () => {
    await write(a, many());
    const error = await failure(() => diff({ a, b: a, pagesOut: join(folder, "no", "list.tsv") }));
    expect(error.code).toMatch(/^(usage|system)\./);
    expect(fs.readdirSync(folder)).toEqual(["a.fram"]);
  });

  test("of a stream and a file, other devices and other machines", async () => {
    await write(a, [[3, 7]]);
    const steps: Step[] = [
      { kind: "page", block: 0, page: 3, fill: 7 },
      { kind: "page", block: 0, page: 5, fill: 8 },
      { kind: "xbzrle", block: 0, page: 3, at: 100, fill: 9 },
    ];
    const devices = [device("timer", Uint8Array.of(1, 2, 3, 4)), device("apic", new Uint8Array(8), 31)];
    const bytes = encode({
      blocks: [
        ["pc.ram", 2000],
        ["rom", 4],
      ],
      rounds: [steps],
      devices,
    });
    fs.writeFileSync(b, bytes);
    const result = await diff({ a, b, trustSeals: true });
    expect(result.notices.map(({ code }) => code)).toEqual(["no-seals"]);
    expect(result.pages).toMatchObject({ changed: 1, added: 1, gone: 0, trusted: 0 });
    expect(result.blocks.map(({ name, a: left, b: right }) => [name, left?.pages, right?.pages])).toEqual([
      ["pc.ram", 2000, 2000],
      ["vga", 4, undefined],
      ["rom", undefined, 4],
    ]);
    expect(result.devices.different.map(({ name, kind, bytes: count }) => [name, kind, count])).toEqual([
      ["timer", "changed", 4],
      ["apic", "added", 8],
    ]);
    const other = configuration("x-ignore-shared");
    expect(other.machine).toBe(result.a.machine);
  });

  test("that cannot open a file names it", async () => {
    await write(a, many());
    fs.writeFileSync(b, "nothing of the kind");
    const error = await failure(() => diff({ a, b }));
    expect(error).toMatchObject({ details: { path: b } });
  });
});

describe("trusted seals", () => {
  test("find what changed by digests, and read only that", async () => {
    await write(a, many());
    await write(b, many({ 3: 200, 700: 202 }));
    expect(await compared({ trustSeals: true })).toMatchObject({ changed: 2, trusted: 1498 });
    expect(await compared()).toMatchObject({ changed: 2, trusted: 0 });
  });

  test("don't see a page that was damaged since, which is why they are not trusted unasked", async () => {
    await write(a, many());
    const { pagesOffset } = await write(b, many());
    patch(b, pagesOffset + 10 * 4096, 0xee);
    expect(await compared({ trustSeals: true })).toMatchObject({ changed: 0, trusted: 1500 });
    expect(await compared()).toMatchObject({ changed: 1 });
  });

  test("are not trusted where digests or bits are not as they were sealed", async () => {
    await write(a, many());
    const { pagesOffset, bitmapOffset } = await write(b, many());
    patch(b, pagesOffset + 10 * 4096, 0xee);
    // A bit of another page of the same node: page 511.
    patch(b, bitmapOffset + 63, 0x7f);
    expect(await compared({ trustSeals: true })).toMatchObject({ changed: 1, gone: 1, trusted: 1500 - 512 });
  });

  test("need seals on both sides", async () => {
    await write(a, many());
    await write(b, many(), null);
    expect(await compared({ trustSeals: true })).toMatchObject({ extents: 0, trusted: 0 });
  });
});
