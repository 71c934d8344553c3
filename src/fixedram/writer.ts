import { createHash } from "node:crypto";
import { PageBitmap } from "../bytes/bitmap.ts";
import { PageHasher } from "../bytes/page-digest.ts";
import { printable } from "../bytes/text.ts";
import { isZero } from "../bytes/zero.ts";
import { FixedramError } from "../errors.ts";
import type { RamBlock } from "../pages/block.ts";
import type { PageBatch, Sink } from "../pages/sink.ts";
import { capabilitiesOf, withCapability } from "../stream/configuration.ts";
import type { ConfigurationRecord, RamStartRecord } from "../stream/records.ts";
import { encodeDigests, type Region } from "./digest-sections.ts";
import { encodeHead, headLength, type Piece } from "./head.ts";
import {
  type FileLayout,
  isMainRam,
  type MainRamTest,
  maxBitmapBytes,
  type PlannedBlock,
  planLayout,
} from "./layout.ts";
import { encodeMeta, type SnapshotMeta } from "./meta.ts";
import { PageDigests } from "./page-digests.ts";
import { type EncodedSeal, encodeSeal } from "./seal.ts";
import { sha256 } from "./trailer.ts";

/** What the writer needs of the file it writes; TargetFile of storage is one. Positions are bytes. */
export interface WritableFile {
  write(bytes: Uint8Array, position: number): void;
  writev(views: readonly Uint8Array[], position: number): void;
  readBack(target: Uint8Array, position: number): number;
  truncate(size: number): void;
  commit(): Promise<void>;
  abort(): Promise<void>;
  /** Its descriptor, for writers in other threads; null or left out where there is none. */
  readonly shared?: { readonly fd: number; readonly name: string } | null;
  /** Other threads have written so many bytes. */
  wrote?(count: number): void;
}

/** Where the pages of a block go when whole nodes of it (docs/format.md, "Page digests") are written by other threads. Bytes. */
export interface BlockPlace {
  readonly file: { readonly fd: number; readonly name: string };
  readonly pagesOffset: number;
  /** Of the digests; null: none are kept. */
  readonly tableOffset: number | null;
  /** Zero pages count as present and have digests. */
  readonly zerosPresent: boolean;
}

export interface WriterOptions {
  /** Which blocks are left alone where a bit is clear. Default: those above 128 MiB. */
  readonly isMainRam?: MainRamTest;
  /** Where the stream begins, bytes; what stands before it (a libvirt header) is the caller's to write. Default 0. */
  readonly base?: number;
  /** Pages that lie in its region are hashed without being copied. Default: one of the writer's own. */
  readonly hasher?: PageHasher;
  /** Whether pages get digests; without them there is no seal. Default true. */
  readonly digests?: boolean;
}

/** ext4 takes pieces of 256 to 512 KiB about twice as fast as 1 MiB. */
const writeBytes = 512 * 1024;
const tailBytes = 64 * 1024;
const holeBytes = 4096;
const zeros = new Uint8Array(64 * 1024);

interface BlockState {
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
 * Writes a fixed-ram file: each page goes to its place when it comes, and its digest to the table before the pages; a page that
 * comes again overwrites both. Headers, bitmaps and seal follow at the end. The file's first bytes come last but for the trailer,
 * so an unfinished one is never taken for a snapshot.
 *
 * Memory: one bit for each page (32 MiB for 1 TiB), digests of 2 GiB of pages (4 MiB), at the end 20 bytes for each MiB with a
 * page in it, and fixed buffers. Nothing is written late: a call that returns has
 * handed its bytes to the file. Errors of the file (`system.disk-full`, ...) pass through.
 */
export class FixedRamWriter implements Sink {
  readonly layout: FileLayout;
  readonly blocks: readonly RamBlock[];
  /** With the capability mapped-ram. */
  readonly configuration: ConfigurationRecord;
  /** PAGE records, and zero pages, given so far. */
  pagesWritten = 0;
  zerosGiven = 0;
  /** Pages written over the bytes of an earlier write of the same page. */
  rewritten = 0;
  /** The snapshot's id, once the file is complete; null without a seal. */
  id: string | null = null;
  readonly #file: WritableFile;
  readonly #base: number;
  readonly #ramStart: RamStartRecord;
  readonly #states: readonly BlockState[];
  readonly #views: Uint8Array[] = [];
  readonly #tail = new Uint8Array(tailBytes);
  #tailHeld = 0;
  #tailEnd: number;
  readonly #digests: PageDigests | null;
  readonly #tailHash = createHash("sha256");
  #complete = false;

