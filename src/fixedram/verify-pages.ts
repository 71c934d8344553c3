import { bitmapBytes, PageBitmap, swapBitmapWords } from "../bytes/bitmap.ts";
import { digestBytes, PageHasher } from "../bytes/page-digest.ts";
import type { Store } from "../pages/store.ts";
import type { SealedBlock } from "./digest-sections.ts";
import { nodeBytes, nodePages, tableBytes } from "./digest-table.ts";
import { PagePieces, piecesRegion, readWhole } from "./page-pieces.ts";
import type { NodeCheck } from "./verify-node.ts";

const tableWindow = 64 * nodeBytes;

export interface PagesOptions {
  readonly signal?: AbortSignal | undefined;
  /** Default: a new one. Its region is {@link piecesRegion} bytes. */
  readonly hasher?: PageHasher | undefined;
  /** Bytes of pages read since the last call. */
  readonly onBytes?: ((bytes: number) => void) | undefined;
}

/** Reads all pages present of sealed blocks and compares them with their digests; memory: a few fixed buffers. */
export class PageVerifier {
  readonly #store: Store;
  readonly #options: PagesOptions;
  readonly #hasher: PageHasher;
  readonly #pieces: PagePieces;
  readonly #window = new Uint8Array(tableWindow);
  #windowAt = -1;

  constructor(store: Store, options: PagesOptions) {
    this.#store = store;
    this.#options = options;
    this.#hasher = options.hasher ?? new PageHasher(piecesRegion);
    this.#pieces = new PagePieces(store, this.#hasher, options.signal);
  }

  /** @param check is told of every node that has a page present, in order */
  async block(sealed: SealedBlock, bitmap: PageBitmap, check: NodeCheck): Promise<void> {
    const { pageSize } = sealed;
    this.#windowAt = -1;
    const node = new Uint8Array(nodeBytes);
    let current = -1;
    const close = async () => {
      if (current >= 0) await check.node(current, node, await this.#table(sealed, current), this.#hasher);
    };
    await this.#pieces.each(sealed, bitmap, async (first, count, at) => {
      for (let done = 0; done < count; ) {
        const index = Math.floor((first + done) / nodePages);
        if (index !== current) {
          await close();
          current = index;
        }
        const slot = first + done - index * nodePages;
        const some = Math.min(count - done, nodePages - slot);
        const from = at + done * pageSize;
        this.#hasher.hash(this.#hasher.region, from, some, pageSize, pageSize, node, slot * digestBytes);
        done += some;
      }
      this.#options.onBytes?.(count * pageSize);
    });
    await close();
    await check.end((index) => this.#table(sealed, index), this.#hasher);
  }

  /** The digest of one page as it stands. */
  async digest(sealed: SealedBlock, page: number): Promise<Uint8Array> {
    const bytes = new Uint8Array(sealed.pageSize);
    await readWhole(this.#store, bytes, sealed.pagesOffset + page * sealed.pageSize);
    const digest = new Uint8Array(digestBytes);
    this.#hasher.hash(bytes, 0, 1, sealed.pageSize, sealed.pageSize, digest, 0);
    return digest;
  }

  async #table(sealed: SealedBlock, index: number): Promise<Uint8Array> {
    const offset = index * nodeBytes;
    const total = tableBytes(sealed.pages);
    if (this.#windowAt < 0 || offset < this.#windowAt || offset >= this.#windowAt + tableWindow) {
      this.#windowAt = offset;
      const length = Math.min(tableWindow, total - offset);
      await readWhole(this.#store, this.#window.subarray(0, length), sealed.tableOffset + offset, this.#options.signal);
    }
    const from = offset - this.#windowAt;
    return this.#window.subarray(from, from + nodeBytes);
  }
}

/** Reads the bitmap of a sealed block; what it says, not what it should. */
export async function readSealedBitmap(store: Store, sealed: SealedBlock, bigEndian: boolean): Promise<PageBitmap> {
  const bytes = new Uint8Array(bitmapBytes(sealed.pages));
  await readWhole(store, bytes, sealed.bitmapOffset);
  if (bigEndian) swapBitmapWords(bytes);
  return new PageBitmap(sealed.pages, bytes);
}
