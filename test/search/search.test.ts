import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { searchPages } from "../../src/operations/inside/search-pages.ts";
import { type PatternOptions, parsePattern, type Scan } from "../../src/search/pattern.ts";
import { planBlock } from "../../src/search/plan.ts";
import { hitFields, mostHits, Searcher } from "../../src/search/searcher.ts";
import { mapOf, PAGE } from "../machine/sample.ts";

async function found(
  bytes: Uint8Array,
  scan: Scan,
  gap = 0,
  absent: readonly number[] = [],
): Promise<[number, number][]> {
  const map = mapOf([["ram", bytes]], gap, absent);
  const hits: [number, number][] = [];
  const options = { blocks: map.blocks, most: 1e9, context: { before: 5, after: 7 }, threads: 0 };
  for await (const { offset, length, context, before } of searchPages(map, scan, options)) {
    hits.push([offset, length]);
    // Not an expect for each: there may be many thousands.
    const there = bytes.subarray(offset - before, offset - before + context.length);
    if (scan.kind !== "strings" && Buffer.compare(context, there) !== 0) throw new Error(`the context at ${offset}`);
  }
  return hits;
}

/** Plain model: every place where it stands, but for those in pages of zeros alone. */
function model(bytes: Uint8Array, needle: Uint8Array, mask: Uint8Array | null): [number, number][] {
  const zeros = Array.from({ length: bytes.length / PAGE }, (_, page) =>
    bytes.subarray(page * PAGE, (page + 1) * PAGE).every((byte) => byte === 0),
  );
  const hits: [number, number][] = [];
  for (let at = 0; at + needle.length <= bytes.length; at++) {
    if (!needle.every((byte, i) => (((bytes[at + i] ?? 0) ^ byte) & (mask?.[i] ?? 0xff)) === 0)) continue;
    let page = Math.floor(at / PAGE);
    const last = Math.floor((at + needle.length - 1) / PAGE);
    while (page <= last && zeros[page] === true) page++;
    if (page <= last) hits.push([at, needle.length]);
  }
  return hits;
}

/** Six pages, some zero, others of few letters; a needle put across a border. */
const memory = fc
  .record({
    zero: fc.array(fc.boolean(), { minLength: 6, maxLength: 6 }),
    seed: fc.integer({ min: 1, max: 2 ** 30 }),
    needle: fc.uint8Array({ minLength: 1, maxLength: 9, max: 3 }),
    at: fc.array(fc.integer({ min: -8, max: 8 }), { maxLength: 5 }),
  })
  .map(({ zero, seed, needle, at }) => {
    const bytes = new Uint8Array(6 * PAGE);
    let state = seed;
    for (let i = 0; i < bytes.length; i++) {
      state = (state * 1103515245 + 12345) % 2147483648;
      if (zero[Math.floor(i / PAGE)] !== true) bytes[i] = (state >> 16) % 3 === 0 ? (state >> 8) & 3 : 9;
    }
    for (const [i, offset] of at.entries()) bytes.set(needle, (i + 1) * PAGE + offset);
    return { bytes, needle };
  });

