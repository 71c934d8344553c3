/** What happens to a sealed file's bytes is found, each of them, and the page that is not as it was is named. */
import { execFileSync } from "node:child_process";
import * as fs from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { describe, expect, test } from "vitest";
import { FixedramError } from "../../src/errors.ts";
import { readSealAlone } from "../../src/fixedram/seal.ts";
import { checkSealed } from "../../src/fixedram/verify.ts";
import { FixedRamWriter } from "../../src/fixedram/writer.ts";
import { verify } from "../../src/operations/verify.ts";
import { TargetFile } from "../../src/storage/target-file.ts";
import { batch, configuration, meta, ramStart, tail } from "../fixedram/sample.ts";
import { Random } from "./fuzz/engine.ts";
import { sealedFiles } from "./fuzz/targets/sealed-file.ts";
import { storeOf } from "./run.ts";

/** What a check says: each problem as `code block page count`. */
async function problems(bytes: Uint8Array, deep: boolean): Promise<string[]> {
  try {
    const store = storeOf(bytes);
    const seal = await readSealAlone(store);
    if (seal === null) return ["no seal"];
    const found = await checkSealed(store, seal, { deep });
    return found.problems.list.map(({ code, block, page, pages }) =>
      [code, block, page, pages].filter((each) => each !== undefined).join(" "),
    );
  } catch (error) {
    if (error instanceof FixedramError) return [error.code];
    throw error;
  }
}

const { bytes: sealedFile, covered } = (await sealedFiles()).inPlace;
const pageSize = 1024;
const long = process.env["FIXEDRAM_LONG"] === "1";

/** Blocks and present pages of the small file, and where they lie. */
const present = [
  ["ram", 0],
  ["ram", 1],
  ["ram", 8],
  ["rom", 1],
] as const;

/** The pages, found by what they hold (sound.ts: page i ends in i and is filled with its byte). */
function placeOf(block: string, page: number): number {
  const fill = { ram: [1, 2, 3], rom: [4] }[block]?.[block === "ram" ? [0, 1, 8].indexOf(page) : 0] ?? 0;
  for (let at = 0; at + pageSize <= sealedFile.length; at += pageSize)
    if (sealedFile[at] === fill && sealedFile[at + 500] === fill && sealedFile[at + pageSize - 1] === page) return at;
  throw new Error(`no page ${page} of ${block}`);
}

describe("a small sealed file", () => {
  test("is sound", async () => expect(await problems(sealedFile, true)).toEqual([]));

  test("each byte that is no page is flipped in turn", async () => {
    const pages = present.map(([block, page]) => placeOf(block, page));
    const inPage = (at: number) => pages.some((place) => at >= place && at < place + pageSize);
    let flipped = 0;
    for (let at = 0; at < sealedFile.length; at++) {
      if (inPage(at)) continue;
      // Padding is thousands of zeros: some of it, all of it in the long run.
      if (sealedFile[at] === 0 && at % 37 !== 0 && !long) continue;
      const bytes = sealedFile.slice();
      bytes[at] = (bytes[at] ?? 0) ^ (1 << (at % 8));
      const quick = covered[at] === 0 ? [] : await problems(bytes, false);
      const found = quick.length === 0 ? await problems(bytes, true) : quick;
      expect([at, found.length > 0]).toEqual([at, covered[at] !== 0]);
      flipped++;
    }
    expect(flipped).toBeGreaterThan(1500);
  }, 300_000);

  test("bytes of pages, one at a time: the page is named", async () => {
    const random = new Random(5);
    for (let i = 0; i < (long ? 10_000 : 300); i++) {
      const [block, page] = present[random.below(present.length)] ?? present[0];
      const bytes = sealedFile.slice();
      const at = placeOf(block, page) + random.below(pageSize);
      bytes[at] = (bytes[at] ?? 0) ^ (1 + random.below(255));
      expect(await problems(bytes, true)).toEqual([`seal.damaged-page ${block} ${page} 1`]);
    }
  }, 300_000);

  test("any two pages in each other's place: both are named", async () => {
    for (const [i, [block, page]] of present.entries()) {
      for (const [other, another] of present.slice(i + 1)) {
        const bytes = sealedFile.slice();
        const [a, b] = [placeOf(block, page), placeOf(other, another)];
        bytes.copyWithin(a, b, b + pageSize);
        bytes.set(sealedFile.subarray(a, a + pageSize), b);
        const named = (each: string, index: number) => `seal.damaged-page ${each} ${index} 1`;
        // Neighbours are told as one.
        const both =
          block === other && another === page + 1
            ? [`seal.damaged-page ${block} ${page} 2`]
            : [named(block, page), named(other, another)];
        expect(await problems(bytes, true)).toEqual(both);
      }
    }
  });

  test("each bit of a bitmap, set or cleared: the page is named", async () => {
    const set = (block: string) => present.filter(([each]) => each === block).map(([, page]) => page);
    for (const [block, pages] of [
      ["ram", 9],
      ["rom", 2],
    ] as const) {
      const at = bitmapOf(set(block));
      for (let page = 0; page < pages; page++) {
        const bytes = sealedFile.slice();
        const byte = at + Math.floor(page / 8);
        bytes[byte] = (bytes[byte] ?? 0) ^ (1 << (page % 8));
        expect(await problems(bytes, true)).toEqual(["seal.damaged-region", `seal.damaged-bitmap ${block} ${page} 1`]);
      }
    }
  });
});

