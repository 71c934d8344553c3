import { viewOf } from "../bytes/cursor.ts";
import { alignUp } from "../bytes/numbers.ts";
import { printable } from "../bytes/text.ts";
import { FixedramError } from "../errors.ts";
import type { RamBlock } from "../pages/block.ts";
import type { PageBatch } from "../pages/sink.ts";
import {
  GREETING_SIZE,
  type Greeting,
  type PacketHeader,
  packetHeaderSize,
  packetPages,
  packetPlace,
  readGreeting,
  readPacketHeader,
} from "./multifd-packet.ts";

/** What a channel brings, in its order. */
export interface MultifdEvents {
  greeting(greeting: Greeting): void;
  /** Valid until the call returns. */
  pages(batch: PageBatch): void;
  /** Pages [first, first + count) are zero. */
  zeroPages(block: RamBlock, first: number, count: number): void;
  /** What follows belongs to the next round. */
  sync(): void;
}

/** Bytes in front of the pages: a header ends where a page of memory begins. */
const FRONT = 4096;

/**
 * Reads one multifd channel. Bytes come into {@link MultifdReader.buffer} at {@link MultifdReader.end}, by a read of the system's
 * own, and {@link MultifdReader.took} is told how many; nothing is copied then, and the pages of a full packet lie at a multiple
 * of 4 KiB of the buffer.
 *
 * Errors: `stream.multifd-*`, `stream.unknown-block`, `stream.page-out-of-block`, with the byte offset in the channel; after one
 * the reader is of no use any more.
 */
export class MultifdReader {
  readonly buffer: Uint8Array;
  /** Where the next bytes belong. */
  end: number;
  /** Bytes of the channel so far. */
  received = 0;
  readonly #events: MultifdEvents;
  readonly #blocks: ReadonlyMap<string, RamBlock>;
  readonly #pageSize: number;
  readonly #headerSize: number;
  readonly #view: DataView;
  readonly #start: number;
  readonly #batch: PageBatch;
  #greeted = false;
  #header: PacketHeader | null = null;

  /** Bytes that `buffer` needs. @param pageSize bytes */
  static bufferBytes(pageSize: number): number {
    return front(pageSize) + packetPages(pageSize) * pageSize;
  }

  /**
   * @param buffer of {@link MultifdReader.bufferBytes}, best aligned to 4 KiB
   * @param blocks the guest's, with one page size
   */
  constructor(buffer: Uint8Array, blocks: readonly RamBlock[], events: MultifdEvents) {
    const [block] = blocks;
    if (block === undefined) throw new RangeError("a guest without RAM blocks");
    const { pageSize } = block;
    if (buffer.length < MultifdReader.bufferBytes(pageSize)) throw new RangeError(`a buffer of ${buffer.length} bytes`);
    this.buffer = buffer;
    this.#events = events;
    this.#blocks = new Map(blocks.map((each) => [each.name, each]));
    this.#pageSize = pageSize;
    this.#headerSize = packetHeaderSize(pageSize);
    this.#start = front(pageSize) - this.#headerSize;
    this.#view = viewOf(buffer.subarray(this.#start));
    this.end = this.#start;
    const most = packetPages(pageSize);
    this.#batch = { block, count: 0, pages: new Float64Array(most), offsets: new Uint32Array(most), chunk: buffer };
  }

