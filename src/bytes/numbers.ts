/**
 * Arithmetic on offsets and sizes: plain numbers up to 2^53 - 1, never the bitwise operators (they cut to 32 bits).
 */

const twoTo32 = 2 ** 32;

/** Rounds `value` up to a multiple of `alignment` (both bytes, alignment at least 1). */
export function alignUp(value: number, alignment: number): number {
  const rest = value % alignment;
  return rest === 0 ? value : value + (alignment - rest);
}

/** True for an integer from 0 to 2^53 - 1. */
export function isSize(value: number): boolean {
  return Number.isSafeInteger(value) && value >= 0;
}

/** Reads a big-endian u64. The result is exact only when {@link isSize} holds; larger values stay larger than 2^53 - 1. */
export function readU64(view: DataView, offset: number): number {
  return view.getUint32(offset) * twoTo32 + view.getUint32(offset + 4);
}

/** Writes a big-endian u64; `value` must satisfy {@link isSize}. */
export function writeU64(view: DataView, offset: number, value: number): void {
  if (!isSize(value)) throw new RangeError(`not a size: ${value}`);
  const high = Math.floor(value / twoTo32);
  view.setUint32(offset, high);
  view.setUint32(offset + 4, value - high * twoTo32);
}

/** Whether a[0 .. a.length) and b hold the same bytes. */
export function sameBytes(a: Uint8Array, b: Uint8Array): boolean {
  if (a.length !== b.length) return false;
  for (let i = 0; i < a.length; i++) if (a[i] !== b[i]) return false;
  return true;
}
