import { FixedramError } from "../errors.ts";
import type { RamBlock } from "./block.ts";
import type { PageMap } from "./map.ts";
import { type ExtentVisitor, walk } from "./plan.ts";
import type { PageBatch, Sink } from "./sink.ts";
import { takeZeros } from "./zeros.ts";

/** Bytes read at once: what files take fastest when they are written. */
const pieceBytes = 512 * 1024;
/** Bytes between two pages that are rather read than left out. The pages of a stream lie 8 bytes apart. */
const maxGap = 16 * 1024;
const mostPages = 1024;

/** For {@link CopyOptions.buffer}: bytes that are read into. */
export const copyBufferBytes = 2 * pieceBytes;

export interface CopyOptions {
  /** Where pages are read to; {@link copyBufferBytes}. Default: memory of its own. */
  readonly buffer?: Uint8Array;
  /** Bytes of pages given so far. */
  readonly onPages?: (bytes: number) => void;
  readonly signal?: AbortSignal;
}

/**
 * Gives every page of a page map to a sink, each once, without finishing it. While a piece is written the next one is read;
 * pages that lie near each other in the store are read together, whatever lies between them.
 *
 * @throws `file.truncated`; `file.ignore-shared` for a page that the map does not have; what the sink throws; the signal's reason
 */
export async function copyPages(
  map: PageMap,
  sink: Pick<Sink, "writePages" | "zeroPages">,
  options: CopyOptions = {},
): Promise<void> {
  const copier = new PageCopier(map, sink, options);
  try {
    await walk(map, copier, options.signal);
    await copier.finish();
  } finally {
    await copier.settle();
  }
}

/** For a copy that needs every page. */
export function absentPage({ name }: RamBlock, page: number): FixedramError {
  return new FixedramError("file.ignore-shared", "a page of the guest is not in the snapshot", {
    block: name,
    page,
    hint: "The guest's shared memory was left out (x-ignore-shared): save it again with that capability off.",
  });
}

/** Pages of one block and one store that are read together. */
class Piece {
  readonly batch: PageBatch;
  readonly bytes: Uint8Array;
  /** Byte range in the store. */
  start = 0;
  end = 0;
  store = -1;
  block = -1;
  reading: Promise<number> | null = null;

  constructor(bytes: Uint8Array) {
    this.bytes = bytes;
    this.batch = {
      block: { index: -1, name: "", length: 0, pageSize: 1, pages: 0 },
      count: 0,
      pages: new Float64Array(mostPages),
      offsets: new Uint32Array(mostPages),
      chunk: bytes,
    };
  }

  /** Takes up to `pages` pages; returns how many it took, 0 when they don't go with what it has. */
  add(block: RamBlock, first: number, pages: number, store: number, offset: number): number {
    const { batch } = this;
    if (batch.count === 0) {
      batch.block = block;
      this.block = block.index;
      this.store = store;
      this.start = offset;
      this.end = offset;
    } else if (this.block !== block.index || this.store !== store) return 0;
    if (offset < this.end || offset - this.end > maxGap) return 0;
    const { pageSize } = block;
    const at = offset - this.start;
    const count = Math.min(pages, mostPages - batch.count, Math.floor((this.bytes.length - at) / pageSize));
    if (count <= 0) return 0;
    for (let i = 0; i < count; i++) {
      batch.pages[batch.count + i] = first + i;
      batch.offsets[batch.count + i] = at + i * pageSize;
    }
    batch.count += count;
    this.end = offset + count * pageSize;
    return count;
  }
}

class PageCopier implements ExtentVisitor {
  readonly #map: PageMap;
  readonly #sink: Pick<Sink, "writePages" | "zeroPages">;
  readonly #options: CopyOptions;
  /** The one that is filled with pages to read, and the one that is being read. */
  #filling: Piece;
  #other: Piece;
  #bytes = 0;

  constructor(map: PageMap, sink: Pick<Sink, "writePages" | "zeroPages">, options: CopyOptions) {
    const buffer = options.buffer ?? new Uint8Array(copyBufferBytes);
    const half = Math.floor(buffer.length / 2);
    this.#map = map;
    this.#sink = sink;
    this.#options = options;
    this.#filling = new Piece(buffer.subarray(0, half));
    this.#other = new Piece(buffer.subarray(half, 2 * half));
  }

  data(index: number, first: number, pages: number, store: number, offset: number): void | Promise<void> {
    const block = this.#block(index);
    const done = this.#filling.add(block, first, pages, store, offset);
    if (done < pages) return this.#rest(block, first + done, pages - done, store, offset + done * block.pageSize);
  }

  zero(index: number, first: number, pages: number): void | Promise<void> {
    return this.#sink.zeroPages(this.#block(index), first, pages);
  }

  absent(index: number, first: number): void {
    throw absentPage(this.#block(index), first);
  }

  async finish(): Promise<void> {
    await this.#turn();
    await this.#turn();
  }

  /** Waits for reads under way, however they end: their store may be closed afterwards. */
  async settle(): Promise<void> {
    await Promise.allSettled([this.#filling.reading, this.#other.reading]);
  }

  async #rest(block: RamBlock, first: number, pages: number, store: number, offset: number): Promise<void> {
    for (let done = 0; done < pages; ) {
      await this.#turn();
      done += this.#filling.add(block, first + done, pages - done, store, offset + done * block.pageSize);
    }
  }

  /** Begins to read the piece that is filled, and writes the one before. */
  async #turn(): Promise<void> {
    const next = this.#filling;
    if (next.batch.count > 0) this.#read(next);
    await this.#write(this.#other);
    this.#filling = this.#other;
    this.#other = next;
  }

  #read(piece: Piece): void {
    const source = this.#map.stores[piece.store];
    if (source === undefined) throw new RangeError(`no store ${piece.store}`);
    const target = piece.bytes.subarray(0, piece.end - piece.start);
    piece.reading = source.read(target, piece.start, this.#options.signal);
    // Awaited when it is written; until then a failure must not count as unhandled.
    piece.reading.catch(() => {});
  }

  async #write(piece: Piece): Promise<void> {
    const { batch } = piece;
    if (piece.reading === null) return;
    const count = await piece.reading;
    if (count < piece.end - piece.start) throw this.#cut(piece, count);
    this.#bytes += batch.count * batch.block.pageSize;
    // ROM blocks are full of them.
    await Promise.all(takeZeros(batch, (block, page) => this.#sink.zeroPages(block, page, 1)));
    const waiting = batch.count === 0 ? undefined : this.#sink.writePages(batch);
    if (waiting !== undefined) await waiting;
    piece.reading = null;
    batch.count = 0;
    this.#options.onPages?.(this.#bytes);
  }

  #cut({ batch, start, store }: Piece, count: number): FixedramError {
    const { block, offsets, pages } = batch;
    let k = 0;
    while (k < batch.count && (offsets[k] ?? 0) + block.pageSize <= count) k++;
    return new FixedramError("file.truncated", "the file ends among its pages", {
      path: this.#map.stores[store]?.name ?? "",
      offset: start + count,
      block: block.name,
      page: pages[k] ?? 0,
      hint: "The file was cut, or is being changed. Fetch it again.",
    });
  }

  #block(index: number): RamBlock {
    const block = this.#map.blocks[index];
    if (block === undefined) throw new RangeError(`no block ${index}`);
    return block;
  }
}
