/** The WebAssembly that looks through windows, held against loops over bytes. */
import fc from "fast-check";
import { expect, test } from "vitest";
import { expressionStart } from "../../src/search/expression.ts";
import { ScanMemory } from "../../src/search/memory.ts";
import { scannerOf } from "../../src/search/scan.ts";

const size = 1000;
const memory = new ScanMemory(size, size);

/** A window of few letters, and where hits may begin, and what is loaded. */
const windows = (letters: readonly number[]) =>
  fc
    .record({
      bytes: fc.array(fc.constantFrom(...letters), { minLength: 1, maxLength: size }),
      /** Stretches of one letter, of which words of 64 bytes are full. */
      fills: fc.array(fc.tuple(fc.nat({ max: size }), fc.nat({ max: 200 }), fc.constantFrom(...letters)), {
        maxLength: 6,
      }),
      /** Of a thousand. */
      cuts: fc.tuple(fc.nat({ max: 1000 }), fc.nat({ max: 1000 })),
    })
    .map(({ bytes, fills, cuts }) => {
      const window = new Uint8Array(size).fill(letters[0] ?? 0);
      window.set(bytes);
      for (const [at, length, letter] of fills) window.fill(letter, at, Math.min(size, at + length));
      const end = Math.max(bytes.length, ...fills.map(([at, length]) => Math.min(size, at + length)));
      const [x, y] = cuts.map((cut) => Math.floor((cut * end) / 1000)) as [number, number];
      return { window: window.subarray(0, end), from: Math.min(x, y), to: Math.max(x, y), end };
    });

function load(window: Uint8Array): void {
  // What stood there before must not matter.
  memory.window.fill(0x41);
  memory.window.set(window);
}

test("bytes under a mask are found where a loop finds them", () => {
  const needles = fc.array(fc.tuple(fc.constantFrom(0, 1, 2, 0x41), fc.constantFrom(0xff, 0xff, 0xff, 0, 0x0f, 0x40)), {
    minLength: 1,
    maxLength: 70,
  });
  fc.assert(
    fc.property(windows([0, 1, 2, 0x41]), needles, ({ window, from, to, end }, needle) => {
      load(window);
      memory.look({
        bytes: Uint8Array.from(needle, ([byte]) => byte),
        mask: Uint8Array.from(needle, ([, mask]) => mask),
      });
      const found: number[] = [];
      memory.places(from, to, end, (at) => found.push(at) > 0);
      const expected: number[] = [];
      for (let at = from; at < to && at + needle.length <= end; at++)
        if (needle.every(([byte, mask], i) => (((window[at + i] ?? 0) ^ byte) & mask) === 0)) expected.push(at);
      expect(found).toEqual(expected);
    }),
    { numRuns: 300 },
  );
});

test("more places than are told in one go", () => {
  const large = new ScanMemory(10_000);
  large.window.fill(7);
  large.look({ bytes: Uint8Array.of(7, 7), mask: Uint8Array.of(0xff, 0xff) });
  const found: number[] = [];
  large.places(3, 10_000, 10_000, (at) => found.push(at) > 0);
  expect(found).toEqual(Array.from({ length: 9996 }, (_, i) => i + 3));
});

/** Runs of printable characters, by a loop over all of the window. */
function runs(window: Uint8Array, least: number, wide: boolean): [number, number][] {
  const step = wide ? 2 : 1;
  const isOne = (at: number) => {
    const byte = window[at] ?? 0;
    return ((byte >= 0x20 && byte <= 0x7e) || byte === 9) && (!wide || window[at + 1] === 0);
  };
  const found: [number, number][] = [];
  for (let at = 0; at < window.length; ) {
    const begin = at;
    while (at < window.length && isOne(at)) at += step;
    if (at - begin >= least) found.push([begin, at - begin]);
    if (at === begin) at++;
  }
  return found;
}

test.each([
  ["one byte", false],
  ["UTF-16", true],
] as const)("runs of printable characters, %s a character, are those that a loop finds", (_, wide) => {
  const letters = wide ? [0, 0x41, 0, 0x20, 0xff] : [0x41, 0x7e, 0x20, 9, 0x7f, 0x1f, 0xff];
  const pairs = fc.array(fc.tuple(fc.nat({ max: size }), fc.nat({ max: 150 })), { minLength: 2, maxLength: 8 });
  // Most are short, so that what a border cuts off still is one.
  const least = fc.oneof({ weight: 3, arbitrary: fc.integer({ min: 1, max: 8 }) }, fc.integer({ min: 1, max: 140 }));
  fc.assert(
    fc.property(windows(letters), pairs, least, ({ window, from, to, end }, texts, characters) => {
      // Texts of zeros and letters at odd and even places.
      if (wide) {
        for (const [at, length] of texts)
          for (let i = at; i < Math.min(end, at + length); i++) window[i] = (i - at) % 2 === 0 ? 0x61 : 0;
      }
      load(window);
      const bytes = wide ? 2 * characters : characters;
      const found: [number, number][] = [];
      memory.runs(from, to, end, bytes, wide, (at, length) => found.push([at, length]) > 0);
      expect(found).toEqual(runs(window, bytes, wide).filter(([at]) => at >= from && at < to));
    }),
    { numRuns: 500 },
  );
});

test.each<[string, string, string | null]>([
  ["password=[a-z]{8}", "", "password="],
  ["a\\.b\\x2fc.d", "", "a.b/c"],
  ["ab+c", "", "ab"],
  ["abc*", "", "ab"],
  ["abc?d", "", "ab"],
  ["abc{2}", "", "ab"],
  ["a(b|c)", "", "a"],
  ["a[|]b", "", "a"],
  ["a\\|b", "", "a|b"],
  ["ab|cd", "", null],
  ["(ab|cd)", "", null],
  ["^abc", "", null],
  ["\\babc", "", null],
  ["a*", "", null],
  ["[a-z]b", "", null],
  ["x\u00e9y", "", "x\u00e9y"],
  ["x\u00e9y", "i", "x"],
])("the known start of /%s/%s is %s", (source, flags, start) => {
  const found = expressionStart(source, flags);
  expect(found === null ? null : String.fromCharCode(...found.bytes)).toBe(start);
});

test("an expression with a known start finds what it finds without", () => {
  const sources = ["ab", "a+b", "ab[^a]", "aa(b|c)", "a.{0,3}c", "ab$", "A?b", "a(?=bb)", "b(?<!ab)", "bc+"];
  fc.assert(
    fc.property(
      windows([0x61, 0x62, 0x63, 0x0a, 0x41]),
      fc.constantFrom(...sources),
      fc.constantFrom("gms", "gmsi"),
      ({ window, from, to, end }, source, flags) => {
        load(window);
        const found: [number, number][] = [];
        scannerOf({ kind: "regex", source, flags }, memory)(
          from,
          to,
          end,
          (at, length) => found.push([at, length]) > 0,
        );
        const text = Buffer.from(window).toString("latin1");
        const regex = new RegExp(source, flags);
        regex.lastIndex = from;
        const expected: [number, number][] = [];
        for (let match = regex.exec(text); match !== null && match.index < to; match = regex.exec(text))
          expected.push([match.index, match[0].length]);
        expect(found).toEqual(expected);
      },
    ),
    { numRuns: 500 },
  );
});
