import type { PageBitmap } from "../bytes/bitmap.ts";
import type { RamBlock } from "../pages/block.ts";
import type { PageBatch } from "../pages/sink.ts";
import { eachStride } from "../pages/strides.ts";
import type { Digests, Region, SealedBlock } from "./digest-sections.ts";
import { nodeBytes } from "./digest-table.ts";
import { countNodes, encodeNodes, nodeEntryBytes, rootOf } from "./nodes.ts";

/** A block whose pages get digests. Offsets are bytes. */
export interface DigestedBlock {
  readonly block: RamBlock;
  readonly bitmapOffset: number;
  readonly pagesOffset: number;
  readonly tableOffset: number;
}

/** The digests of a file's pages, made while the pages pass; a page that comes again gets a new one. */
export abstract class DigestKeeper {
  readonly blocks: readonly DigestedBlock[];

  constructor(blocks: readonly DigestedBlock[]) {
    this.blocks = blocks;
  }

  /** Pages [first, first + count) of a block: bytes[offset ...), `stride` bytes from one to the next. */
  abstract pages(
    block: RamBlock,
    first: number,
    count: number,
    bytes: Uint8Array,
    offset: number,
    stride: number,
  ): void;

  /** Pages [first, first + count) are zero and count as present. */
  abstract zeros(block: RamBlock, first: number, count: number): void;

  /**
   * The digests of a run of whole nodes stand in the file already.
   *
   * @param bitmap which pages of the block are present
   */
  abstract adopt(block: RamBlock, firstPage: number, pages: number, bitmap: PageBitmap): void;

  /** Brings to the file what is not there yet. */
  protected abstract flush(): void;

  /** The digests of a node as they stand now; what is in slots of absent pages does not matter. @param into 4 KiB */
  protected abstract copy(block: number, index: number, into: Uint8Array): void;

  /** Pages [first, first + to - from), which are entries [from, to) of a batch. */
  batch(batch: PageBatch, from: number, to: number, first: number): void {
    const { block, offsets, chunk } = batch;
    eachStride(batch, from, to, (at, end, stride) =>
      this.pages(block, first + (at - from), end - at, chunk, offsets[at] ?? 0, stride),
    );
  }

  /** Brings the tables to the file and makes what the seal holds of them: of little-endian bitmaps. @param bitmaps which pages are present */
  finish(bitmaps: readonly PageBitmap[], regions: readonly Region[]): Digests {
    this.flush();
    const node = new Uint8Array(nodeBytes);
    const blocks: SealedBlock[] = [];
    const counts = bitmaps.map(countNodes);
    const nodes = new Uint8Array(counts.reduce((sum, count) => sum + count, 0) * nodeEntryBytes);
    let at = 0;
    for (const { block, bitmapOffset, pagesOffset, tableOffset } of this.blocks) {
      const bitmap = bitmaps[block.index];
      if (bitmap === undefined) throw new RangeError(`no bitmap of block ${block.index}`);
      const count = counts[block.index] ?? 0;
      const entries = nodes.subarray(at, at + count * nodeEntryBytes);
      at += entries.length;
      encodeNodes(bitmap, entries, (index) => {
        this.copy(block.index, index, node);
        return node;
      });
      const { pages, pageSize } = block;
      const places = { bitmapOffset, pagesOffset, tableOffset };
      blocks.push({ pages, pageSize, ...places, present: bitmap.count(), nodes: count, root: rootOf(entries) });
    }
    return { blocks, regions, nodes, bigEndian: false };
  }
}
