import type { RamBlock } from "./block.ts";

/**
 * Pages of one block whose bytes lie in one chunk. The arrays and the chunk are reused: valid until the call returns.
 *
 * Page k (k < count) is page index `pages[k]` of block `block`; its bytes are chunk[offsets[k] .. offsets[k] + pageSize).
 */
export interface PageBatch {
  block: RamBlock;
  count: number;
  readonly pages: Float64Array;
  readonly offsets: Uint32Array;
  chunk: Uint8Array;
}

/**
 * Takes what a stream or a page map gives, in any order; a page may come again, the last word counts.
 *
 * Methods return a promise only when they have to wait; a caller awaits only then.
 */
export interface Sink {
  writePages(batch: PageBatch): void | Promise<void>;
  /** Pages [first, first + count) are zero. */
  zeroPages(block: RamBlock, first: number, count: number): void | Promise<void>;
  finish(): Promise<void>;
  /** Gives up: releases what is held and leaves nothing half-made behind. */
  abort(): Promise<void>;
}

/** A sink in which every page has a place, so that a page can be changed by what it held: XBZRLE needs that. */
export interface PlacedSink extends Sink {
  /** Writes one page that does not lie in a chunk. @param bytes a page */
  writePage(block: RamBlock, page: number, bytes: Uint8Array): void;
  /** Reads a page as it stands now; zeros when it was never written. @param into a page */
  readPage(block: RamBlock, page: number, into: Uint8Array): void;
}
