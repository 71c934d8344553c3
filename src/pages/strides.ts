import type { PageBatch } from "./sink.ts";

/** Entries [from, to) of a batch by runs that lie as far from one to the next. */
export function eachStride(
  { block: { pageSize }, offsets }: PageBatch,
  from: number,
  to: number,
  run: (at: number, end: number, stride: number) => void,
): void {
  for (let at = from; at < to; ) {
    const begin = offsets[at] ?? 0;
    const apart = (offsets[at + 1] ?? 0) - begin;
    const stride = at + 1 < to && apart >= pageSize ? apart : pageSize;
    let end = at + 1;
    while (end < to && offsets[end] === begin + (end - at) * stride) end++;
    run(at, end, stride);
    at = end;
  }
}
