import { PageBitmap, SharedBitmap } from "../bytes/bitmap.ts";
import { printable } from "../bytes/text.ts";
import { FixedramError } from "../errors.ts";
import type { RamBlock } from "../pages/block.ts";
import type { PageBatch } from "../pages/sink.ts";
import { eachStride } from "../pages/strides.ts";
import type { DigestKeeper } from "./digest-keeper.ts";
import type { PlannedBlock } from "./layout.ts";

/** What pages need of the file they are written to. Positions are bytes. */
export interface PlacedFile {
  write(bytes: Uint8Array, position: number): void;
  writev(views: readonly Uint8Array[], position: number): void;
  readBack(target: Uint8Array, position: number): number;
  /** `count` pieces of `size` bytes of a chunk, the first at `offset`, `stride` bytes from one to the next: one behind the other from `position`. */
  writeStrided?(chunk: Uint8Array, offset: number, count: number, size: number, stride: number, position: number): void;
}

/** The bits of one block, for several threads: see {@link PlacedPages}. Goes to a thread as it is. */
export interface SharedBits {
  readonly bitmap: SharedArrayBuffer;
  /** Null: the bitmap itself. */
  readonly content: SharedArrayBuffer | null;
}

/** ext4 takes pieces of 256 to 512 KiB about twice as fast as 1 MiB. */
export const writeBytes = 512 * 1024;
const zeros = new Uint8Array(64 * 1024);

export interface BlockState {
  readonly layout: PlannedBlock;
  /** As it will stand in the file. */
  readonly bitmap: PageBitmap;
  /**
   * Pages whose place holds the bytes of the last PAGE. In main RAM that is the bitmap itself, and a page that became zero
   * leaves stale bytes behind; in other blocks zero pages have their bit set too, so this is another one.
   */
  readonly content: PageBitmap;
}

/**
 * The pages of a fixed-ram file while it is written: each goes to its place when it comes, and its digest to its slot; a page
 * that comes again overwrites both. Nothing is written late.
 *
 * Several threads may each have one for the same file, with the same shared bits, as long as no page is in two hands at a time
 * and each keeps digests that are written through ({@link ThroughDigests}).
 */
export class PlacedPages {
  /** PAGE records, and zero pages, given so far. */
  written = 0;
  zerosGiven = 0;
  /** Pages written over the bytes of an earlier write of the same page. */
  rewritten = 0;
  readonly states: readonly BlockState[];
  readonly #file: PlacedFile;
  readonly #digests: DigestKeeper | null;
  readonly #views: Uint8Array[] = [];

  /**
   * @param main whether zero pages of a block are left as holes, a clear bit each
   * @param shared bits that other threads have too, one for each block; null: they are this object's alone
   */
  constructor(
    file: PlacedFile,
    blocks: readonly PlannedBlock[],
    main: (block: RamBlock) => boolean,
    digests: DigestKeeper | null,
    shared: readonly SharedBits[] | null = null,
  ) {
    this.#file = file;
    this.#digests = digests;
    this.states = blocks.map((layout, index) => {
      const bits = shared?.[index];
      const make = (memory: SharedArrayBuffer | undefined): PageBitmap =>
        memory === undefined ? new PageBitmap(layout.block.pages) : new SharedBitmap(layout.block.pages, memory);
      const bitmap = make(bits?.bitmap);
      return { layout, bitmap, content: main(layout.block) ? bitmap : make(bits?.content ?? undefined) };
    });
  }

  writePages(batch: PageBatch): void {
    const { count, pages } = batch;
    const state = this.#state(batch.block);
    let from = 0;
    while (from < count) {
      const first = pages[from] ?? -1;
      let to = from + 1;
      while (to < count && pages[to] === first + (to - from)) to++;
      checkRange(state, first, to - from);
      this.#writeRun(state, batch, from, to, first);
      from = to;
    }
  }

  /** Writes one page that does not lie in a chunk, such as one that was encoded. @param bytes a page */
  writePage(block: RamBlock, page: number, bytes: Uint8Array): void {
    const state = this.#state(block);
    checkRange(state, page, 1);
    if (bytes.length !== block.pageSize) throw new RangeError(`a page of ${bytes.length} bytes`);
    this.#digests?.pages(block, page, 1, bytes, 0, block.pageSize);
    this.#file.write(bytes, pagePlace(state, page));
    this.#mark(state, page, 1);
  }

  zeroPages(block: RamBlock, first: number, count: number): void {
    const state = this.#state(block);
    checkRange(state, first, count);
    const { bitmap, content } = state;
    if (content === bitmap) {
      // QEMU leaves the page alone on load, and it is zero then: what lies there may stay.
      bitmap.clearRange(first, count);
    } else {
      this.#eraseContent(state, first, first + count);
      bitmap.setRange(first, count);
      this.#digests?.zeros(block, first, count);
    }
    this.zerosGiven += count;
  }

