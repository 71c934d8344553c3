import { ExtentKind, ExtentList } from "../pages/extents.ts";
import type { SentPages } from "./blocks.ts";
import type { PageSource } from "./pages.ts";
import { PartBuffer, pagesAPart } from "./part.ts";

/** A run in more pieces than these is read page by page: a stream's pages lie apart. */
const mostPieces = 8;

/** A run of pages of one block, read or being read, that go out part by part. */
class Batch {
  readonly parts: readonly PartBuffer[];
  readonly views: readonly Uint8Array[];
  block = 0;
  first = 0;
  count = 0;
  /** Pages handed out. */
  done = 0;
  reading: Promise<void> | null = null;
  failure: unknown = null;
  readonly pieces: { count: number; store: number; offset: number }[] = [];

  constructor(pageSize: number, parts: number) {
    this.parts = Array.from({ length: parts }, () => new PartBuffer(pageSize, pagesAPart));
    this.views = this.parts.flatMap((part) => part.views);
  }
}

/** The next piece that the push may send: pages [first, first + count) of a block, in a part of their own. */
export interface PushPart {
  readonly block: number;
  readonly first: number;
  readonly count: number;
  readonly part: PartBuffer;
}

/** A host page of more than one target page that has data in it. */
export interface PushUnit {
  readonly block: number;
  readonly unit: number;
}

/**
 * Goes once through all data that was not sent, in the file's order, with large reads: while one is sent the next is read. Pages are
 * not taken before they go out, so that a fault for one that is being read is answered at once; who sends them looks again.
 */
export class Pusher {
  readonly #pages: PageSource;
  readonly #sent: SentPages;
  readonly #list = new ExtentList(256);
  #sending: Batch;
  #filling: Batch;
  #block = 0;
  #page = 0;

  /** @param readAhead bytes that may be held: half of them are one read */
  constructor(pages: PageSource, sent: SentPages, readAhead: number) {
    const pageSize = sent.blocks[0]?.block.pageSize ?? 4096;
    this.#pages = pages;
    this.#sent = sent;
    const parts = Math.max(1, Math.floor(readAhead / 2 / (pagesAPart * pageSize)));
    this.#sending = new Batch(pageSize, parts);
    this.#filling = new Batch(pageSize, parts);
  }

  /** What to send next; a promise: to be asked again when it settles; null: everything has been handed out. @throws what a read threw */
  next(): PushPart | PushUnit | Promise<void> | null {
    for (;;) {
      const batch = this.#sending;
      if (batch.failure !== null) throw batch.failure;
      if (batch.done < batch.count) {
        if (batch.reading !== null) return batch.reading;
        return this.#part(batch);
      }
      if (this.#filling.count > 0) {
        this.#sending = this.#filling;
        this.#filling = batch;
        batch.count = 0;
        continue;
      }
      const unit = this.#find(batch);
      if (unit !== null) return unit;
      if (batch.count === 0) return null;
      this.#read(batch);
    }
  }

  #part(batch: Batch): PushPart {
    const at = batch.done;
    const count = Math.min(pagesAPart, batch.count - at);
    const part = batch.parts[at / pagesAPart] ?? raise();
    batch.done += count;
    // Read ahead while this one goes out.
    if (this.#filling.count === 0 && this.#find(this.#filling) === null && this.#filling.count > 0)
      this.#read(this.#filling);
    return { block: batch.block, first: batch.first + at, count, part };
  }

  /** Fills in the next run of missing data; returns a host page instead where a block's are large. Neither: the end. */
  #find(batch: Batch): PushUnit | null {
    batch.count = 0;
    batch.done = 0;
    const { blocks } = this.#sent;
    for (let entry = blocks[this.#block]; entry !== undefined; entry = blocks[this.#block]) {
      const { block, unit } = entry;
      const page = this.#nextData(this.#block, this.#page, block.pages);
      if (page >= block.pages) {
        this.#block++;
        this.#page = 0;
        continue;
      }
      if (unit === 1) {
        this.#run(batch, this.#block, page, block.pages, block.pageSize);
        this.#page = page + batch.count;
        return null;
      }
      // A unit is handed out by next() alone: reading ahead leaves it where it is.
      if (batch === this.#filling) return null;
      const at = Math.floor(page / unit);
      this.#page = (at + 1) * unit;
      return { block: this.#block, unit: at };
    }
    return null;
  }

  /** The first missing page in [from, end) that holds data; `end`: none. */
  #nextData(block: number, from: number, end: number): number {
    for (let page = from; page < end; ) {
      page = this.#sent.nextMissing(block, page, end);
      if (page >= end) return end;
      const stop = this.#sent.nextSent(block, page, end);
      this.#list.clear();
      const covered = this.#pages.map.extents(block, page, stop - page, this.#list);
      for (let i = 0; i < this.#list.length; i++) {
        if (this.#list.kind[i] !== ExtentKind.zero) return this.#list.first[i] ?? page;
      }
      page += covered;
    }
    return end;
  }

  /** Missing data from `page` on, without a gap. */
  #run(batch: Batch, block: number, page: number, end: number, pageSize: number): void {
    const most = Math.min(batch.views.length, this.#sent.nextSent(block, page, end) - page);
    this.#list.clear();
    this.#pages.map.extents(block, page, most, this.#list);
    batch.block = block;
    batch.first = page;
    batch.pieces.length = 0;
    for (let i = 0; i < this.#list.length && this.#list.kind[i] !== ExtentKind.zero; i++) {
      const count = this.#list.pages[i] ?? 0;
      if (this.#list.kind[i] === ExtentKind.absent) throw new RangeError(`page ${page} of block ${block} is absent`);
      batch.pieces.push({ count, store: this.#list.store[i] ?? 0, offset: this.#list.offset[i] ?? 0 });
      batch.count += count;
    }
    if (pageSize * batch.count === 0) throw new RangeError("an empty run");
  }

  #read(batch: Batch): void {
    const entry = this.#sent.blocks[batch.block]?.block ?? raise();
    let at = 0;
    const waits: Promise<void>[] = [];
    try {
      for (const { count, store, offset } of batch.pieces) {
        const views = batch.views.slice(at, at + count);
        if (batch.pieces.length > mostPieces) this.#pages.readNow(views, store, offset, entry, batch.first + at);
        else waits.push(this.#pages.readLater(views, store, offset, entry, batch.first + at));
        at += count;
      }
    } catch (error) {
      batch.failure = error;
    }
    if (waits.length === 0) return;
    batch.reading = Promise.all(waits).then(
      () => {
        batch.reading = null;
      },
      (error: unknown) => {
        batch.reading = null;
        batch.failure = error;
      },
    );
  }
}

function raise(): never {
  throw new RangeError("a part that is not there");
}
