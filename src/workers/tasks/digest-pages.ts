import { PageBitmap } from "../../bytes/bitmap.ts";
import { sameBytes } from "../../bytes/numbers.ts";
import { digestBytes } from "../../bytes/page-digest.ts";
import { nodeBytes, nodePages } from "../../fixedram/digest-table.ts";
import { nodeCalls } from "../../storage/system-calls.ts";
import { writeFully } from "../../storage/write-fully.ts";
import { PageReader, pieceBytes, type SharedFile, threadHasher } from "../page-reader.ts";
import type { TaskContext } from "../protocol.ts";

/** Whole nodes of one block of a file that is being sealed. Offsets are bytes. */
export interface DigestJob {
  readonly file: SharedFile;
  readonly pageSize: number;
  /** Pages of the job: 512 a node, the block's last node may have fewer. */
  readonly pages: number;
  /** Of the job's first page: its place, and that of its digest. */
  readonly pagesOffset: number;
  readonly tableOffset: number;
  /** 64 bytes a node: which pages are present. */
  readonly bits: Uint8Array;
  /** Whether a page present that is zero is looked for. */
  readonly findZero: boolean;
}

/** The first page present, from the job's first, that is zero, if such a one was looked for; -1: none. */
export type DigestResult = number;

/**
 * Reads every page present and writes its digest to the table, node by node; nodes without a page stay holes.
 *
 * @throws `file.truncated`, `system.*`
 */
export function run(job: DigestJob, context: TaskContext): DigestResult {
  const { file, pageSize, pages, pagesOffset, tableOffset, bits, findZero } = job;
  const bitmap = new PageBitmap(pages, bits);
  const hasher = threadHasher();
  const reader = new PageReader(hasher.region, pageSize);
  const zero = hasher.zeroDigest(pageSize);
  const table = new Uint8Array(nodeBytes);
  const target = { calls: nodeCalls, fd: file.fd, path: file.name };
  const most = Math.floor(pieceBytes / pageSize);
  for (let first = 0; first < pages && !context.cancelled(); first += nodePages) {
    const end = Math.min(first + nodePages, pages);
    let page = bitmap.nextSet(first, end);
    if (page === end) continue;
    table.fill(0);
    while (page < end) {
      const stop = bitmap.nextClear(page, Math.min(end, page + most));
      reader.read(file, pagesOffset + page * pageSize, pageSize, stop - page);
      hasher.hash(hasher.region, 0, stop - page, pageSize, pageSize, table, (page - first) * digestBytes);
      for (; findZero && page < stop; page++) {
        const at = (page - first) * digestBytes;
        if (sameBytes(table.subarray(at, at + digestBytes), zero)) return page;
      }
      page = bitmap.nextSet(stop, end);
    }
    writeFully(target, table.subarray(0, (end - first) * digestBytes), tableOffset + first * digestBytes);
  }
  return -1;
}
