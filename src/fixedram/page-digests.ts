import type { PageBitmap } from "../bytes/bitmap.ts";
import { digestBytes, type PageHasher } from "../bytes/page-digest.ts";
import type { RamBlock } from "../pages/block.ts";
import type { PageBatch } from "../pages/sink.ts";
import type { Digests, Region, SealedBlock } from "./digest-sections.ts";
import { DigestTable, nodeBytes, nodePages, type TableFile } from "./digest-table.ts";
import { countNodes, encodeNodes, nodeEntryBytes, rootOf } from "./nodes.ts";

/** A block whose pages get digests. Offsets are bytes. */
export interface DigestedBlock {
  readonly block: RamBlock;
  readonly bitmapOffset: number;
  readonly pagesOffset: number;
  readonly tableOffset: number;
}

/** The digests of a file's pages, made while the pages pass; a page that comes again gets a new one. */
export class PageDigests {
  readonly #hasher: PageHasher;
  readonly #blocks: readonly DigestedBlock[];
  readonly #table: DigestTable;

  /** @param file what the tables are written to */
  constructor(hasher: PageHasher, file: TableFile, blocks: readonly DigestedBlock[]) {
    this.#hasher = hasher;
    this.#blocks = blocks;
    this.#table = new DigestTable(
      file,
      blocks.map(({ block, tableOffset }) => ({ tableOffset, pages: block.pages })),
    );
  }

  /** Pages [first, first + to - from), which are entries [from, to) of a batch. */
  batch({ block, offsets, chunk }: PageBatch, from: number, to: number, first: number): void {
    const { pageSize } = block;
    for (let at = from; at < to; ) {
      const begin = offsets[at] ?? 0;
      const apart = (offsets[at + 1] ?? 0) - begin;
      const stride = at + 1 < to && apart >= pageSize ? apart : pageSize;
      let end = at + 1;
      while (end < to && offsets[end] === begin + (end - at) * stride) end++;
      this.pages(block, first + (at - from), end - at, chunk, begin, stride);
      at = end;
    }
  }

  /** Pages [first, first + count) of a block: bytes[offset ...), `stride` bytes from one to the next. */
  pages(block: RamBlock, first: number, count: number, bytes: Uint8Array, offset: number, stride: number): void {
    for (let done = 0; done < count; ) {
      const index = Math.floor((first + done) / nodePages);
      const slot = first + done - index * nodePages;
      const some = Math.min(count - done, nodePages - slot);
      const node = this.#table.node(block.index, index);
      this.#hasher.hash(bytes, offset + done * stride, some, stride, block.pageSize, node, slot * digestBytes);
      done += some;
    }
  }

  /** The digests of a run of nodes stand in the file already. @param bitmap which pages of the block are present */
  adopt(block: RamBlock, firstPage: number, pages: number, bitmap: PageBitmap): void {
    const end = Math.ceil((firstPage + pages) / nodePages);
    const last = firstPage + pages;
    for (let node = firstPage / nodePages; node < end; node++) {
      const stop = Math.min((node + 1) * nodePages, last);
      if (bitmap.nextSet(node * nodePages, stop) < stop) this.#table.adopt(block.index, node);
    }
  }

  /** Pages [first, first + count) are zero and count as present. */
  zeros(block: RamBlock, first: number, count: number): void {
    const digest = this.#hasher.zeroDigest(block.pageSize);
    for (let page = first; page < first + count; page++) {
      const index = Math.floor(page / nodePages);
      this.#table.node(block.index, index).set(digest, (page - index * nodePages) * digestBytes);
    }
  }

  /** Brings the tables to the file and makes what the seal holds of them. @param bitmaps which pages are present */
  finish(bitmaps: readonly PageBitmap[], regions: readonly Region[]): Digests {
    this.#table.flush();
    const node = new Uint8Array(nodeBytes);
    const blocks: SealedBlock[] = [];
    const counts = bitmaps.map(countNodes);
    const nodes = new Uint8Array(counts.reduce((sum, count) => sum + count, 0) * nodeEntryBytes);
    let at = 0;
    for (const { block, bitmapOffset, pagesOffset, tableOffset } of this.#blocks) {
      const bitmap = bitmaps[block.index];
      if (bitmap === undefined) throw new RangeError(`no bitmap of block ${block.index}`);
      const count = counts[block.index] ?? 0;
      const entries = nodes.subarray(at, at + count * nodeEntryBytes);
      at += entries.length;
      encodeNodes(bitmap, entries, (index) => {
        this.#table.copy(block.index, index, node);
        return node;
      });
      const { pages, pageSize } = block;
      const places = { bitmapOffset, pagesOffset, tableOffset };
      blocks.push({ pages, pageSize, ...places, present: bitmap.count(), nodes: count, root: rootOf(entries) });
    }
    return { blocks, regions, nodes };
  }
}