  /** Whether zero pages of a block count as present, and have digests. */
  zerosPresent(block: RamBlock): boolean {
    const { bitmap, content } = this.#state(block);
    return content !== bitmap;
  }

  /**
   * Takes over whole nodes of a block of which nothing was given so far: their pages and digests stand in the file. Returns how
   * many pages have bytes there.
   *
   * @param firstPage a multiple of 512
   * @param content a bit for each page: its bytes were written; the others are zero
   */
  adopt(block: RamBlock, firstPage: number, content: PageBitmap): number {
    const state = this.#state(block);
    checkRange(state, firstPage, content.pages);
    const data = content.count();
    state.content.bytes.set(content.bytes, firstPage / 8);
    if (state.content !== state.bitmap) state.bitmap.setRange(firstPage, content.pages);
    this.#digests?.adopt(block, firstPage, content.pages, state.bitmap);
    this.written += data;
    this.zerosGiven += content.pages - data;
    return data;
  }

  /** Reads a page as it stands now: what was last written there, or zeros. @param into a page */
  readPage(block: RamBlock, page: number, into: Uint8Array): void {
    const state = this.#state(block);
    checkRange(state, page, 1);
    if (into.length !== block.pageSize) throw new RangeError(`a page of ${into.length} bytes`);
    if (!state.content.get(page)) into.fill(0);
    else if (this.#file.readBack(into, pagePlace(state, page)) !== into.length) {
      throw new FixedramError("file.truncated", "the file lost bytes that were written to it", {
        block: block.name,
        page,
      });
    }
  }

  /** Pages of all blocks: how many hold bytes that were written, and how many are zero. Scans the bitmaps. */
  count(): { readonly total: number; readonly data: number; readonly zero: number } {
    let total = 0;
    let data = 0;
    for (const { content } of this.states) {
      total += content.pages;
      data += content.count();
    }
    return { total, data, zero: total - data };
  }

  #state(block: RamBlock): BlockState {
    const state = this.states[block.index];
    if (state === undefined || state.layout.block.length !== block.length)
      throw new RangeError(`no block ${block.index}`);
    return state;
  }

  /** Writes entries [from, to) of a batch, adjacent pages from `first`, in pieces of up to 512 KiB. */
  #writeRun(state: BlockState, batch: PageBatch, from: number, to: number, first: number): void {
    const { pageSize } = batch.block;
    const { offsets, chunk } = batch;
    this.#digests?.batch(batch, from, to, first);
    if (this.#file.writeStrided !== undefined) {
      eachStride(batch, from, to, (at, end, stride) =>
        this.#file.writeStrided?.(
          chunk,
          offsets[at] ?? 0,
          end - at,
          pageSize,
          stride,
          pagePlace(state, first + at - from),
        ),
      );
      this.#mark(state, first, to - from);
      return;
    }
    const piece = Math.max(1, Math.floor(writeBytes / pageSize));
    const views = this.#views;
    for (let start = from; start < to; start += piece) {
      const end = Math.min(start + piece, to);
      views.length = 0;
      let at = start;
      while (at < end) {
        const begin = offsets[at] ?? 0;
        let next = at + 1;
        while (next < end && offsets[next] === begin + (next - at) * pageSize) next++;
        views.push(chunk.subarray(begin, begin + (next - at) * pageSize));
        at = next;
      }
      const position = pagePlace(state, first + (start - from));
      const [only] = views;
      if (views.length === 1 && only !== undefined) this.#file.write(only, position);
      else this.#file.writev(views, position);
    }
    views.length = 0;
    this.#mark(state, first, to - from);
  }

  #mark({ bitmap, content }: BlockState, first: number, count: number): void {
    let again = 0;
    for (let page = first; page < first + count; page++) if (content.set(page)) again++;
    if (content !== bitmap) bitmap.setRange(first, count);
    this.rewritten += again;
    this.written += count;
  }

  /** Puts zeros over what was written in pages [first, end); holes stay holes. */
  #eraseContent(state: BlockState, first: number, end: number): void {
    const { content } = state;
    const perPiece = Math.floor(zeros.length / state.layout.block.pageSize);
    let page = content.nextSet(first, end);
    while (page < end) {
      const stop = Math.min(content.nextClear(page, end), page + perPiece);
      const bytes = zeros.subarray(0, (stop - page) * state.layout.block.pageSize);
      this.#file.write(bytes, pagePlace(state, page));
      content.clearRange(page, stop - page);
      page = content.nextSet(stop, end);
    }
  }
}

function pagePlace({ layout }: BlockState, page: number): number {
  return layout.pagesOffset + page * layout.block.pageSize;
}

function checkRange({ layout }: BlockState, first: number, count: number): void {
  const { block } = layout;
  if (first >= 0 && count >= 0 && first + count <= block.pages) return;
  throw new RangeError(
    `pages ${first} to ${first + count} of block ${printable(block.name)}, which has ${block.pages}`,
  );
}
