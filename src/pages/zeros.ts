import { isZero } from "../bytes/zero.ts";
import type { RamBlock } from "./block.ts";
import type { PageBatch } from "./sink.ts";

/**
 * Takes pages out of a batch whose bytes are all zero, and tells them: they are stored, but a file keeps holes for them.
 *
 * @param zero may return a promise, which is awaited by the caller of the returned one
 */
export function takeZeros(
  batch: PageBatch,
  zero: (block: RamBlock, page: number) => void | Promise<void>,
): Promise<void>[] {
  const { block, pages, offsets, chunk, count } = batch;
  const waiting: Promise<void>[] = [];
  let kept = 0;
  for (let k = 0; k < count; k++) {
    const at = offsets[k] ?? 0;
    const page = pages[k] ?? 0;
    if (isZero(chunk, at, at + block.pageSize)) {
      const promise = zero(block, page);
      if (promise !== undefined) waiting.push(promise);
      continue;
    }
    pages[kept] = page;
    offsets[kept] = at;
    kept++;
  }
  batch.count = kept;
  return waiting;
}
