import type { PageBitmap } from "../bytes/bitmap.ts";
import { digestBytes, type PageHasher } from "../bytes/page-digest.ts";
import type { RamBlock } from "../pages/block.ts";
import { type DigestedBlock, DigestKeeper } from "./digest-keeper.ts";
import { DigestTable, nodePages, type TableFile } from "./digest-table.ts";

/** Digests of which the latest are held in memory, and written together: for one thread that writes a file by itself. */
export class PageDigests extends DigestKeeper {
  readonly #hasher: PageHasher;
  readonly #table: DigestTable;

  /** @param file what the tables are written to */
  constructor(hasher: PageHasher, file: TableFile, blocks: readonly DigestedBlock[]) {
    super(blocks);
    this.#hasher = hasher;
    this.#table = new DigestTable(
      file,
      blocks.map(({ block, tableOffset }) => ({ tableOffset, pages: block.pages })),
    );
  }

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

  adopt(block: RamBlock, firstPage: number, pages: number, bitmap: PageBitmap): void {
    const end = Math.ceil((firstPage + pages) / nodePages);
    const last = firstPage + pages;
    for (let node = firstPage / nodePages; node < end; node++) {
      const stop = Math.min((node + 1) * nodePages, last);
      if (bitmap.nextSet(node * nodePages, stop) < stop) this.#table.adopt(block.index, node);
    }
  }

  zeros(block: RamBlock, first: number, count: number): void {
    const digest = this.#hasher.zeroDigest(block.pageSize);
    for (let page = first; page < first + count; page++) {
      const index = Math.floor(page / nodePages);
      this.#table.node(block.index, index).set(digest, (page - index * nodePages) * digestBytes);
    }
  }

  protected flush(): void {
    this.#table.flush();
  }

  protected copy(block: number, index: number, into: Uint8Array): void {
    this.#table.copy(block, index, into);
  }
}
