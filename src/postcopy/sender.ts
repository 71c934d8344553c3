import type { RamBlock } from "../pages/block.ts";
import { ExtentKind, ExtentList } from "../pages/extents.ts";
import type { PostcopyBlock, SentPages } from "./blocks.ts";
import type { PageSource, SendKind, Watcher, Wire } from "./pages.ts";
import { HostPageBuffer, PartBuffer, pagesAPart, zeroPart } from "./part.ts";
import type { PushPart, PushUnit } from "./push.ts";

/** Answers that are on their way and may be needed again at once. */
const spareBuffers = 16;

/**
 * Puts pages on the wire, each once: marks them as sent and remembers whose block the last record was, so that the next of the same
 * block leaves its name out.
 */
export class Sender {
  readonly #sent: SentPages;
  readonly #pages: PageSource;
  readonly #wire: Wire;
  readonly #sectionId: number;
  readonly #list = new ExtentList(256);
  readonly #single: PartBuffer[] = [];
  readonly #windows: PartBuffer;
  readonly #huge: HostPageBuffer | null;
  readonly #pageSize: number;
  #last: RamBlock | null = null;
  #watcher: Watcher | null = null;
  readonly #now: () => number;
  readonly #patient: boolean;
  readonly #fail: (error: unknown) => void;
  /** Answers that are being read. */
  readonly #reading = new Set<Promise<void>>();
  /** Data pages and zero pages sent so far. */
  dataPages = 0;
  zeroPages = 0;

  /**
   * @param patient reads leave the thread, which serves other guests too
   * @param fail hears what went wrong with an answer that was read later
   */
  constructor(
    sent: SentPages,
    pages: PageSource,
    wire: Wire,
    sectionId: number,
    now: () => number,
    patient: boolean,
    fail: (error: unknown) => void,
  ) {
    const { blocks } = sent;
    this.#patient = patient;
    this.#fail = fail;
    this.#sent = sent;
    this.#pages = pages;
    this.#wire = wire;
    this.#sectionId = sectionId;
    this.#now = now;
    this.#pageSize = blocks[0]?.block.pageSize ?? 4096;
    this.#windows = new PartBuffer(this.#pageSize, pagesAPart);
    const unit = Math.max(1, ...blocks.map((each) => each.unit));
    this.#huge = unit === 1 ? null : new HostPageBuffer(sectionId, this.#pageSize, unit);
  }

  set watcher(watcher: Watcher | null) {
    this.#watcher = watcher;
  }

