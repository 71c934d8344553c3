/**
 * Bare memory: one sparse file for each RAM block, page i at i x page size, and an index.
 *
 *     OUT/pc.ram.raw   OUT/vga.vram.raw   ...   OUT/index.json
 *
 * It holds no device state, so it cannot be resumed; every tool that reads plain memory takes it.
 */
import { PageBitmap } from "../bytes/bitmap.ts";
import { FixedramError } from "../errors.ts";
import type { SnapshotMeta } from "../fixedram/meta.ts";
import type { BlockPlace, WritableFile } from "../fixedram/writer.ts";
import type { RamBlock } from "../pages/block.ts";
import type { PageBatch, PlacedSink } from "../pages/sink.ts";
import { capabilitiesOf } from "../stream/configuration.ts";
import type { ConfigurationRecord, RamStartRecord } from "../stream/records.ts";
import { rawFileName } from "./names.ts";

export const rawIndexName = "index.json";
/** Each block has a file open. */
const maxBlocks = 512;
/** Bits of 16 TiB of pages. */
const maxBitmapBytes = 512 * 2 ** 20;

/** What holds the files; TargetFolder of storage is one. */
export interface WritableFolder {
  /** Makes a file. @param name without folders */
  file(name: string): WritableFile;
}

/** index.json. */
export interface RawIndex {
  readonly schema: "fixedram/raw/1";
  readonly machine: string;
  readonly blocks: readonly {
    /** The name's bytes as latin1. */
    readonly name: string;
    readonly file: string;
    /** Bytes. */
    readonly length: number;
    readonly pageSize: number;
    /** Pages that hold data; the others are holes. */
    readonly present: number;
  }[];
  /** Where the blocks lie in the guest's physical memory; null when that was not recorded. */
  readonly memoryMap: SnapshotMeta["memoryMap"] | null;
  readonly snapshot: { readonly uuid: string; readonly created: string };
}

interface BlockFile {
  readonly block: RamBlock;
  readonly name: string;
  readonly file: WritableFile;
  /** Pages whose place holds bytes. */
  readonly content: PageBitmap;
}

/** Memory: one bit for each page. */
export class RawWriter implements PlacedSink {
  readonly #folder: WritableFolder;
  readonly #machine: string;
  readonly #files: readonly BlockFile[];
  readonly #views: Uint8Array[] = [];

  /** @throws `file.ignore-shared`, `file.too-large`, `system.*` */
  constructor(folder: WritableFolder, configuration: ConfigurationRecord, { blocks }: RamStartRecord) {
    if (capabilitiesOf(configuration).includes("x-ignore-shared")) {
      throw new FixedramError("file.ignore-shared", "the guest's shared memory was left out, so it cannot be written", {
        hint: "Save it again with the migration capability x-ignore-shared off.",
      });
    }
    const bitmapBytes = blocks.reduce((sum, { block }) => sum + block.pages / 8, 0);
    if (blocks.length > maxBlocks || bitmapBytes > maxBitmapBytes) {
      throw new FixedramError("file.too-large", "the guest's memory is more than can be written as raw files", {
        expected: `at most ${maxBlocks} blocks, and ${maxBitmapBytes} bytes of bitmaps`,
        found: `${blocks.length} blocks, and ${bitmapBytes} bytes`,
      });
    }
    this.#folder = folder;
    this.#machine = configuration.machine;
    this.#files = blocks.map(({ block }) => {
      const name = rawFileName(block.name, block.index);
      return { block, name, file: folder.file(name), content: new PageBitmap(block.pages) };
    });
  }

  writePages(batch: PageBatch): void {
    const { block, count, pages, offsets, chunk } = batch;
    const { file, content } = this.#file(block);
    const views = this.#views;
    for (let from = 0; from < count; ) {
      const first = pages[from] ?? -1;
      let to = from;
      views.length = 0;
      for (; to < count && pages[to] === first + (to - from); to++) {
        const at = offsets[to] ?? 0;
        views.push(chunk.subarray(at, at + block.pageSize));
      }
      checkRange(block, first, to - from);
      file.writev(views, first * block.pageSize);
      content.setRange(first, to - from);
      from = to;
    }
    views.length = 0;
  }

  writePage(block: RamBlock, page: number, bytes: Uint8Array): void {
    checkRange(block, page, 1);
    const { file, content } = this.#file(block);
    file.write(bytes, page * block.pageSize);
    content.setRange(page, 1);
  }

  readPage(block: RamBlock, page: number, into: Uint8Array): void {
    checkRange(block, page, 1);
    const { file, content } = this.#file(block);
    if (!content.get(page)) into.fill(0);
    else if (file.readBack(into, page * block.pageSize) !== into.length) {
      throw new FixedramError("file.truncated", "the file lost bytes that were written to it", {
        block: block.name,
        page,
      });
    }
  }

  zeroPages(block: RamBlock, first: number, count: number): void {
    checkRange(block, first, count);
    const { file, content } = this.#file(block);
    const end = first + count;
    const zeros = new Uint8Array(block.pageSize);
    for (let page = content.nextSet(first, end); page < end; page = content.nextSet(page + 1, end)) {
      file.write(zeros, page * block.pageSize);
      content.clearRange(page, 1);
    }
  }

  /** For writers in other threads, who tell {@link RawWriter.adopt}; null where the file cannot be shared. */
  placeOf(block: RamBlock): BlockPlace | null {
    const file = this.#file(block).file.shared ?? null;
    return file === null ? null : { file, pagesOffset: 0, tableOffset: null, zerosPresent: false };
  }

  /** Takes over pages of which nothing was given so far. @param content a bit for each page from `firstPage`: its bytes were written */
  adopt(block: RamBlock, firstPage: number, content: PageBitmap): void {
    checkRange(block, firstPage, content.pages);
    const held = this.#file(block);
    held.content.bytes.set(content.bytes, firstPage / 8);
    held.file.wrote?.(content.count() * block.pageSize);
  }

  /** Pages of all blocks. */
  countPages(): { readonly total: number; readonly data: number; readonly zero: number } {
    const total = this.#files.reduce((sum, { block }) => sum + block.pages, 0);
    const data = this.#files.reduce((sum, { content }) => sum + content.count(), 0);
    return { total, data, zero: total - data };
  }

  /** Gives the files their lengths and writes the index. Bringing all to disk is the folder's business. */
  complete(meta: SnapshotMeta): void {
    for (const { block, file } of this.#files) file.truncate(block.length);
    const index: RawIndex = {
      schema: "fixedram/raw/1",
      machine: this.#machine,
      blocks: this.#files.map(({ block, name, content }) => ({
        name: block.name,
        file: name,
        length: block.length,
        pageSize: block.pageSize,
        present: content.count(),
      })),
      memoryMap: meta.memoryMap.length === 0 ? null : meta.memoryMap,
      snapshot: { uuid: meta.uuid, created: meta.created },
    };
    this.#folder.file(rawIndexName).write(new TextEncoder().encode(`${JSON.stringify(index, null, 2)}\n`), 0);
  }

  async finish(): Promise<void> {}

  async abort(): Promise<void> {}

  #file(block: RamBlock): BlockFile {
    const found = this.#files[block.index];
    if (found === undefined) throw new RangeError(`no block ${block.index}`);
    return found;
  }
}

function checkRange({ pages }: RamBlock, first: number, count: number): void {
  if (first < 0 || count < 0 || first + count > pages) throw new RangeError(`pages ${first} to ${first + count}`);
}
