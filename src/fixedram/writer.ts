import { createHash } from "node:crypto";
import { bitmapBytes, type PageBitmap } from "../bytes/bitmap.ts";
import { PageHasher } from "../bytes/page-digest.ts";
import { isZero } from "../bytes/zero.ts";
import { FixedramError } from "../errors.ts";
import type { RamBlock } from "../pages/block.ts";
import type { PageBatch, Sink } from "../pages/sink.ts";
import { capabilitiesOf, withCapability } from "../stream/configuration.ts";
import type { ConfigurationRecord, RamStartRecord } from "../stream/records.ts";
import type { DigestKeeper } from "./digest-keeper.ts";
import { encodeDigests, type Region } from "./digest-sections.ts";
import { encodeHead, headLength, type Piece } from "./head.ts";
import { type FileLayout, isMainRam, type MainRamTest, maxBitmapBytes, planLayout } from "./layout.ts";
import { encodeMeta, type SnapshotMeta } from "./meta.ts";
import { PageDigests } from "./page-digests.ts";
import { type PlacedFile, PlacedPages, type SharedBits, writeBytes } from "./placed-pages.ts";
import { type EncodedSeal, encodeSeal } from "./seal.ts";
import { ThroughDigests } from "./through-digests.ts";
import { sha256 } from "./trailer.ts";

/** What the writer needs of the file it writes; TargetFile of storage is one. Positions are bytes. */
export interface WritableFile extends PlacedFile {
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
  /** Other threads write pages too, with {@link PlacedPages} of their own on {@link FixedRamWriter.sharedBits}. Default false. */
  readonly sharedBits?: boolean;
}

const tailBytes = 64 * 1024;
const holeBytes = 4096;

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
  /** For other threads, one for each block; null: there are none. */
  readonly sharedBits: readonly SharedBits[] | null;
  /** The snapshot's id, once the file is complete; null without a seal. */
  id: string | null = null;
  readonly #file: WritableFile;
  readonly #base: number;
  readonly #ramStart: RamStartRecord;
  readonly #placed: PlacedPages;
  readonly #tail = new Uint8Array(tailBytes);
  #tailHeld = 0;
  #tailEnd: number;
  readonly #digests: DigestKeeper | null;
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
        "a guest whose shared memory is left out cannot be kept in a fixed-ram file",
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
    const { blocks } = this.layout;
    const hasher = options.hasher ?? new PageHasher(0);
    if (options.digests === false) this.#digests = null;
    else this.#digests = new (options.sharedBits === true ? ThroughDigests : PageDigests)(hasher, file, blocks);
    const main = options.isMainRam ?? isMainRam;
    this.sharedBits = options.sharedBits === true ? this.blocks.map((block) => newBits(block, main(block))) : null;
    this.#placed = new PlacedPages(file, blocks, main, this.#digests, this.sharedBits);
  }

  /** PAGE records given so far, to this writer itself. */
  get pagesWritten(): number {
    return this.#placed.written;
  }

  /** Zero pages given so far, to this writer itself. */
  get zerosGiven(): number {
    return this.#placed.zerosGiven;
  }

  /** Pages this writer itself wrote over the bytes of an earlier write of the same page. */
  get rewritten(): number {
    return this.#placed.rewritten;
  }

  writePages(batch: PageBatch): void {
    this.#placed.writePages(batch);
  }

  /** Writes one page that does not lie in a chunk, such as one that was encoded. @param bytes a page */
  writePage(block: RamBlock, page: number, bytes: Uint8Array): void {
    this.#placed.writePage(block, page, bytes);
  }

  zeroPages(block: RamBlock, first: number, count: number): void {
    this.#placed.zeroPages(block, first, count);
  }

  /** For writers in other threads, who tell {@link FixedRamWriter.adopt}; null where the file cannot be shared. */
  placeOf(block: RamBlock): BlockPlace | null {
    const file = this.#file.shared ?? null;
    const layout = this.layout.blocks[block.index];
    if (file === null || layout === undefined) return null;
    const tableOffset = this.#digests === null ? null : layout.tableOffset;
    return { file, pagesOffset: layout.pagesOffset, tableOffset, zerosPresent: this.#placed.zerosPresent(block) };
  }

  /**
   * Takes over whole nodes of a block of which nothing was given so far: their pages and digests stand in the file.
   *
   * @param firstPage a multiple of 512
   * @param content a bit for each page: its bytes were written; the others are zero
   */
  adopt(block: RamBlock, firstPage: number, content: PageBitmap): void {
    this.#file.wrote?.(this.#placed.adopt(block, firstPage, content) * block.pageSize);
  }

  /** Reads a page as it stands now: what was last written there, or zeros. @param into a page */
  readPage(block: RamBlock, page: number, into: Uint8Array): void {
    this.#placed.readPage(block, page, into);
  }

  /** Pages of all blocks, whoever wrote them: how many hold bytes that were written, and how many are zero. Scans the bitmaps. */
  countPages(): { readonly total: number; readonly data: number; readonly zero: number } {
    return this.#placed.count();
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
    for (const { layout, bitmap } of this.#placed.states) this.#writeSparse(bitmap.bytes, layout.bitmapOffset);
    const head = encodeHead(this.configuration, this.#ramStart, this.layout.blocks, this.#base);
    const seal = meta === null || this.#digests === null ? null : this.#seal(this.#digests, head, meta);
    for (const { bytes, position } of seal?.pieces ?? []) this.#file.write(bytes, position);
    for (const { bytes, position } of head.reverse()) this.#file.write(bytes, position);
    if (seal !== null) this.#file.write(seal.trailer, seal.trailerOffset);
    this.id = seal?.id ?? null;
  }

  #seal(digests: DigestKeeper, head: readonly Piece[], meta: SnapshotMeta): EncodedSeal {
    const bitmaps = this.#placed.states.map(({ bitmap }) => bitmap);
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
    for (const { layout, bitmap } of this.#placed.states) {
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
  throw new FixedramError("file.too-large", "the guest's memory is larger than the limit", {
    expected: `at most ${maxBitmapBytes} bytes of bitmaps, for 16 TiB`,
    found: `${bytes} bytes`,
  });
}

function newBits({ pages }: RamBlock, main: boolean): SharedBits {
  const memory = () => new SharedArrayBuffer(bitmapBytes(pages));
  return { bitmap: memory(), content: main ? null : memory() };
}