describe("bytes", () => {
  test("are found wherever a plain model finds them, across pages, beside zeros, with pages apart in the file", async () => {
    await fc.assert(
      fc.asyncProperty(memory, fc.constantFrom(0, 8, 3 * PAGE), async ({ bytes, needle }, gap) => {
        expect(await found(bytes, { kind: "bytes", bytes: needle, mask: null }, gap)).toEqual(
          model(bytes, needle, null),
        );
      }),
      { numRuns: 25 },
    );
  });

  test("with wildcards too", async () => {
    await fc.assert(
      fc.asyncProperty(memory, fc.uint8Array({ minLength: 9, maxLength: 9 }), async ({ bytes, needle }, bits) => {
        const mask = needle.map((_, i) => ((bits[i] ?? 0) < 128 ? 0xff : (bits[i] ?? 0) < 192 ? 0 : 0x0f));
        expect(await found(bytes, { kind: "bytes", bytes: needle, mask })).toEqual(model(bytes, needle, mask));
      }),
      { numRuns: 25 },
    );
  });

  test("across jobs and windows: a needle at every border of 1 MiB and 16 MiB", async () => {
    const bytes = new Uint8Array(18 * 2 ** 20).fill(0xee);
    const needle = new TextEncoder().encode("over the border");
    const places = Array.from({ length: 17 }, (_, i) => (i + 1) * 2 ** 20 - (i % 15));
    for (const at of places) bytes.set(needle, at);
    expect(await found(bytes, parsePattern("over the border"))).toEqual(places.map((at) => [at, needle.length]));
  });

  test("at every place there is, a bounded number at a time", async () => {
    const bytes = new Uint8Array(40 * PAGE).fill(0xff);
    const scan = parsePattern("ffffffff", { as: "hex" });
    const hits = await found(bytes, scan);
    expect(hits.length).toBe(bytes.length - 3);
    expect(hits.every(([at], i) => at === i)).toBe(true);

    const map = mapOf([["ram", bytes]]);
    const [block] = map.blocks;
    if (block === undefined) throw new Error("no block");
    const [job] = planBlock(map, block, { bytes: 3, zerosEnd: false });
    if (job === undefined) throw new Error("no job");
    const searcher = new Searcher(scan, { before: 0, after: 0, hits: 1e9 });
    for (const part of [job, job]) {
      searcher.begin(part);
      for (let reads = searcher.next(); reads !== null; reads = searcher.next()) {
        for (const { target } of reads) target.fill(0xff);
        searcher.scan();
      }
    }
    const { hits: held, rest } = searcher.finish();
    expect(held.length).toBe(mostHits * hitFields);
    expect(rest).toEqual({ job: 0, from: mostHits });
  });

  test("strings and expressions go on where they stopped", async () => {
    const bytes = new Uint8Array(40 * PAGE);
    for (let at = 0; at < bytes.length; at += 5) bytes.set([0x61, 0x62, 0x63, 0x64], at);
    const expected = Array.from({ length: Math.floor(bytes.length / 5) }, (_, i) => [5 * i, 4]);
    expect(expected.length).toBeGreaterThan(mostHits);
    expect(await found(bytes, { kind: "strings", least: 4, utf16: false })).toEqual(expected);
    for (const source of ["abc[a-d]", "[a]bcd", "(?<=^|\\0)abcd"])
      expect(await found(bytes, parsePattern(source, { as: "regex" }))).toEqual(expected);
  });

  test("not across a page that the file does not have", async () => {
    const bytes = new Uint8Array(4 * PAGE).fill(1);
    const scan = parsePattern("01 01 01 01", { as: "hex" });
    const hits = await found(bytes, scan, 0, [1]);
    expect(hits.filter(([at]) => at > PAGE - 4 && at < 2 * PAGE)).toEqual([]);
    expect(hits).toHaveLength(PAGE - 3 + 2 * PAGE - 3);
  });
});

describe("patterns", () => {
  const text = (s: string) => new Uint8Array(Buffer.from(s, "latin1"));
  const inPage = async (content: Uint8Array, pattern: string, options: PatternOptions) => {
    const bytes = new Uint8Array(2 * PAGE).fill(0xff);
    bytes.set(content, PAGE - 3);
    return (await found(bytes, parsePattern(pattern, options))).map(([at, length]) => [at - PAGE + 3, length]);
  };

  test.each<[string, PatternOptions, Uint8Array, number[][]]>([
    ["grüß", {}, new TextEncoder().encode("xgrüß"), [[1, 6]]],
    [
      "Ab",
      { ignoreCase: true },
      text("aB ab AB xb"),
      [
        [0, 2],
        [3, 2],
        [6, 2],
      ],
    ],
    ["Ab", { utf16: true }, text("A\0b\0a\0b\0"), [[0, 4]]],
    [
      "Ab",
      { utf16: true, ignoreCase: true },
      text("A\0b\0a\0b\0"),
      [
        [0, 4],
        [4, 4],
      ],
    ],
    ["de ad ?? 0?", { as: "hex" }, Uint8Array.of(0xde, 0xad, 1, 0x0f, 0xde, 0xad, 1, 0x1f), [[0, 4]]],
    ["0xDEAD", { as: "hex" }, Uint8Array.of(0xde, 0xad), [[0, 2]]],
    [
      "a+b",
      { as: "regex" },
      text("aaab ab b"),
      [
        [0, 4],
        [5, 2],
      ],
    ],
    ["[0-9]{3}\\x00", { as: "regex" }, text("x123\x00"), [[1, 4]]],
    [
      "PASS(word)?",
      { as: "regex", ignoreCase: true },
      text("password pass"),
      [
        [0, 8],
        [9, 4],
      ],
    ],
  ])("%s %o", async (pattern, options, content, hits) => expect(await inPage(content, pattern, options)).toEqual(hits));

  test.each<[string, PatternOptions]>([
    ["", {}],
    ["abc", { as: "hex" }],
    ["xy", { as: "hex" }],
    ["????", { as: "hex" }],
    ["(", { as: "regex" }],
    ["a*", { as: "regex" }],
    ["x".repeat(5000), {}],
  ])("refused: %s %o", (pattern, options) => {
    expect(() => parsePattern(pattern, options)).toThrow(expect.objectContaining({ code: "usage.bad-pattern" }));
  });

  test("^ and $ are at line ends, wherever a part of the memory begins or ends", async () => {
    const bytes = new Uint8Array(2 * 2 ** 20).fill(0xee);
    const places = [PAGE + 3, 2 ** 19 - 3, 2 ** 20 - 1, 2 ** 20 + 2 ** 19];
    for (const at of places) bytes.set(Buffer.from("\nline\nin a line\n"), at - 1);
    for (let at = 2 ** 19; at < bytes.length; at += 2 ** 19) bytes.set(Buffer.from("line"), at - 200);
    const hits = await found(bytes, parsePattern("^line$", { as: "regex" }));
    expect(hits).toEqual(places.map((at) => [at, 4]));
  });

  test("an expression's matches don't overlap where a part ends", async () => {
    const bytes = new Uint8Array(3 * 2 ** 20).fill(0xee);
    bytes.fill(0x61, 2 ** 20 - 1000, 2 ** 20 + 1000);
    expect(await found(bytes, parsePattern("a+", { as: "regex" }))).toEqual([[2 ** 20 - 1000, 2000]]);
  });
});

