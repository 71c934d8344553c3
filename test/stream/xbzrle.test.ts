import fc from "fast-check";
import { expect, test } from "vitest";
import { decodeXbzrle } from "../../src/stream/xbzrle.ts";
import { bytesOf, errorOf } from "./helpers.ts";

/** Encodes the difference of two pages, for the test alone: docs/format.md, "XBZRLE". */
function encode(before: Uint8Array, after: Uint8Array): Uint8Array {
  const out: number[] = [];
  const uleb = (n: number) => out.push(...(n < 128 ? [n] : [(n % 128) + 128, Math.floor(n / 128)]));
  let at = 0;
  for (;;) {
    let from = at;
    while (from < after.length && before[from] === after[from]) from++;
    if (from === after.length) return new Uint8Array(out);
    let to = from;
    while (to < after.length && before[to] !== after[to]) to++;
    uleb(from - at);
    uleb(to - from);
    out.push(...after.subarray(from, to));
    at = to;
  }
}

test("a page and its change give the changed page", () => {
  const change = fc.record({ at: fc.nat(4095), bytes: fc.uint8Array({ minLength: 1, maxLength: 300 }) });
  fc.assert(
    fc.property(fc.nat(255), fc.array(change, { maxLength: 12 }), (fill, changes) => {
      const before = new Uint8Array(4096).fill(fill);
      const after = before.slice();
      for (const { at, bytes } of changes) after.set(bytes.subarray(0, 4096 - at), at);
      const page = before.slice();
      decodeXbzrle(page, encode(before, after));
      expect(page).toEqual(after);
    }),
  );
});

test("two-byte numbers, and a whole page", () => {
  const page = new Uint8Array(4096);
  decodeXbzrle(page, bytesOf(0x80 + 0x7e, 0x1f, 2, 7, 8));
  expect(page.lastIndexOf(0)).toBe(4093);
  const whole = new Uint8Array(2 + 1 + 4096).fill(5);
  whole.set([0, 0x80, 0x20]);
  decodeXbzrle(page, whole);
  expect(page.every((byte) => byte === 5)).toBe(true);
});

test.each([
  ["past the page", [0xff, 0x1f, 2, 1, 1]],
  ["run of nothing", [3, 0]],
  ["runs that touch", [0, 1, 9, 0, 1, 9]],
  ["cut before the count", [3]],
  ["cut in a number", [0x83]],
  ["cut in a run", [0, 3, 1, 1]],
  ["three-byte number", [0x80, 0x80, 1, 1, 1]],
])("%s", (_defect, data) => {
  expect(errorOf(() => decodeXbzrle(new Uint8Array(4096), new Uint8Array(data))).code).toBe("stream.xbzrle-data");
});

test("any bytes either decode or are refused, and nothing is written past the page", () => {
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 64 }), (data) => {
      const memory = new Uint8Array(300);
      try {
        decodeXbzrle(memory.subarray(100, 200), data);
      } catch (error) {
        expect(error).toHaveProperty("code", "stream.xbzrle-data");
      }
      expect(memory.subarray(0, 100).every((byte) => byte === 0)).toBe(true);
      expect(memory.subarray(200).every((byte) => byte === 0)).toBe(true);
    }),
  );
});