  /**
   * @param configuration the stream's, with or without mapped-ram
   * @param ramStart the stream's block list; places in it, if any, are not kept
   * @throws `file.ignore-shared`, `file.too-large`
   */
  constructor(
    file: WritableFile,
    configuration: ConfigurationRecord,
    ramStart: RamStartRecord,
    options: WriterOptions = {},
  ) {
    if (capabilitiesOf(configuration).includes("x-ignore-shared")) {
      throw new FixedramError(
        "file.ignore-shared",
        "A guest whose shared memory is left out cannot be kept in a fixed-ram file",
        {
          hint: "Switch the migration capability x-ignore-shared off.",
        },
      );
    }
    this.#file = file;
    this.#base = options.base ?? 0;
    this.configuration = withCapability(configuration, "mapped-ram", true);
    this.#ramStart = ramStart;
    this.blocks = ramStart.blocks.map(({ block }) => block);
    this.layout = planLayout(this.#base + headLength(this.configuration, ramStart), this.blocks);
    checkBitmaps(this.layout);
    this.#tailEnd = this.layout.tailOffset;
    this.#digests =
      options.digests === false ? null : new PageDigests(options.hasher ?? new PageHasher(0), file, this.layout.blocks);
    const main = options.isMainRam ?? isMainRam;
    this.#states = this.layout.blocks.map((layout) => {
      const bitmap = new PageBitmap(layout.block.pages);
      return { layout, bitmap, content: main(layout.block) ? bitmap : new PageBitmap(layout.block.pages) };
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

  /** For writers in other threads, who tell {@link FixedRamWriter.adopt}; null where the file cannot be shared. */
  placeOf(block: RamBlock): BlockPlace | null {
    const { layout, bitmap, content } = this.#state(block);
    const file = this.#file.shared ?? null;
    if (file === null) return null;
    const tableOffset = this.#digests === null ? null : layout.tableOffset;
    return { file, pagesOffset: layout.pagesOffset, tableOffset, zerosPresent: content !== bitmap };
  }

  /**
   * Takes over whole nodes of a block of which nothing was given so far: their pages and digests stand in the file.
   *
   * @param firstPage a multiple of 512
   * @param content a bit for each page: its bytes were written; the others are zero
   */
  adopt(block: RamBlock, firstPage: number, content: PageBitmap): void {
    const state = this.#state(block);
    checkRange(state, firstPage, content.pages);
    const data = content.count();
    state.content.bytes.set(content.bytes, firstPage / 8);
    if (state.content !== state.bitmap) state.bitmap.setRange(firstPage, content.pages);
    this.#digests?.adopt(block, firstPage, content.pages, state.bitmap);
    this.pagesWritten += data;
    this.zerosGiven += content.pages - data;
    this.#file.wrote?.(data * block.pageSize);
  }

  /** Reads a page as it stands now: what was last written there, or zeros. @param into a page */
  readPage(block: RamBlock, page: number, into: Uint8Array): void {
    const state = this.#state(block);
    checkRange(state, page, 1);
    if (into.length !== block.pageSize) throw new RangeError(`a page of ${into.length} bytes`);
    if (!state.content.get(page)) into.fill(0);
    else if (this.#file.readBack(into, pagePlace(state, page)) !== into.length) {
      throw new FixedramError("file.truncated", "The file lost bytes that were written to it", {
        block: block.name,
        page,
      });
    }
  }

  /** Adds to what follows the last block in the stream: end mark and footer of the RAM section, device state, vmdesc. */
  tail(bytes: Uint8Array): void {
    if (this.#complete) throw new Error("the file is complete");
    if (this.#tailHeld + bytes.length > tailBytes) this.#flushTail();
    if (bytes.length > tailBytes) {
      this.#writeTail(bytes);
    } else {
      this.#tail.set(bytes, this.#tailHeld);
      this.#tailHeld += bytes.length;
    }
  }

  /** Where the stream ends as of now: the byte after the tail. */
  get streamEnd(): number {
    return this.#tailEnd + this.#tailHeld;
  }

  /** Pages of all blocks: how many hold bytes that were written, and how many are zero. Scans the bitmaps. */
  countPages(): { readonly total: number; readonly data: number; readonly zero: number } {
    let total = 0;
    let data = 0;
    for (const { content } of this.#states) {
      total += content.pages;
      data += content.count();
    }
    return { total, data, zero: total - data };
  }

  /**
   * Writes everything that is still missing. The file is whole then, but not yet on disk nor under its name.
   *
   * @param meta what the seal records; null leaves the file without a seal
   * @throws `seal.bad-meta`
   */
  complete(meta: SnapshotMeta | null): void {
    if (this.#complete) throw new Error("the file is complete");
    if (meta !== null) {
      if (this.#digests === null) throw new Error("a seal needs digests");
      encodeMeta(meta);
    }
    this.#complete = true;
    this.#flushTail();
    this.#file.truncate(this.#tailEnd);
    for (const { layout, bitmap } of this.#states) this.#writeSparse(bitmap.bytes, layout.bitmapOffset);
    const head = encodeHead(this.configuration, this.#ramStart, this.layout.blocks, this.#base);
    const seal = meta === null || this.#digests === null ? null : this.#seal(this.#digests, head, meta);
    for (const { bytes, position } of seal?.pieces ?? []) this.#file.write(bytes, position);
    for (const { bytes, position } of head.reverse()) this.#file.write(bytes, position);
    if (seal !== null) this.#file.write(seal.trailer, seal.trailerOffset);
    this.id = seal?.id ?? null;
  }

  #seal(digests: PageDigests, head: readonly Piece[], meta: SnapshotMeta): EncodedSeal {
    const bitmaps = this.#states.map(({ bitmap }) => bitmap);
    const sections = encodeDigests(digests.finish(bitmaps, this.#regions(head)));
    return encodeSeal(this.#base, this.#tailEnd, meta, sections);
  }

  /** {@link FixedRamWriter.complete}, unless that was done, then the file's commit: fsync, rename, fsync of the folder. */
  async finish(meta: SnapshotMeta | null = null): Promise<void> {
    if (!this.#complete) this.complete(meta);
    await this.#file.commit();
  }

  async abort(): Promise<void> {
    this.#complete = true;
    await this.#file.abort();
  }

  #state(block: RamBlock): BlockState {
    const state = this.#states[block.index];
    if (state === undefined || state.layout.block.length !== block.length)
      throw new RangeError(`no block ${block.index}`);
    return state;
  }

  /** Writes entries [from, to) of a batch, adjacent pages from `first`, in pieces of up to 512 KiB. */
  #writeRun(state: BlockState, batch: PageBatch, from: number, to: number, first: number): void {
    const { pageSize } = batch.block;
    const { offsets, chunk } = batch;
    this.#digests?.batch(batch, from, to, first);
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
    this.pagesWritten += count;
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

  /** Writes a bitmap in pieces, leaving holes where it is clear: the file is new, so they read as zero. */
  #writeSparse(bytes: Uint8Array, position: number): void {
    const filled = (at: number) => !isZero(bytes, at, Math.min(at + holeBytes, bytes.length));
    let at = 0;
    while (at < bytes.length) {
      if (!filled(at)) {
        at += holeBytes;
        continue;
      }
      let end = at + holeBytes;
      while (end < bytes.length && end - at < writeBytes && filled(end)) end += holeBytes;
      end = Math.min(end, bytes.length);
      this.#file.write(bytes.subarray(at, end), position + at);
      at = end;
    }
  }

  #flushTail(): void {
    if (this.#tailHeld === 0) return;
    const held = this.#tail.subarray(0, this.#tailHeld);
    this.#tailHeld = 0;
    this.#writeTail(held);
  }

  #writeTail(bytes: Uint8Array): void {
    this.#tailHash.update(bytes);
    this.#file.write(bytes, this.#tailEnd);
    this.#tailEnd += bytes.length;
  }

  /** Every byte of the stream that is no page. */
  #regions(head: readonly Piece[]): Region[] {
    const regions: Region[] = head.map(({ position, bytes }, block) => ({
      kind: block === 0 ? "HEAD" : "ENTR",
      block,
      offset: position,
      length: bytes.length,
      sha256: sha256(bytes),
    }));
    for (const { layout, bitmap } of this.#states) {
      const { bitmapOffset: offset, bitmapLength: length } = layout;
      regions.push({ kind: "BMAP", block: layout.block.index, offset, length, sha256: sha256(bitmap.bytes) });
    }
    const offset = this.layout.tailOffset;
    const length = this.#tailEnd - offset;
    regions.push({ kind: "TAIL", block: 0, offset, length, sha256: this.#tailHash.digest() });
    return regions;
  }
}

/** A stream says how long its blocks are before it holds a page: no memory is taken for more than a reader of the file would take. */
function checkBitmaps({ blocks }: FileLayout): void {
  const bytes = blocks.reduce((sum, { bitmapLength }) => sum + bitmapLength, 0);
  if (bytes <= maxBitmapBytes) return;
  throw new FixedramError("file.too-large", "The guest's memory is larger than the limit", {
    expected: `at most ${maxBitmapBytes} bytes of bitmaps, for 16 TiB`,
    found: `${bytes} bytes`,
  });
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