describe("strings", () => {
  const wanted = (least: number, utf16 = false): Scan => ({ kind: "strings", least, utf16 });

  test("are those that a plain model finds", async () => {
    await fc.assert(
      fc.asyncProperty(
        fc.array(fc.tuple(fc.boolean(), fc.integer({ min: 1, max: 3000 })), { maxLength: 12 }),
        async (parts) => {
          const bytes = new Uint8Array(8 * PAGE).fill(1);
          let at = 0;
          const expected: [number, number][] = [];
          for (const [printable, length] of parts) {
            const end = Math.min(bytes.length, at + length);
            if (printable) bytes.fill(0x41, at, end);
            const last = expected.at(-1);
            if (printable && last !== undefined && last[0] + last[1] === at) last[1] += end - at;
            else if (printable && end > at) expected.push([at, end - at]);
            at = end;
          }
          expect(await found(bytes, wanted(4))).toEqual(expected.filter(([, length]) => length >= 4));
        },
      ),
      { numRuns: 25 },
    );
  });

  test("beside pages of zeros and missing ones, in UTF-16 with its last byte in a page of zeros", async () => {
    const bytes = new Uint8Array(12 * PAGE);
    bytes.fill(1, PAGE, 3 * PAGE);
    bytes.set(Buffer.from("the last text"), 3 * PAGE - 13);
    bytes.fill(1, 6 * PAGE, 7 * PAGE);
    bytes.set(Buffer.from("the last text", "utf16le").subarray(0, 25), 7 * PAGE - 25);
    bytes.fill(0x42, 8 * PAGE, 10 * PAGE);
    const narrow: [number, number][] = [
      [3 * PAGE - 13, 13],
      [8 * PAGE, 2 * PAGE],
    ];
    expect(await found(bytes, wanted(8))).toEqual(narrow);
    expect(await found(bytes, wanted(8), 8)).toEqual(narrow);
    expect(await found(bytes, wanted(8, true))).toEqual([[7 * PAGE - 25, 26]]);
    // Page 9 is missing: nothing is known of it.
    expect(await found(bytes, wanted(8), 0, [9])).toEqual([narrow[0], [8 * PAGE, PAGE]]);
  });

  test("across a part's border each is told once, in UTF-16 at odd places too", async () => {
    const bytes = new Uint8Array(2 * 2 ** 20).fill(1);
    bytes.fill(0x41, 2 ** 20 - 5, 2 ** 20 + 5);
    const wide = Buffer.from("wide text", "utf16le");
    bytes.set(wide, 4095);
    expect(await found(bytes, wanted(8))).toEqual([[2 ** 20 - 5, 10]]);
    expect(await found(bytes, wanted(8, true))).toEqual([[4095, 18]]);
  });
});
