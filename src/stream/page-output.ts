import type { RamBlock } from "../pages/block.ts";
import type { PageBatch } from "../pages/sink.ts";
import type { StreamEvents } from "./events.ts";
import type { StreamRecord } from "./records.ts";

/** Pages of a batch at first, and at most. */
const FIRST_CAPACITY = 64;
const CAPACITY = 4096;
/** A batch whose arrays are replaced by longer ones. */
type Growing = { -readonly [key in keyof PageBatch]: PageBatch[key] };

const NO_BYTES = new Uint8Array(0);
const NO_BLOCK: RamBlock = { index: -1, name: "", length: 0, pageSize: 1, pages: 0 };

/**
 * Gathers pages into batches and zero pages into runs, and keeps the order: whatever comes next flushes first.
 *
 * At most one of the two is ever pending.
 */
export class PageOutput {
  readonly batch: Growing = {
    block: NO_BLOCK,
    count: 0,
    pages: new Float64Array(FIRST_CAPACITY),
    offsets: new Uint32Array(FIRST_CAPACITY),
    chunk: NO_BYTES,
  };
  readonly #events: StreamEvents;
  #zeroBlock: RamBlock = NO_BLOCK;
  #zeroFirst = 0;
  #zeroCount = 0;

  constructor(events: StreamEvents) {
    this.#events = events;
  }

  flush(): void {
    if (this.batch.count > 0) {
      try {
        this.#events.pages(this.batch);
      } finally {
        this.batch.count = 0;
        this.batch.chunk = NO_BYTES;
      }
    }
    if (this.#zeroCount > 0) {
      const count = this.#zeroCount;
      this.#zeroCount = 0;
      this.#events.zeroPages(this.#zeroBlock, this.#zeroFirst, count);
    }
  }

  record(record: StreamRecord): void {
    this.flush();
    this.#events.record(record);
  }

  zero(block: RamBlock, page: number): void {
    if (this.#zeroCount > 0 && block === this.#zeroBlock && page === this.#zeroFirst + this.#zeroCount) {
      this.#zeroCount++;
      return;
    }
    this.flush();
    this.#zeroBlock = block;
    this.#zeroFirst = page;
    this.#zeroCount = 1;
  }

  /** The batch for pages of `block` in `chunk`, with room for at least one. */
  open(block: RamBlock, chunk: Uint8Array): PageBatch {
    const batch = this.batch;
    if (this.#zeroCount > 0 || batch.block !== block || batch.chunk !== chunk || batch.count === CAPACITY) this.flush();
    batch.block = block;
    batch.chunk = chunk;
    if (batch.count === batch.pages.length) this.#grow();
    return batch;
  }

  #grow(): void {
    const { pages, offsets } = this.batch;
    this.batch.pages = new Float64Array(Math.min(CAPACITY, pages.length * 8));
    this.batch.offsets = new Uint32Array(this.batch.pages.length);
    this.batch.pages.set(pages);
    this.batch.offsets.set(offsets);
  }

  encoded(block: RamBlock, page: number, kind: "xbzrle" | "zlib", data: Uint8Array): void {
    this.flush();
    this.#events.encoded(block, page, kind, data);
  }
}
