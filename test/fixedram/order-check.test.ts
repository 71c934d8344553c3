/** Files are refused for the order of their bitmaps where the wrong one was given, and never where the right one was. */
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { swapBitmapWords } from "../../src/bytes/bitmap.ts";
import { byteOfPage } from "../../src/fixedram/byte-order.ts";
import { fitsOtherOrder } from "../../src/fixedram/order-check.ts";
import { openFixedRam } from "../../src/fixedram/reader.ts";
import { storeOf } from "../hostile/run.ts";
import { mapped } from "../hostile/sound.ts";

const pageSize = 1024;

/** A page as its file has it: what stands at its place, and whether its bit is set. */
interface Page {
  readonly zero: boolean;
  readonly set: boolean;
}

type File = readonly (readonly Page[])[];

/** What QEMU and fixedram write: `kind` says how. */
type Kind = "detect" | "none" | "own";

/** What became of a page: `never` touched; data; `stale`: data in an earlier round, zero now; `left` out by a guest that gave it up. */
type Fate = "never" | "data" | "stale" | "left";

/** By docs/format.md, "Which order" and "Zero pages". */
function written(kind: Kind, fate: Fate, main: boolean): Page {
  if (fate === "left") return { zero: true, set: false };
  if (fate === "data") return { zero: false, set: true };
  // Zeros are written over what stood there, and the bit is set.
  if (kind === "none" || (kind === "own" && !main)) return { zero: true, set: true };
  return { zero: fate === "never", set: false };
}

async function refused(file: File, { written, read }: { written: "little" | "big"; read: "little" | "big" }) {
  const blocks = file.map((pages, i) => ({
    name: `block${i}`,
    pages: pages.length,
    present: Object.fromEntries(pages.flatMap(({ set, zero }, page) => (set ? [[page, zero ? 0 : 7]] : []))),
  }));
  const sound = mapped({ pageSize, pageBits: 10, blocks, bigEndian: written === "big" });
  const bytes = sound.bytes.slice();
  for (const [i, pages] of file.entries())
    for (const [page, { zero, set }] of pages.entries())
      if (!set && !zero) bytes.fill(9, sound.at(`block${i}.page${page}`), sound.at(`block${i}.page${page}`) + pageSize);
  const store = storeOf(bytes);
  return fitsOtherOrder(await openFixedRam(store, { allowEmpty: true, bigEndianBitmaps: read === "big" }));
}

/** Stretches of pages with one fate, as memory has them. */
const stretches = (fates: readonly Fate[]) =>
  fc.array(fc.tuple(fc.constantFrom(...fates), fc.nat({ max: 70 })), { minLength: 1, maxLength: 12 });
const pagesOf = (list: readonly (readonly [Fate, number])[], kind: Kind, main: boolean): Page[] =>
  list.flatMap(([fate, count]) => Array.from({ length: count + 1 }, () => written(kind, fate, main)));
const anyFate: readonly Fate[] = ["never", "data", "stale"];
const files = fc
  .constantFrom<Kind>("detect", "none", "own")
  .chain((kind) =>
    fc
      .tuple(stretches(kind === "own" ? anyFate : [...anyFate, "left"]), stretches(anyFate), stretches(anyFate))
      .map(
        ([ram, rom, other]): File => [
          pagesOf(ram, kind, true),
          pagesOf(rom, kind, false),
          pagesOf(other.slice(0, 1), kind, false),
        ],
      ),
  );
const runs = { numRuns: process.env["FIXEDRAM_LONG"] === "1" ? 2000 : 60 };

describe("the order of a file's bitmaps", () => {
  test.each(["little", "big"] as const)("a %s-endian file is not refused when it is read so", async (order) => {
    await fc.assert(
      fc.asyncProperty(files, async (file) => {
        expect(await refused(file, { written: order, read: order })).toBe(false);
      }),
      runs,
    );
  });

  test("a file is refused exactly where it contradicts the order given, and not the other", async () => {
    let refusals = 0;
    await fc.assert(
      fc.asyncProperty(files, fc.constantFrom("little" as const, "big" as const), async (file, order) => {
        const found = await refused(file, { written: order, read: order === "big" ? "little" : "big" });
        expect(found).toBe(contradicted(file));
        if (found) refusals++;
      }),
      runs,
    );
    expect(refusals).toBeGreaterThan(runs.numRuns / 3);
  });

  test("memory with pages that were never touched among its data is refused in the wrong order", async () => {
    const memory = fc
      .array(fc.tuple(fc.integer({ min: 1, max: 40 }), fc.integer({ min: 1, max: 40 })), { minLength: 4, maxLength: 9 })
      .filter((list) => list.some(([data, zero]) => data % 64 !== 32 || zero % 64 !== 32))
      .map((list) =>
        list.flatMap(([data, zero]): [Fate, number][] => [
          ["data", data - 1],
          ["never", zero - 1],
        ]),
      );
    await fc.assert(
      fc.asyncProperty(memory, async (list) => {
        const file = [pagesOf(list, "detect", true)];
        expect(await refused(file, { written: "big", read: "little" })).toBe(!mirrors(file));
      }),
      runs,
    );
  });
});