/** Where 8 bytes with these bits stand before the pages. */
function bitmapOf(pages: readonly number[]): number {
  const bits = new Uint8Array(8);
  for (const page of pages) bits[page >> 3] = (bits[page >> 3] ?? 0) | (1 << (page % 8));
  const found = Buffer.from(sealedFile).indexOf(bits);
  if (found < 0) throw new Error("no bitmap");
  return found;
}

test("extents that a filesystem lost, punched out of a file on disk: every page of them is named", async () => {
  const folder = fs.mkdtempSync(join(tmpdir(), "fixedram-holes-"));
  try {
    const file = join(folder, "guest.fram");
    const writer = new FixedRamWriter(TargetFile.create(file), configuration(), ramStart(["pc.ram", 4000]), {
      isMainRam: () => true,
    });
    const [ram] = writer.blocks;
    const [layout] = writer.layout.blocks;
    if (ram === undefined || layout === undefined) throw new Error("no block");
    for (const first of [0, 600, 3000])
      writer.writePages(
        batch(
          ram,
          Array.from({ length: 200 }, (_, i): [number, number] => [first + i, 1 + (i % 250)]),
          0,
        ),
      );
    writer.tail(tail());
    await writer.finish(meta);
    const whole = fs.readFileSync(file);
    const size = 4096;
    for (const [first, count] of [
      [0, 1],
      [600, 200],
      [650, 16],
      [3199, 1],
      [0, 4000],
    ] as const) {
      const args = [
        "--punch-hole",
        "--offset",
        String(layout.pagesOffset + first * size),
        "--length",
        String(count * size),
        file,
      ];
      execFileSync("fallocate", args);
      const { ok, problems: found } = await verify({ file, deep: true });
      expect(ok).toBe(false);
      const named = found.flatMap(({ page = -1, pages = 0 }) => Array.from({ length: pages }, (_, i) => page + i));
      const lost = [0, 600, 3000]
        .flatMap((start) => Array.from({ length: 200 }, (_, i) => start + i))
        .filter((page) => page >= first && page < first + count);
      expect(named).toEqual(lost);
      for (const { code, message } of found) {
        expect(code).toBe("seal.damaged-page");
        expect(message).toContain("only zeros");
      }
      fs.writeFileSync(file, whole);
      expect((await verify({ file, deep: true })).ok).toBe(true);
    }
  } finally {
    fs.rmSync(folder, { recursive: true });
  }
}, 60_000);
