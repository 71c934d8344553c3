import type { ViewRange } from "./protocol.ts";

/** A stretch of guest-physical addresses on the strip; `range` null: nothing is there. */
export interface Part {
  readonly start: number;
  readonly length: number;
  readonly range: ViewRange | null;
  readonly left: number;
  readonly width: number;
}

const gapWidth = 58;
const leastWidth = 9;

/** Neighbouring ranges of one block are one part; holes are drawn short, whatever their length. */
export function partsOf(ranges: readonly ViewRange[], width: number): readonly Part[] {
  const joined: { start: number; length: number; range: ViewRange | null }[] = [];
  let end = 0;
  for (const range of ranges) {
    if (range.start > end) joined.push({ start: end, length: range.start - end, range: null });
    const last = joined.at(-1);
    if (last?.range != null && last.range.block === range.block && last.start + last.length === range.start)
      last.length += range.length;
    else joined.push({ start: range.start, length: range.length, range });
    end = Math.max(end, range.start + range.length);
  }
  const gap = Math.min(gapWidth, width / (2 * joined.length));
  const least = Math.min(leastWidth, width / (2 * joined.length));
  const gaps = joined.filter(({ range }) => range === null).length;
  const bytes = joined.reduce((sum, { range, length }) => sum + (range === null ? 0 : length), 0);
  const room = Math.max(1, width - gaps * gap - (joined.length - gaps) * least);
  let left = 0;
  return joined.map((part) => {
    const wide = part.range === null ? gap : least + (room * part.length) / bytes;
    const placed = { ...part, left, width: wide };
    left += wide;
    return placed;
  });
}
