import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { PageHasher } from "../../src/bytes/page-digest.ts";

const [p1, p2, p3, p4] = [0x9e3779b185ebca87n, 0xc2b2ae3d27d4eb4fn, 0x165667b19e3779f9n, 0x85ebca77c2b2ae63n];
const u64 = (value: bigint) => BigInt.asUintN(64, value);
const rotl = (value: bigint, by: bigint) => u64((value << by) | (value >> (64n - by)));
const round = (acc: bigint, word: bigint) => u64(rotl(u64(acc + word * p2), 31n) * p1);

/** xxh64 of a multiple of 32 bytes, seed 0, written from the algorithm's specification. */
function xxh64(bytes: Uint8Array): string {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
  const lanes = [u64(p1 + p2), p2, 0n, u64(-p1)];
  for (let at = 0; at < bytes.length; at += 32)
    for (const i of [0, 1, 2, 3]) lanes[i] = round(lanes[i] ?? 0n, view.getBigUint64(at + i * 8, true));
  const turns = [1n, 7n, 12n, 18n];
  let hash = u64(lanes.reduce((sum, lane, i) => sum + rotl(lane, turns[i] ?? 0n), 0n));
  for (const lane of lanes) hash = u64((hash ^ round(0n, lane)) * p1 + p4);
  hash = u64(hash + BigInt(bytes.length));
  hash = u64((hash ^ (hash >> 33n)) * p2);
  hash = u64((hash ^ (hash >> 29n)) * p3);
  return (hash ^ (hash >> 32n)).toString(16).padStart(16, "0");
}

const hex = (bytes: Uint8Array) => Buffer.from(bytes).toString("hex");
const noise = (length: number, seed: number) => {
  let state = seed;
  return Uint8Array.from({ length }, () => {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
    return state >>> 24;
  });
};

function digests(hasher: PageHasher, bytes: Uint8Array, offset: number, count: number, stride: number, size: number) {
  const into = new Uint8Array(count * 8 + 3);
  hasher.hash(bytes, offset, count, stride, size, into, 3);
  return Array.from({ length: count }, (_, i) => hex(into.subarray(3 + i * 8, 11 + i * 8)));
}

describe.each([false, true])("PageHasher, its memory shared: %s", (shared) => {
  const hasher = new PageHasher(2 ** 20, shared);

  it("gives xxh64 as others compute it", () => {
    // From another implementation of xxHash.
    expect(digests(hasher, new Uint8Array(64), 0, 1, 64, 64)).toEqual(["257b09a147b82a19"]);
    expect(digests(hasher, new Uint8Array(4096), 0, 1, 4096, 4096)).toEqual(["ac869b6f32d8bbdb"]);
    const page = noise(4096, 7);
    expect(digests(hasher, page, 0, 1, 4096, 4096)).toEqual([xxh64(page)]);
  });

  it("hashes pages in its own memory and elsewhere alike, at any place and stride", () => {
    const size = fc.constantFrom(64, 1024, 4096, 16384, 65536);
    fc.assert(
      fc.property(size, fc.nat(9), fc.nat(5), fc.nat(40), fc.nat(), (pageSize, count, gap, offset, seed) => {
        const stride = pageSize + gap * 8;
        const bytes = noise(offset + count * stride + pageSize, seed);
        const expected = Array.from({ length: count }, (_, i) =>
          xxh64(bytes.slice(offset + i * stride, offset + i * stride + pageSize)),
        );
        expect(digests(hasher, bytes, offset, count, stride, pageSize)).toEqual(expected);
        hasher.region.set(bytes);
        const view = hasher.region.subarray(0, bytes.length);
        expect(digests(hasher, view, offset, count, stride, pageSize)).toEqual(expected);
        const shifted = hasher.region.subarray(offset);
        expect(digests(hasher, shifted, 0, count, stride, pageSize)).toEqual(expected);
      }),
      { numRuns: 25 },
    );
  });

  it("hashes more pages than fit its scratch memory, or one call", () => {
    const bytes = noise(6000 * 64, 3);
    const all = digests(hasher, bytes, 0, 6000, 64, 64);
    hasher.region.set(bytes);
    expect(digests(hasher, hasher.region, 0, 6000, 64, 64)).toEqual(all);
    for (const i of [0, 4095, 4096, 5999]) expect(all[i]).toBe(xxh64(bytes.slice(i * 64, i * 64 + 64)));
    const pages = noise(200 * 4104, 5);
    const found = digests(hasher, pages, 8, 199, 4104, 4096);
    for (const i of [0, 62, 63, 64, 198]) expect(found[i]).toBe(xxh64(pages.slice(8 + i * 4104, 8 + i * 4104 + 4096)));
  });

  it("knows the digest of a zero page of each size", () => {
    for (const pageSize of [1024, 4096, 65536]) {
      expect(hex(hasher.zeroDigest(pageSize))).toBe(xxh64(new Uint8Array(pageSize)));
      expect(hasher.zeroDigest(pageSize)).toBe(hasher.zeroDigest(pageSize));
    }
  });

  it("finds a set byte anywhere", () => {
    hasher.region.fill(0);
    expect(hasher.isZero(64, 4096)).toBe(true);
    for (const at of [64, 65, 100, 4096, 4159]) {
      hasher.region[at] = 1;
      expect(hasher.isZero(64, 4096)).toBe(false);
      hasher.region[at] = 0;
    }
    hasher.region[63] = 1;
    hasher.region[4160] = 1;
    expect(hasher.isZero(64, 4096)).toBe(true);
  });

  it("refuses what lies outside, and sizes that the loop cannot do", () => {
    const into = new Uint8Array(64);
    const bytes = new Uint8Array(8192);
    expect(() => hasher.hash(bytes, 0, 3, 4096, 4096, into, 0)).toThrow(RangeError);
    expect(() => hasher.hash(bytes, -1, 1, 4096, 4096, into, 0)).toThrow(RangeError);
    expect(() => hasher.hash(bytes, 0, 2, 4000, 4096, into, 0)).toThrow(RangeError);
    for (const size of [0, 100, 2 ** 19])
      expect(() => hasher.hash(bytes, 0, 1, size, size, into, 0)).toThrow(RangeError);
    expect(() => hasher.isZero(2 ** 20 - 64, 128)).toThrow(RangeError);
    expect(() => hasher.isZero(0, 0)).toThrow(RangeError);
  });
});
