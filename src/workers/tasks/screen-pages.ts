import { PageBitmap } from "../../bytes/bitmap.ts";
import { sameBytes } from "../../bytes/numbers.ts";
import { digestBytes } from "../../bytes/page-digest.ts";
import { nodeBytes, nodePages } from "../../fixedram/digest-table.ts";
import { NodeHasher } from "../../fixedram/nodes.ts";
import { PageReader, pieceBytes, readFully, type SharedFile, threadHasher } from "../page-reader.ts";
import type { TaskContext } from "../protocol.ts";

/** Nodes of one sealed block, to be compared with the seal. Offsets are bytes. */
export interface ScreenJob {
  readonly file: SharedFile;
  readonly pageSize: number;
  /** Pages of the block. */
  readonly pages: number;
  readonly pagesOffset: number;
  readonly tableOffset: number;
  readonly firstNode: number;
  /** 64 bytes a node: the bitmap as it stands. */
  readonly bits: Uint8Array;
  /** 32 bytes a node: the SHA-256 that was sealed; zeros where the seal has none. */
  readonly expected: Uint8Array;
}

/** Nodes, from the job's first, in which something is not as it was sealed. */
export type ScreenResult = readonly number[];

/** Reads every page present of the nodes, and says which nodes want a closer look: their SHA-256 or a digest in the table differs. */
export function run(job: ScreenJob, context: TaskContext): ScreenResult {
  const { file, pageSize, pagesOffset, tableOffset, firstNode, bits, expected } = job;
  const nodes = expected.length / 32;
  const pages = Math.min(nodes * nodePages, job.pages - firstNode * nodePages);
  const bitmap = new PageBitmap(pages, bits);
  const hasher = threadHasher();
  const reader = new PageReader(hasher.region, pageSize);
  const hash = new NodeHasher();
  const found = new Uint8Array(nodeBytes);
  const table = new Uint8Array(nodeBytes);
  const most = Math.floor(pieceBytes / pageSize);
  const suspects: number[] = [];
  for (let node = 0; node < nodes && !context.cancelled(); node++) {
    const first = node * nodePages;
    const end = Math.min(first + nodePages, pages);
    if (bitmap.nextSet(first, end) === end) {
      if (expected.subarray(node * 32, node * 32 + 32).some((byte) => byte !== 0)) suspects.push(node);
      continue;
    }
    const tableAt = (firstNode * nodePages + first) * digestBytes;
    const slots = table.subarray(0, (end - first) * digestBytes);
    readFully(file, slots, tableOffset + tableAt);
    let same = true;
    for (let page = bitmap.nextSet(first, end); page < end; ) {
      const stop = bitmap.nextClear(page, Math.min(end, page + most));
      reader.read(file, pagesOffset + (firstNode * nodePages + page) * pageSize, pageSize, stop - page);
      const at = (page - first) * digestBytes;
      hasher.hash(hasher.region, 0, stop - page, pageSize, pageSize, found, at);
      const length = (stop - page) * digestBytes;
      same &&= sameBytes(found.subarray(at, at + length), table.subarray(at, at + length));
      page = bitmap.nextSet(stop, end);
    }
    if (!same || !sameBytes(hash.hash(bitmap, node, found), expected.subarray(node * 32, node * 32 + 32)))
      suspects.push(node);
  }
  return suspects;
}