  /**
   * Answers a fault for one page: at once, in a part of its own. @param done called when the answer is gone; not when true is returned
   */
  one(entry: PostcopyBlock, page: number, done: () => void): boolean {
    const { block } = entry;
    this.#list.clear();
    this.#pages.map.extents(block.index, page, 1, this.#list);
    if (this.#list.kind[0] === ExtentKind.zero) return this.#put(this.#zero(block, page, 1), done);
    const buffer = this.#single.pop() ?? new PartBuffer(this.#pageSize, 1);
    const back = () => {
      if (this.#single.length < spareBuffers) this.#single.push(buffer);
    };
    if (this.#patient) {
      this.#oneLater(block, page, buffer, () => {
        back();
        done();
      });
      return false;
    }
    // Read before it counts as sent: what cannot be read, or is damaged, is never answered.
    this.#pages.readNow(buffer.views, this.#list.store[0] ?? 0, this.#list.offset[0] ?? 0, block, page);
    this.#pages.confirm(block, page, buffer.views, 1);
    this.#sent.take(block.index, page, 1);
    this.dataPages++;
    const gone = this.#put(buffer.frame(this.#sectionId, block, page, 1, this.#named(block)), () => {
      back();
      done();
    });
    if (gone) back();
    return gone;
  }

  /** From now on the page counts as sent, so that nobody else sends it meanwhile; what cannot be read ends the session. */
  #oneLater(block: RamBlock, page: number, buffer: PartBuffer, done: () => void): void {
    this.#sent.take(block.index, page, 1);
    const reading = this.#pages
      .readLater(buffer.views, this.#list.store[0] ?? 0, this.#list.offset[0] ?? 0, block, page)
      .then(() => {
        this.#pages.confirm(block, page, buffer.views, 1);
        this.dataPages++;
        if (this.#put(buffer.frame(this.#sectionId, block, page, 1, this.#named(block)), done)) done();
      })
      .catch(this.#fail)
      .finally(() => this.#reading.delete(reading));
    this.#reading.add(reading);
  }

  /** Until no answer is being read any more: what is not sent before END is zero to the destination. */
  async answered(): Promise<void> {
    while (this.#reading.size > 0) await Promise.all(this.#reading);
  }

  /** Sends a host page, no part of which was sent. One at a time: they share a buffer. */
  async unit(entry: PostcopyBlock, unit: number, kind: SendKind): Promise<void> {
    const { block } = entry;
    const huge = this.#huge;
    if (huge === null) throw new RangeError("no huge pages here");
    const first = unit * entry.unit;
    const count = Math.min(entry.unit, block.pages - first);
    // While it is read a page of another block may go out.
    huge.begin(block, this.#patient || this.#last !== block);
    for (let page = first; page < first + count; ) {
      this.#list.clear();
      const covered = this.#pages.map.extents(block.index, page, first + count - page, this.#list);
      await Promise.all(Array.from({ length: this.#list.length }, (_, i) => this.#extent(huge, block, i)));
      page += covered;
    }
    this.#last = block;
    this.#sent.take(block.index, first, count);
    this.#tell(kind, block.index, first, count);
    await this.#send(huge.finish());
  }

  #extent(huge: HostPageBuffer, block: RamBlock, i: number): Promise<void> | null {
    const first = this.#list.first[i] ?? 0;
    const pages = this.#list.pages[i] ?? 0;
    if (this.#list.kind[i] === ExtentKind.zero) {
      for (let page = first; page < first + pages; page++) huge.zero(page);
      this.zeroPages += pages;
      return null;
    }
    const views = Array.from({ length: pages }, (_, k) => huge.data(first + k));
    const store = this.#list.store[i] ?? 0;
    const offset = this.#list.offset[i] ?? 0;
    const confirm = () => {
      this.#pages.confirm(block, first, views, pages);
      this.dataPages += pages;
    };
    if (this.#patient) return this.#pages.readLater(views, store, offset, block, first).then(confirm);
    this.#pages.readNow(views, store, offset, block, first);
    confirm();
    return null;
  }

  /**
   * Sends the next missing pages of [first, end), data or zeros, as one part. Blocks whose host pages are small only.
   *
   * @returns where to go on; `end`: nothing was left
   */
  async some(entry: PostcopyBlock, first: number, end: number, kind: SendKind): Promise<number> {
    const { block } = entry;
    const from = this.#sent.nextMissing(block.index, first, end);
    if (from >= end) return end;
    const stop = this.#sent.nextSent(block.index, from, Math.min(end, from + pagesAPart));
    this.#list.clear();
    this.#pages.map.extents(block.index, from, stop - from, this.#list);
    const count = this.#list.pages[0] ?? 0;
    if (this.#list.kind[0] === ExtentKind.zero) {
      this.#tell(kind, block.index, from, count);
      await this.#send(this.#zero(block, from, count));
      return from + count;
    }
    const views = this.#windows.views.slice(0, count);
    const store = this.#list.store[0] ?? 0;
    const offset = this.#list.offset[0] ?? 0;
    if (this.#patient) {
      // See #oneLater.
      this.#sent.take(block.index, from, count);
      await this.#pages.readLater(views, store, offset, block, from);
      this.#pages.confirm(block, from, views, count);
    } else {
      this.#pages.readNow(views, store, offset, block, from);
      this.#pages.confirm(block, from, views, count);
      this.#sent.take(block.index, from, count);
    }
    this.dataPages += count;
    this.#tell(kind, block.index, from, count);
    await this.#send(this.#windows.frame(this.#sectionId, block, from, count, this.#named(block)));
    return from + count;
  }

  /** Sends what is still missing of a part that the push has read. @returns bytes sent */
  async pushed({ block: index, first, count, part }: PushPart): Promise<number> {
    const block = this.#block(index);
    const end = first + count;
    let sent = 0;
    this.#pages.confirm(block, first, part.views, count);
    for (let page = this.#sent.nextMissing(index, first, end); page < end; ) {
      const stop = this.#sent.nextSent(index, page, end);
      const pages = stop - page;
      const whole = page === first;
      const buffer = whole ? part : new PartBuffer(this.#pageSize, pages);
      // Some of it was asked for while it was read: the rest moves to a part of its own.
      if (!whole) for (const [i, view] of buffer.views.entries()) view.set(part.views[page - first + i] ?? view);
      const kept = whole && stop < end ? saveTail(part, pages) : null;
      this.#sent.take(index, page, pages);
      this.dataPages += pages;
      sent += pages;
      this.#tell("push", index, page, pages);
      await this.#send(buffer.frame(this.#sectionId, block, page, pages, this.#named(block)));
      kept?.();
      page = this.#sent.nextMissing(index, stop, end);
    }
    return sent * block.pageSize;
  }

  async pushedUnit({ block, unit }: PushUnit): Promise<number> {
    const entry = this.#sent.blocks[block];
    if (entry === undefined) throw new RangeError(`no block ${block}`);
    if (this.#sent.has(block, unit * entry.unit)) return 0;
    await this.unit(entry, unit, "push");
    return entry.hostPageSize;
  }

  /** Sends bytes that hold no page; the next page's record names its block again. */
  async raw(bytes: Uint8Array): Promise<void> {
    this.#last = null;
    await this.#send(bytes);
  }

  #zero(block: RamBlock, first: number, count: number): Uint8Array {
    this.#sent.take(block.index, first, count);
    this.zeroPages += count;
    return zeroPart(this.#sectionId, block, first, count, this.#named(block));
  }

  #named(block: RamBlock): boolean {
    const named = this.#last !== block;
    this.#last = block;
    return named;
  }

  #tell(kind: SendKind, block: number, first: number, count: number): void {
    this.#watcher?.sent(kind, block, first, count, this.#now(), 0);
  }

  #put(bytes: Uint8Array, done: () => void): boolean {
    return this.#wire.write(bytes, done);
  }

  #send(bytes: Uint8Array): Promise<void> {
    return new Promise((resolve) => {
      if (this.#wire.write(bytes, resolve)) resolve();
    });
  }

  #block(index: number): RamBlock {
    const entry = this.#sent.blocks[index];
    if (entry === undefined) throw new RangeError(`no block ${index}`);
    return entry.block;
  }
}

/** Framing writes behind the last page of a part, where the next one's bytes begin: they are kept. */
function saveTail(part: PartBuffer, pages: number): () => void {
  const next = part.views[pages];
  if (next === undefined) return () => {};
  const bytes = next.slice(0, 16);
  return () => next.set(bytes);
}
