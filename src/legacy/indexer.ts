import { inflateSync } from "node:zlib";
import { FixedramError } from "../errors.ts";
import type { RamBlock } from "../pages/block.ts";
import type { PageBatch } from "../pages/sink.ts";
import type { Store } from "../pages/store.ts";
import { Command } from "../stream/constants.ts";
import type { PageEncoding, StreamEvents, StreamReaderOptions } from "../stream/events.ts";
import { StreamReader } from "../stream/reader.ts";
import { RecordBudget } from "../stream/record-budget.ts";
import type { StreamRecord } from "../stream/records.ts";
import { decodeXbzrle } from "../stream/xbzrle.ts";
import type { Overlay } from "./overlay.ts";
import { LeafPool, PageTable } from "./page-table.ts";

/** What one pass over a legacy stream met, in records of pages. A page sent in three rounds counts three times. */
export interface StreamCounts {
  data: number;
  zero: number;
  xbzrle: number;
  /** COMPRESS_PAGE. */
  zlib: number;
  /** PART and END sections of RAM. */
  rounds: number;
}

export interface IndexerLimits {
  /** Bytes of memory for the page tables. */
  readonly maxIndexBytes: number;
  /** Records that are not pages, and their bytes. */
  readonly maxRecords: number;
  readonly maxRecordBytes: number;
}

/** As many as the bitmaps of a fixed-ram file may have bits: walking over pages that are not there takes time too. */
const maxPages = 2 ** 32;

interface Encoded {
  readonly block: RamBlock;
  readonly page: number;
  readonly kind: PageEncoding;
  readonly data: Uint8Array;
  /** Where the record begins in the stream's file. */
  readonly offset: number;
}

/**
 * Takes what the reader of a legacy stream gives and keeps, for each page, where its last content is.
 *
 * Encoded pages need the content before them, which has to be read: they wait in {@link StreamIndexer.settle}'s list until the
 * chunk is through. A page or zero record of the same page that comes after replaces what waits.
 */
export class StreamIndexer implements StreamEvents {
  readonly reader: StreamReader;
  /** Every record but the RAM section's PARTs, its END kept. */
  readonly records: StreamRecord[] = [];
  readonly counts: StreamCounts = { data: 0, zero: 0, xbzrle: 0, zlib: 0, rounds: 0 };
  readonly tables: PageTable[] = [];
  /** Whether anything was said of a page of the block. */
  readonly mentioned: boolean[] = [];
  readonly #limits: IndexerLimits;
  readonly #overlay: Overlay;
  readonly #waiting = new Map<number, Encoded[]>();
  #page = new Uint8Array(0);
  #ramId = -1;
  #inPart = false;
  readonly #budget: RecordBudget;

  constructor(overlay: Overlay, limits: IndexerLimits, options: StreamReaderOptions) {
    this.#overlay = overlay;
    this.#limits = limits;
    this.#budget = new RecordBudget(limits.maxRecords, limits.maxRecordBytes);
    this.reader = new StreamReader(this, options);
  }

  /** Whether {@link settle} has something to do; it must be called before the next push. */
  get unsettled(): boolean {
    return this.#waiting.size > 0;
  }

