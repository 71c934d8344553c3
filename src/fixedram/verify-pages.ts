import { PageBitmap } from "../bytes/bitmap.ts";
import { digestBytes, PageHasher } from "../bytes/page-digest.ts";
import { FixedramError } from "../errors.ts";
import type { Store } from "../pages/store.ts";
import type { SealedBlock } from "./digest-sections.ts";
import { nodeBytes, nodePages, tableBytes } from "./digest-table.ts";
import type { NodeCheck } from "./verify-node.ts";

/** Bytes that are read at once, into one of two places: one is hashed while the other is filled. */
const pieceBytes = 2 ** 20;
/** Reads below this are not worth leaving the thread for. */
const smallRead = 64 * 1024;
const maxRuns = 512;
const tableWindow = 64 * nodeBytes;

interface Piece {
  /** Where in the hasher's region. */
  readonly at: number;
  length: number;
  readonly first: number[];
  readonly count: number[];
}

export interface PagesOptions {
  readonly signal?: AbortSignal | undefined;
  /** Bytes of pages read since the last call. */
  readonly onBytes?: ((bytes: number) => void) | undefined;
}

/** Reads all pages present of sealed blocks and compares them with their digests; memory: a few fixed buffers. */
export class PageVerifier {
  readonly #store: Store;
  readonly #options: PagesOptions;
  readonly #hasher = new PageHasher(2 * pieceBytes);
  readonly #pieces: readonly [Piece, Piece] = [newPiece(0), newPiece(pieceBytes)];
  readonly #window = new Uint8Array(tableWindow);
  #windowAt = -1;

  constructor(store: Store, options: PagesOptions) {
    this.#store = store;
    this.#options = options;
  }

  /** @param check is told of every node that has a page present, in order */
  async block(sealed: SealedBlock, bitmap: PageBitmap, check: NodeCheck): Promise<void> {
    this.#windowAt = -1;
    const node = new Uint8Array(nodeBytes);
    let current = -1;
    const close = async () => {
      if (current >= 0) await check.node(current, node, await this.#table(sealed, current), this.#hasher);
    };
    let [now, next] = this.#pieces;
    let page = 0;
    const plan = (piece: Piece) => {
      page = planPiece(piece, bitmap, page, sealed.pageSize);
      return this.#fill(piece, sealed);
    };
    let filling = plan(now);
    while (now.length > 0) {
      await filling;
      this.#options.signal?.throwIfAborted();
      filling = plan(next);
      // Nobody waits for it when this piece fails.
      filling.catch(() => {});
      let at = now.at;
      for (const [i, first] of now.first.entries()) {
        const count = now.count[i] ?? 0;
        for (let done = 0; done < count; ) {
          const index = Math.floor((first + done) / nodePages);
          if (index !== current) {
            await close();
            current = index;
          }
          const slot = first + done - index * nodePages;
          const some = Math.min(count - done, nodePages - slot);
          this.#hasher.hash(this.#hasher.region, at, some, sealed.pageSize, sealed.pageSize, node, slot * digestBytes);
          at += some * sealed.pageSize;
          done += some;
        }
      }
      this.#options.onBytes?.(now.length);
      [now, next] = [next, now];
    }
    await filling;
    await close();
    await check.end(async (index) => this.#table(sealed, index), this.#hasher);
  }

  /** The digest of one page as it stands. */
  async digest(sealed: SealedBlock, page: number): Promise<Uint8Array> {
    const bytes = new Uint8Array(sealed.pageSize);
    await this.#read(bytes, sealed.pagesOffset + page * sealed.pageSize);
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
      await this.#read(this.#window.subarray(0, length), sealed.tableOffset + offset);
    }
    const from = offset - this.#windowAt;
    return this.#window.subarray(from, from + nodeBytes);
  }

  async #fill(piece: Piece, sealed: SealedBlock): Promise<void> {
    let at = piece.at;
    for (const [i, first] of piece.first.entries()) {
      const length = (piece.count[i] ?? 0) * sealed.pageSize;
      const target = this.#hasher.region.subarray(at, at + length);
      const position = sealed.pagesOffset + first * sealed.pageSize;
      if (length < smallRead && this.#store.readSync !== undefined) {
        if (this.#store.readSync(target, position) !== length) throw truncated(this.#store, position);
      } else await this.#read(target, position);
      at += length;
    }
  }

  async #read(target: Uint8Array, position: number): Promise<void> {
    const count = await this.#store.read(target, position, this.#options.signal);
    if (count !== target.length) throw truncated(this.#store, position + count);
  }
}

function truncated(store: Store, offset: number): FixedramError {
  return new FixedramError("file.truncated", "The file became shorter while it was read", { path: store.name, offset });
}

function newPiece(at: number): Piece {
  return { at, length: 0, first: [], count: [] };
}

/** Takes the next pages present from `from` on, as many as fit; returns the page behind them. */
function planPiece(piece: Piece, bitmap: PageBitmap, from: number, pageSize: number): number {
  piece.first.length = 0;
  piece.count.length = 0;
  piece.length = 0;
  let page = bitmap.nextSet(from);
  while (page < bitmap.pages && piece.first.length < maxRuns) {
    const room = Math.floor((pieceBytes - piece.length) / pageSize);
    if (room === 0) break;
    const end = bitmap.nextClear(page, Math.min(bitmap.pages, page + room));
    piece.first.push(page);
    piece.count.push(end - page);
    piece.length += (end - page) * pageSize;
    page = bitmap.nextSet(end);
  }
  return page;
}

/** Reads a bitmap as it stands in the file. */
export async function readSealedBitmap(store: Store, sealed: SealedBlock, length: number): Promise<PageBitmap> {
  const bytes = new Uint8Array(length);
  const count = await store.read(bytes, sealed.bitmapOffset);
  if (count !== length) throw truncated(store, sealed.bitmapOffset + count);
  return new PageBitmap(sealed.pages, bytes);
}
