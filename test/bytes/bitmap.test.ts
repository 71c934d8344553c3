import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { bitmapBytes, PageBitmap, swapBitmapWords } from "../../src/bytes/bitmap.ts";
import { alignUp, isSize, sameBytes } from "../../src/bytes/numbers.ts";
import { isZero } from "../../src/bytes/zero.ts";

describe("PageBitmap", () => {
  it("puts page i at byte i >> 3, bit i & 7, in whole 64-bit words", () => {
    const map = new PageBitmap(70);
    map.set(0);
    map.set(9);
    map.set(69);
    expect([...map.bytes]).toEqual([1, 2, 0, 0, 0, 0, 0, 0, 0x20, 0, 0, 0, 0, 0, 0, 0]);
    expect(bitmapBytes(0)).toBe(0);
    expect(bitmapBytes(64)).toBe(8);
    expect(bitmapBytes(65)).toBe(16);
    expect(bitmapBytes(2 ** 28)).toBe(32 * 2 ** 20);
  });

  it("clears bits past the block's end when it takes bytes over", () => {
    const map = new PageBitmap(65, new Uint8Array(16).fill(0xff));
    expect(map.count()).toBe(65);
    expect(map.lastSet()).toBe(64);
    expect(map.bytes[8]).toBe(1);
  });

  it("refuses bytes of another length and ranges outside", () => {
    expect(() => new PageBitmap(65, new Uint8Array(8))).toThrow(RangeError);
    expect(() => new PageBitmap(10).setRange(5, 6)).toThrow(RangeError);
  });

  it("agrees with a plain array for any sequence of operations", () => {
    const operation = fc.tuple(fc.constantFrom("set", "clear", "setRange", "clearRange"), fc.nat(), fc.nat(150));
    fc.assert(
      fc.property(
        fc.integer({ min: 1, max: 300 }),
        fc.array(operation, { maxLength: 20 }),
        fc.nat(),
        (pages, list, at) => {
          const map = new PageBitmap(pages);
          const model = new Array<boolean>(pages).fill(false);
          for (const [what, where, length] of list) {
            const first = where % pages;
            const count = Math.min(length, pages - first);
            if (what === "set" || what === "clear") {
              expect(map[what](first)).toBe(model[first]);
              model[first] = what === "set";
            } else {
              map[what](first, count);
              model.fill(what === "setRange", first, first + count);
            }
          }
          const from = at % pages;
          const end = pages - (at % 3 < pages - from ? at % 3 : 0);
          const find = (value: boolean) => {
            const found = model.slice(from, end).indexOf(value);
            return found < 0 ? end : from + found;
          };
          expect(map.nextSet(from, end)).toBe(find(true));
          expect(map.nextClear(from, end)).toBe(find(false));
          expect(map.count(from, end)).toBe(model.slice(from, end).filter(Boolean).length);
          expect(map.count()).toBe(model.filter(Boolean).length);
          expect(map.lastSet()).toBe(model.lastIndexOf(true));
          expect(model.every((value, page) => map.get(page) === value)).toBe(true);
        },
      ),
      { numRuns: 400 },
    );
  });

  it("finds nothing in an empty range, wherever that is", () => {
    for (let from = 0; from <= 40; from++) {
      const map = new PageBitmap(40);
      expect(map.nextClear(from, from)).toBe(from);
      map.setRange(0, 40);
      expect(map.nextSet(from, from)).toBe(from);
    }
  });

  it("scans the bitmap of 1 TiB no slower than its bytes can be looked at one by one", () => {
    const map = new PageBitmap(2 ** 28);
    map.set(2 ** 28 - 1);
    map.setRange(2 ** 27, 2 ** 26);
    const quickest = (work: () => void): number => {
      const times = Array.from({ length: 5 }, () => {
        const start = performance.now();
        work();
        return performance.now() - start;
      });
      return Math.min(...times);
    };
    const scan = quickest(() => {
      expect(map.nextSet(0)).toBe(2 ** 27);
      expect(map.nextClear(2 ** 27)).toBe(2 ** 27 + 2 ** 26);
      expect(map.nextSet(2 ** 27 + 2 ** 26)).toBe(2 ** 28 - 1);
      expect(map.count()).toBe(2 ** 26 + 1);
    });
    let sum = 0;
    const look = quickest(() => {
      for (const byte of map.bytes) sum += byte;
    });
    expect(sum).toBeGreaterThan(0);
    // It goes over them twice; page by page it would take eight times as long.
    expect(scan).toBeLessThan(2 * look);
  });

  it("counts pages past 2^31", () => {
    const map = new PageBitmap(2 ** 32 + 8);
    map.set(2 ** 32 + 3);
    expect(map.get(2 ** 32 + 3)).toBe(true);
    expect(map.get(3)).toBe(false);
    expect(map.nextSet(2 ** 32 - 5)).toBe(2 ** 32 + 3);
    expect(map.lastSet()).toBe(2 ** 32 + 3);
  });

  it("reads a big-endian host's words", () => {
    const bytes = Uint8Array.from([0, 0, 0, 0, 0, 0, 2, 1]);
    swapBitmapWords(bytes);
    const map = new PageBitmap(64, bytes);
    expect([map.get(0), map.get(9), map.count()]).toEqual([true, true, 2]);
  });
});

describe("isZero", () => {
  it("finds a single set byte at any place and alignment", () => {
    fc.assert(
      fc.property(
        fc.nat(9),
        fc.nat(90),
        fc.nat(300),
        fc.integer({ min: 1, max: 255 }),
        (skew, length, place, value) => {
          const bytes = new Uint8Array(new ArrayBuffer(128), skew, 110);
          bytes.fill(0xff);
          bytes.fill(0, 10, 10 + length);
          expect(isZero(bytes, 10, 10 + length)).toBe(true);
          if (length === 0) return;
          bytes[10 + (place % length)] = value;
          expect(isZero(bytes, 10, 10 + length)).toBe(false);
        },
      ),
    );
  });

  it("does not take minus zero for zero", () => {
    expect(isZero(new Uint8Array(Float64Array.of(0, -0).buffer))).toBe(false);
  });
});

describe("numbers", () => {
  it("round up past 2^32", () => {
    expect(alignUp(2 ** 40 + 1, 2 ** 20)).toBe(2 ** 40 + 2 ** 20);
    expect(alignUp(2 ** 40, 2 ** 20)).toBe(2 ** 40);
  });

  it("know a size from other numbers", () => {
    expect([0, 2 ** 53 - 1, 2 ** 53, -1, 0.5, Number.NaN].map(isSize)).toEqual([
      true,
      true,
      false,
      false,
      false,
      false,
    ]);
  });

  it("compare bytes", () => {
    expect(sameBytes(Uint8Array.of(1, 2), Uint8Array.of(1, 2))).toBe(true);
    expect(sameBytes(Uint8Array.of(1, 2), Uint8Array.of(1, 3))).toBe(false);
    expect(sameBytes(Uint8Array.of(1), Uint8Array.of(1, 3))).toBe(false);
  });
});