  /** Bytes to read at {@link MultifdReader.end} at most: up to the end of the packet, where that is known. Never 0. */
  get room(): number {
    if (!this.#greeted) return this.#start + GREETING_SIZE - this.end;
    const header = this.#header;
    const most = header === null ? packetPages(this.#pageSize) : header.pages;
    return this.#start + this.#headerSize + most * this.#pageSize - this.end;
  }

  /** Whether a packet, or the greeting, has begun and is not whole. */
  get inside(): boolean {
    return this.end > this.#start;
  }

  /** `count` bytes lie at {@link MultifdReader.end} now. */
  took(count: number): void {
    this.received += count;
    this.end += count;
    let at = this.#start;
    while (at < this.end) {
      const used = this.#item(at);
      at += used;
      if (used > 0) continue;
      if (at === this.#start) return;
      this.#toStart(at);
      at = this.#start;
    }
    this.end = this.#start;
  }

  /** The channel was closed. @throws `stream.multifd-cut` inside a packet */
  closed(): void {
    if (!this.inside) return;
    throw new FixedramError("stream.multifd-cut", "a multifd channel ends inside a packet", { offset: this.received });
  }

  /** Takes chunks of any size, copied; for whoever cannot read into the buffer. */
  push(chunk: Uint8Array): void {
    for (let at = 0; at < chunk.length; ) {
      const count = Math.min(this.room, chunk.length - at);
      this.buffer.set(chunk.subarray(at, at + count), this.end);
      at += count;
      this.took(count);
    }
  }

  /** Moves what lies at `at`, and behind it, to where a packet has its place. */
  #toStart(at: number): void {
    this.buffer.copyWithin(this.#start, at, this.end);
    this.end -= at - this.#start;
  }

  /**
   * Deals with the item at `at` if it is whole, and, when it has pages, at the start. Returns its length, else 0. Packets without
   * pages, of which a guest that is mostly empty sends one behind the other, are read where they lie.
   */
  #item(at: number): number {
    const held = this.end - at;
    if (!this.#greeted) {
      if (held < GREETING_SIZE) return 0;
      this.#greeted = true;
      this.#events.greeting(readGreeting(this.buffer.subarray(at, at + GREETING_SIZE)));
      return GREETING_SIZE;
    }
    if (held < this.#headerSize) return 0;
    const here = at === this.#start;
    const view = here ? this.#view : viewOf(this.buffer.subarray(at, at + this.#headerSize));
    this.#header ??= readPacketHeader(
      view,
      this.buffer.subarray(at, at + this.#headerSize),
      this.#pageSize,
      this.received - held,
    );
    const header = this.#header;
    const length = this.#headerSize + header.pages * this.#pageSize;
    if (held < length || (header.pages > 0 && !here)) return 0;
    this.#header = null;
    if (header.pages + header.zeroPages > 0) this.#packet(header, view, this.received - held);
    if (header.sync) this.#events.sync();
    return length;
  }

  /** @param view begins at its header @param at of the packet in the channel, bytes, for errors */
  #packet({ pages, zeroPages, block: name }: PacketHeader, view: DataView, at: number): void {
    const block = this.#blocks.get(name);
    if (block === undefined) {
      throw new FixedramError("stream.unknown-block", `a page belongs to "${printable(name)}", which the list lacks`, {
        offset: at,
        block: name,
      });
    }
    const batch = this.#batch;
    batch.block = block;
    batch.count = pages;
    const first = this.#start + this.#headerSize;
    for (let i = 0; i < pages; i++) {
      batch.pages[i] = this.#page(block, view, i, at);
      batch.offsets[i] = first + i * this.#pageSize;
    }
    if (pages > 0) this.#events.pages(batch);
    for (let i = pages; i < pages + zeroPages; ) {
      const from = this.#page(block, view, i, at);
      let end = i + 1;
      while (end < pages + zeroPages && this.#page(block, view, end, at) === from + (end - i)) end++;
      this.#events.zeroPages(block, from, end - i);
      i = end;
    }
  }

  #page(block: RamBlock, view: DataView, index: number, at: number): number {
    const place = packetPlace(view, index);
    if (place < block.length && place % this.#pageSize === 0) return place / this.#pageSize;
    throw new FixedramError("stream.page-out-of-block", `a page has no place in block "${printable(block.name)}"`, {
      offset: at,
      block: block.name,
      expected: `a page below byte ${block.length}`,
      found: `byte ${place}`,
    });
  }
}

function front(pageSize: number): number {
  return Math.max(FRONT, alignUp(packetHeaderSize(pageSize), FRONT));
}
