/**
 * Arithmetic on offsets and sizes: plain numbers up to 2^53 - 1, never the bitwise operators (they cut to 32 bits).
 */

/** Rounds `value` up to a multiple of `alignment` (both bytes, alignment at least 1). */
export function alignUp(value: number, alignment: number): number {
  const rest = value % alignment;
  return rest === 0 ? value : value + (alignment - rest);
}

/** True for an integer from 0 to 2^53 - 1. */
export function isSize(value: number): boolean {
  return Number.isSafeInteger(value) && value >= 0;
}

/** Whether a[0 .. a.length) and b hold the same bytes. */
export function sameBytes(a: Uint8Array, b: Uint8Array): boolean {
  if (a.length !== b.length) return false;
  for (let i = 0; i < a.length; i++) if (a[i] !== b[i]) return false;
  return true;
}
