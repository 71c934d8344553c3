import fc from "fast-check";
import { expect, test } from "vitest";
import { isZero } from "../../src/bytes/zero.ts";

test("a byte that is not zero is seen wherever it stands, in whatever part of a buffer is asked about", () => {
  const property = fc.property(fc.nat(40), fc.nat(90), fc.option(fc.nat(99)), fc.nat(7), (from, length, at, shift) => {
    const bytes = new Uint8Array(new ArrayBuffer(200), shift, 140);
    if (at !== null) bytes[at] = 0x80;
    const inside = at !== null && at >= from && at < from + length;
    expect(isZero(bytes, from, from + length)).toBe(!inside);
  });
  fc.assert(property, { numRuns: 2000 });
});
