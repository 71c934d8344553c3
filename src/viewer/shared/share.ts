/** A share as a byte: only nothing is 0, only all of it is 255. */
export function shareByte(part: number, whole: number): number {
  if (part <= 0 || whole <= 0) return 0;
  if (part >= whole) return 255;
  return Math.max(1, Math.min(254, Math.round((part / whole) * 255)));
}