  record(record: StreamRecord): void {
    switch (record.kind) {
      case "command":
        refusePostcopy(record.command, this.reader.itemOffset);
        break;
      case "ram-start":
        this.#ramId = record.sectionId;
        this.#begin(record.blocks.map(({ block }) => block));
        break;
      case "ram-end":
        this.counts.rounds++;
        break;
      case "ram-part":
        this.counts.rounds++;
        this.#inPart = true;
        return;
      case "ram-flush":
      case "ram-hook":
        return;
      case "ram-eos":
        if (this.#inPart) return;
        break;
      case "footer":
        if (!this.#inPart || record.sectionId !== this.#ramId) break;
        this.#inPart = false;
        return;
    }
    this.#keep(record);
  }

  pages(batch: PageBatch): void {
    const { block, count, pages, offsets } = batch;
    const table = this.#table(block);
    const origin = this.reader.chunkOffset;
    this.counts.data += count;
    for (let k = 0; k < count; k++) {
      const page = pages[k] ?? 0;
      this.#forget(block, page);
      this.#put(table, page, origin + (offsets[k] ?? 0));
    }
  }

  zeroPages(block: RamBlock, firstPage: number, count: number): void {
    const table = this.#table(block);
    this.counts.zero += count;
    for (let page = firstPage; page < firstPage + count; page++) {
      this.#forget(block, page);
      this.#put(table, page, 0);
    }
  }

  encoded(block: RamBlock, page: number, kind: PageEncoding, data: Uint8Array): void {
    this.#table(block);
    this.counts[kind]++;
    const entry = { block, page, kind, data: data.slice(), offset: this.reader.itemOffset };
    const key = keyOf(block, page);
    const before = this.#waiting.get(key);
    if (before === undefined || kind === "zlib") this.#waiting.set(key, [entry]);
    else before.push(entry);
  }

  /** Decodes what waits. @throws `stream.xbzrle-data`, `stream.compressed-page`, `file.truncated`, `file.too-large`, `system.*` */
  async settle(store: Store, signal?: AbortSignal): Promise<void> {
    const content = this.#page;
    for (const entries of this.#waiting.values()) {
      const [first] = entries;
      if (first === undefined) continue;
      const table = this.#table(first.block);
      const value = table.get(first.page);
      if (value < 0) this.#overlay.read(-value - 1, content);
      else if (value === 0) content.fill(0);
      else if (store.readSync !== undefined) requireAll(store.readSync(content, value), content, value, first);
      else requireAll(await store.read(content, value, signal), content, value, first);
      for (const entry of entries) decode(entry, content);
      const slot = value < 0 ? -value - 1 : this.#overlay.take(content.length);
      this.#overlay.write(slot, content);
      if (value >= 0) table.set(first.page, -slot - 1);
    }
    this.#waiting.clear();
  }

  #begin(blocks: readonly RamBlock[]): void {
    const pages = blocks.reduce((sum, block) => sum + block.pages, 0);
    if (pages > maxPages) {
      throw new FixedramError("file.too-large", "the stream's RAM is larger than the limit", {
        offset: this.reader.itemOffset,
        expected: `at most ${maxPages} pages, 16 TiB of 4 KiB each`,
        found: `${pages} pages`,
      });
    }
    const most = this.#limits.maxIndexBytes;
    const pool = new LeafPool((bytes) => {
      if (bytes <= most) return;
      throw new FixedramError("file.too-large", "the index of the stream's pages is larger than the limit", {
        offset: this.reader.position,
        expected: `at most ${most} bytes`,
      });
    });
    for (const { pages } of blocks) this.tables.push(new PageTable(pages, pool));
    this.mentioned.push(...blocks.map(() => false));
    this.#page = new Uint8Array(blocks[0]?.pageSize ?? 0);
  }

  #put(table: PageTable, page: number, value: number): void {
    const before = table.set(page, value);
    if (before < 0) this.#overlay.give(-before - 1);
  }

  #forget(block: RamBlock, page: number): void {
    if (this.#waiting.size > 0) this.#waiting.delete(keyOf(block, page));
  }

  #table(block: RamBlock): PageTable {
    const table = this.tables[block.index];
    if (table === undefined) throw new RangeError(`no block ${block.index}`);
    this.mentioned[block.index] = true;
    return table;
  }

  #keep(record: StreamRecord): void {
    this.#budget.take(record, this.reader.itemOffset);
    this.records.push(record);
  }
}

/** Block indices are below 65536, pages below 2^43 / 1024 bytes: the product stays exact. */
function keyOf(block: RamBlock, page: number): number {
  return page * 65536 + block.index;
}

function decode(entry: Encoded, content: Uint8Array): void {
  const { block, page, kind, data, offset } = entry;
  try {
    if (kind === "xbzrle") decodeXbzrle(content, data);
    else content.set(inflatePage(data, content.length));
  } catch (error) {
    if (!(error instanceof FixedramError)) throw error;
    const details = { offset, block: block.name, page, ...error.details };
    throw new FixedramError(error.code, error.message, details, { cause: error });
  }
}

function inflatePage(data: Uint8Array, pageSize: number): Uint8Array {
  let bytes: Uint8Array;
  try {
    bytes = inflateSync(data, { maxOutputLength: pageSize, chunkSize: pageSize });
  } catch (error) {
    throw new FixedramError("stream.compressed-page", "a compressed page can't be unpacked", {
      said: error instanceof Error ? error.message : String(error),
    });
  }
  if (bytes.length === pageSize) return bytes;
  throw new FixedramError("stream.compressed-page", "a compressed page does not unpack to a page", {
    expected: `${pageSize} bytes`,
    found: `${bytes.length} bytes`,
  });
}

function requireAll(count: number, content: Uint8Array, offset: number, { block, page }: Encoded): void {
  if (count === content.length) return;
  throw new FixedramError("file.truncated", "the file became shorter while it was read", {
    offset: offset + count,
    block: block.name,
    page,
  });
}

/** @param offset of the command in the stream, where it is known @throws `file.postcopy` */
export function refusePostcopy(command: number, offset?: number): void {
  if (command !== Command.postcopyListen && command !== Command.postcopyRun && command !== Command.packaged) return;
  throw new FixedramError("file.postcopy", "the stream went over to postcopy: the rest of the memory is not in it", {
    ...(offset === undefined ? {} : { offset }),
    hint: "The pages that were missing went straight to the other QEMU. Save again without starting postcopy.",
  });
}
