import type { RamBlock } from "../pages/block.ts";
import type { PageBatch } from "../pages/sink.ts";
import type { StreamEvents } from "./events.ts";
import type { StreamRecord } from "./records.ts";

const CAPACITY = 4096;
const NO_BYTES = new Uint8Array(0);
const NO_BLOCK: RamBlock = { index: -1, name: "", length: 0, pageSize: 1, pages: 0 };

/**
 * Gathers pages into batches and zero pages into runs, and keeps the order: whatever comes next flushes first.
 *
 * At most one of the two is ever pending.
 */
export class PageOutput {
  readonly batch: PageBatch = {
    block: NO_BLOCK,
    count: 0,
    pages: new Float64Array(CAPACITY),
    offsets: new Uint32Array(CAPACITY),
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
    return batch;
  }

  encoded(block: RamBlock, page: number, kind: "xbzrle" | "zlib", data: Uint8Array): void {
    this.flush();
    this.#events.encoded(block, page, kind, data);
  }
}
