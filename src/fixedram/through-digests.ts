import { digestBytes, type PageHasher } from "../bytes/page-digest.ts";
import type { RamBlock } from "../pages/block.ts";
import { type DigestedBlock, DigestKeeper } from "./digest-keeper.ts";
import { nodeBytes, type TableFile, tableBytes } from "./digest-table.ts";

/** Digests that one write takes at most: of a packet's pages, and more. */
const heldDigests = 512;

/**
 * Digests that go to the file at once, 8 bytes for each page and nothing beside them: so several threads may each keep those of
 * the pages that pass through their hands. A write more for each run of pages; {@link PageDigests} does without.
 */
export class ThroughDigests extends DigestKeeper {
  readonly #hasher: PageHasher;
  readonly #file: TableFile;
  readonly #held = new Uint8Array(heldDigests * digestBytes);

  /** @param file what the tables are written to */
  constructor(hasher: PageHasher, file: TableFile, blocks: readonly DigestedBlock[]) {
    super(blocks);
    this.#hasher = hasher;
    this.#file = file;
  }

  pages(block: RamBlock, first: number, count: number, bytes: Uint8Array, offset: number, stride: number): void {
    for (let done = 0; done < count; done += heldDigests) {
      const some = Math.min(count - done, heldDigests);
      this.#hasher.hash(bytes, offset + done * stride, some, stride, block.pageSize, this.#held, 0);
      this.#write(block, first + done, some);
    }
  }

  zeros(block: RamBlock, first: number, count: number): void {
    const digest = this.#hasher.zeroDigest(block.pageSize);
    for (let slot = 0; slot < Math.min(count, heldDigests); slot++) this.#held.set(digest, slot * digestBytes);
    for (let done = 0; done < count; done += heldDigests) {
      this.#write(block, first + done, Math.min(count - done, heldDigests));
    }
  }

  /** All of them do. */
  adopt(): void {}

  protected flush(): void {}

  protected copy(block: number, index: number, into: Uint8Array): void {
    const { block: ram, tableOffset } = this.#place(block);
    const length = Math.min(nodeBytes, tableBytes(ram.pages) - index * nodeBytes);
    into.fill(0);
    this.#file.readBack(into.subarray(0, length), tableOffset + index * nodeBytes);
  }

  #write(block: RamBlock, first: number, count: number): void {
    const { tableOffset } = this.#place(block.index);
    this.#file.write(this.#held.subarray(0, count * digestBytes), tableOffset + first * digestBytes);
  }

  #place(block: number): DigestedBlock {
    const place = this.blocks[block];
    if (place === undefined) throw new RangeError(`no block ${block}`);
    return place;
  }
}
