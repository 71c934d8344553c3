import type { PageBitmap } from "../bytes/bitmap.ts";
import type { PageHasher } from "../bytes/page-digest.ts";
import { FixedramError } from "../errors.ts";
import type { Store } from "../pages/store.ts";

/** Bytes that are read at once, into one of two places: one is worked on while the other is filled. */
const pieceBytes = 2 ** 20;
/** Bytes that the hasher's region must have. */
export const piecesRegion = 2 * pieceBytes;
/** Reads below this are not worth leaving the thread for. */
const smallRead = 64 * 1024;
const maxRuns = 512;

interface Piece {
  /** Where in the hasher's region. */
  readonly at: number;
  length: number;
  readonly first: number[];
  readonly count: number[];
}

/** Reads the pages present of blocks whose pages have fixed places, in order, into a hasher's region; two buffers of 1 MiB. */
export class PagePieces {
  readonly #store: Store;
  readonly #region: Uint8Array;
  readonly #signal: AbortSignal | undefined;
  readonly #pieces: readonly [Piece, Piece] = [newPiece(0), newPiece(pieceBytes)];

  /** @param hasher with a region of {@link piecesRegion} bytes */
  constructor(store: Store, hasher: PageHasher, signal: AbortSignal | undefined) {
    this.#store = store;
    this.#region = hasher.region;
    this.#signal = signal;
  }

  /**
   * @param visit pages [first, first + count), which lie at byte `at` of the region until it settles
   * @throws `file.truncated`, `system.*`, the signal's reason
   */
  async each(
    place: { readonly pagesOffset: number; readonly pageSize: number },
    bitmap: PageBitmap,
    visit: (first: number, count: number, at: number) => void | Promise<void>,
  ): Promise<void> {
    let [now, next] = this.#pieces;
    let page = 0;
    const plan = (piece: Piece) => {
      page = planPiece(piece, bitmap, page, place.pageSize);
      return this.#fill(piece, place.pagesOffset, place.pageSize);
    };
    let filling = plan(now);
    while (now.length > 0) {
      await filling;
      this.#signal?.throwIfAborted();
      filling = plan(next);
      // Nobody waits for it when this piece fails.
      filling.catch(() => {});
      let at = now.at;
      for (const [i, first] of now.first.entries()) {
        const count = now.count[i] ?? 0;
        const waiting = visit(first, count, at);
        if (waiting !== undefined) await waiting;
        at += count * place.pageSize;
      }
      [now, next] = [next, now];
    }
    await filling;
  }

  async #fill(piece: Piece, pagesOffset: number, pageSize: number): Promise<void> {
    let at = piece.at;
    for (const [i, first] of piece.first.entries()) {
      const length = (piece.count[i] ?? 0) * pageSize;
      const target = this.#region.subarray(at, at + length);
      const position = pagesOffset + first * pageSize;
      if (length < smallRead && this.#store.readSync !== undefined) {
        if (this.#store.readSync(target, position) !== length) throw truncated(this.#store, position);
      } else await readWhole(this.#store, target, position, this.#signal);
      at += length;
    }
  }
}

/** @throws `file.truncated` */
export async function readWhole(
  store: Store,
  target: Uint8Array,
  position: number,
  signal?: AbortSignal | undefined,
): Promise<void> {
  const count = await store.read(target, position, signal);
  if (count !== target.length) throw truncated(store, position + count);
}

function truncated(store: Store, offset: number): FixedramError {
  return new FixedramError("file.truncated", "the file became shorter while it was read", { path: store.name, offset });
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
