import { type ByOffset, byBlock } from "../machine/by-offset.ts";
import type { PhysicalRange } from "../machine/memory-map.ts";
import type { RamBlock } from "../pages/block.ts";
import type { PageBatch, Sink } from "../pages/sink.ts";

/** What holds the bytes; TargetFile of storage is one. */
export interface ImageFile {
  write(bytes: Uint8Array, position: number): void;
  writev(views: readonly Uint8Array[], position: number): void;
  truncate(size: number): void;
}

/** A physical range and where its first byte goes in the file. */
export interface ImagePlace {
  readonly range: PhysicalRange;
  /** Bytes from the start of the file. */
  readonly position: number;
}

/**
 * Puts a guest's memory by physical address into a file: what {@link copyPages} gives, each page once. A page that the guest sees
 * at several addresses goes to each of them, one that it does not see goes nowhere; zero pages are holes.
 */
export class PhysicalImage implements Pick<Sink, "writePages" | "zeroPages"> {
  readonly #file: ImageFile;
  readonly #places: ReadonlyMap<string, ByOffset<ImagePlace>>;
  readonly #met: ImagePlace[] = [];
  readonly #views: Uint8Array[] = [];
  /** Bytes written, those at several addresses each time. */
  written = 0;

  constructor(file: ImageFile, places: readonly ImagePlace[]) {
    this.#file = file;
    this.#places = byBlock(places, ({ range }) => range);
  }

  writePages(batch: PageBatch): void {
    const places = this.#places.get(batch.block.name);
    if (places === undefined) return;
    const { block, count, pages } = batch;
    for (let from = 0; from < count; ) {
      const first = pages[from] ?? 0;
      let to = from + 1;
      while (to < count && pages[to] === first + (to - from)) to++;
      const met = places.meeting(first * block.pageSize, (first + to - from) * block.pageSize, this.#met);
      for (const place of met) this.#put(batch, from, to, place);
      from = to;
    }
  }

  /** Writes bytes of a block, from `offset` bytes into it, to every address where the guest sees them. */
  writeBytes(block: string, offset: number, bytes: Uint8Array): void {
    const met = this.#places.get(block)?.meeting(offset, offset + bytes.length, this.#met) ?? [];
    for (const { range, position } of met) {
      const start = Math.max(offset, range.offset);
      const end = Math.min(offset + bytes.length, range.offset + range.length);
      this.#file.write(bytes.subarray(start - offset, end - offset), position + start - range.offset);
      this.written += end - start;
    }
  }

  /** The file's holes read as zeros. */
  zeroPages(_block: RamBlock, _first: number, _count: number): void {}

  /** Writes what of pages batch.pages[from .. to), which follow each other, lies in the place's range. */
  #put({ block, pages, offsets, chunk }: PageBatch, from: number, to: number, { range, position }: ImagePlace): void {
    const { pageSize } = block;
    const first = pages[from] ?? 0;
    const start = Math.max(first * pageSize, range.offset);
    const end = Math.min((first + to - from) * pageSize, range.offset + range.length);
    if (start >= end) return;
    const views = this.#views;
    views.length = 0;
    let viewStart = -1;
    let viewEnd = -1;
    for (let page = Math.floor(start / pageSize); page * pageSize < end; page++) {
      const inChunk = (offsets[from + page - first] ?? 0) - page * pageSize;
      const begin = Math.max(start, page * pageSize) + inChunk;
      const stop = Math.min(end, (page + 1) * pageSize) + inChunk;
      if (begin !== viewEnd) {
        if (viewStart >= 0) views.push(chunk.subarray(viewStart, viewEnd));
        viewStart = begin;
      }
      viewEnd = stop;
    }
    views.push(chunk.subarray(viewStart, viewEnd));
    const at = position + start - range.offset;
    const [only] = views;
    if (views.length === 1 && only !== undefined) this.#file.write(only, at);
    else this.#file.writev(views, at);
    this.written += end - start;
  }
}