test("zero pages that are there in both orders hide nothing: what is written where no page is tells", async () => {
  // Made without a look for zero pages: some were given up by the guest, a word of zeros has all of its bits.
  const file: File = [
    [
      ...pagesOf(
        [
          ["data", 7],
          ["left", 55],
        ],
        "none",
        true,
      ),
      ...pagesOf([["never", 63]], "none", true),
      ...pagesOf(
        [
          ["never", 3],
          ["data", 3],
          ["left", 55],
        ],
        "none",
        true,
      ),
    ],
  ];
  for (const order of ["little", "big"] as const) {
    expect(await refused(file, { written: order, read: order })).toBe(false);
    expect(await refused(file, { written: order, read: order === "big" ? "little" : "big" })).toBe(true);
  }
});

test("no more pages are read than it is told, and what they say counts", async () => {
  // In each word 8 pages of data, which would be 8 others in the other order: those hold data too, of an earlier round.
  const odd = (page: number) => page % 64 < 8;
  const there = (page: number) => page % 64 >= 56;
  const present = Object.fromEntries(
    Array.from({ length: 640 }, (_, page) => [page, 7]).filter(([page]) => odd(page ?? 0)),
  );
  const sound = mapped({ pageSize, pageBits: 10, blocks: [{ name: "ram", pages: 640, present }] });
  const bytes = sound.bytes.slice();
  for (let page = 0; page < 640; page++)
    if (there(page)) bytes.fill(9, sound.at(`block0.page${page}`), sound.at(`block0.page${page}`) + pageSize);
  const looksAt = async (most: number, read: "little" | "big") => {
    let reads = 0;
    const store = storeOf(bytes);
    const opened = await openFixedRam(store, { bigEndianBitmaps: read === "big" });
    const counted: typeof store.read = (...args) => {
      reads++;
      return store.read(...args);
    };
    const found = await fitsOtherOrder({ ...opened, store: { ...store, read: counted } }, undefined, most);
    return [found, reads];
  };
  // A word is looked at whole.
  expect(await looksAt(20, "little")).toEqual([false, 33]);
  expect(await looksAt(1000, "little")).toEqual([false, 161]);
  // A page that would be present in the other order is zero now: read so, the file is refused.
  bytes.fill(0, sound.at("block0.page56"), sound.at("block0.page56") + pageSize);
  expect(await looksAt(1000, "big")).toEqual([true, 83]);
});

test("of pages that are present in both orders no more are read than it is told", async () => {
  // The first page is zero, and there in this order alone; behind its word all are there.
  const present = Object.fromEntries(
    Array.from({ length: 640 }, (_, page) => [page, page === 0 ? 0 : 7]).filter(([page = 0]) => page < 8 || page >= 64),
  );
  const sound = mapped({ pageSize, pageBits: 10, blocks: [{ name: "ram", pages: 640, present }] });
  const bytes = sound.bytes.slice();
  bytes.fill(9, sound.at("block0.page56"), sound.at("block0.page63") + pageSize);
  const store = storeOf(bytes);
  const opened = await openFixedRam(store);
  for (const most of [20, 1000]) {
    let reads = 0;
    const read: typeof store.read = (...args) => {
      reads++;
      return store.read(...args);
    };
    expect(await fitsOtherOrder({ ...opened, store: { ...store, read } }, undefined, most)).toBe(true);
    // Two and nine tell that one is zero and the others are not.
    expect(reads).toBe(2 + 9 + Math.min(most, 576));
  }
});

test("the byte of a page's bit is where swapping the words puts it", () => {
  for (let page = 0; page < 256; page++) {
    const bytes = new Uint8Array(32);
    bytes[byteOfPage(page, true)] = 1 << (page % 8);
    swapBitmapWords(bytes);
    expect([bytes.findIndex((byte) => byte !== 0), bytes[Math.floor(page / 8)]]).toEqual([
      byteOfPage(page, false),
      1 << (page % 8),
    ]);
  }
});

const mirror = (page: number): number => page - (page % 64) + (7 - Math.floor((page % 64) / 8)) * 8 + (page % 8);

/** Whether the file reads the same in both orders. */
const mirrors = (file: File): boolean =>
  file.every((pages) => pages.every(({ set }, page) => !set || pages[mirror(page)]?.set === true));

/** The rule in plain words, with sets of pages: of a file read in the other order than its own. */
function contradicted(file: File): boolean {
  let [past, zeroHere, dataHere, dataThere, zeroThere] = [false, false, false, false, false];
  for (const pages of file) {
    for (const [page, { set, zero }] of pages.entries()) {
      // Where the bit of this page would be taken to stand, and whose bit is taken for its own.
      const place = mirror(page);
      if (set && place >= pages.length) past = true;
      const taken = pages[place]?.set === true;
      if (set && zero) zeroThere = true;
      if (set && !taken && !zero) dataThere = true;
      if (!set && taken && zero) zeroHere = true;
      if (!set && taken && !zero) dataHere = true;
    }
  }
  return past || (dataThere && !dataHere) || (zeroHere && dataThere && !zeroThere);
}
