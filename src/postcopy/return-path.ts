import { getU64, viewOf } from "../bytes/cursor.ts";
import { latin1, printable } from "../bytes/text.ts";
import { FixedramError } from "../errors.ts";

/** Message types from the destination (QEMU docs/devel/migration, "Return path"; docs/protocol.md, "Return path"). */
export const ReturnMessage = {
  shut: 1,
  pong: 2,
  requestPagesNamed: 3,
  requestPages: 4,
  receivedBitmap: 5,
  resumeAck: 6,
  switchoverAck: 7,
} as const;

/** The number after a bitmap's bytes. */
export const bitmapEnd = { high: 0x01234567, low: 0x89abcdef } as const;

/** What the destination says. Block names are bytes as latin1. */
export interface ReturnPathEvents {
  /** Its verdict: 0 is fine. */
  shut(value: number): void;
  pong(value: number): void;
  /** It waits for bytes [start, start + length) of a block; both are multiples of the block's host page size. */
  request(block: string, start: number, length: number): void;
  /**
   * Which target pages of a block it has: one bit a page, as in docs/format.md, "Bitmap". The bytes are the listener's own.
   */
  bitmap(block: string, bits: Uint8Array): void;
  resumeAck(value: number): void;
}

/** A bitmap that is coming in, with the number that ends it. */
interface IncomingBitmap {
  readonly block: string;
  readonly bytes: Uint8Array;
  done: number;
}

/** Data length of each message without its block name. */
const fixedLengths: Readonly<Record<number, number>> = {
  [ReturnMessage.shut]: 4,
  [ReturnMessage.pong]: 4,
  [ReturnMessage.requestPagesNamed]: 13,
  [ReturnMessage.requestPages]: 12,
  [ReturnMessage.receivedBitmap]: 1,
  [ReturnMessage.resumeAck]: 4,
  [ReturnMessage.switchoverAck]: 0,
};

const headerBytes = 4;
const namedRequestBytes = 13;
/** A header, the fixed data and a name of 255 bytes: the longest that is gathered before it is read. */
const longest = headerBytes + namedRequestBytes + 255;

/**
 * Reads the return path: u16 type, u16 length, data, big-endian; a bitmap's bytes follow its message outside of that length.
 * Bytes come in pieces of any size. Throws FixedramError `qemu.return-path` for what no QEMU sends.
 */
export class ReturnPathReader {
  readonly #events: ReturnPathEvents;
  readonly #bitmapBytes: (block: string) => number;
  readonly #held = new Uint8Array(longest + 16);
  #heldLength = 0;
  #block: string | null = null;
  #bitmap: IncomingBitmap | null = null;

  /** @param bitmapBytes most bytes that a block's bitmap may have; checked before memory is taken for it */
  constructor(events: ReturnPathEvents, bitmapBytes: (block: string) => number) {
    this.#events = events;
    this.#bitmapBytes = bitmapBytes;
  }

  push(chunk: Uint8Array): void {
    let at = 0;
    while (at < chunk.length) {
      if (this.#bitmap !== null) {
        at += this.#fillBitmap(this.#bitmap, chunk, at);
        continue;
      }
      if (this.#heldLength === 0) {
        const taken = this.#message(chunk, at, chunk.length);
        at += taken;
        if (taken > 0) continue;
      }
      // What is left of a piece is less than one message; it is put together here.
      const more = Math.min(this.#held.length - this.#heldLength, chunk.length - at);
      this.#held.set(chunk.subarray(at, at + more), this.#heldLength);
      const before = this.#heldLength;
      this.#heldLength += more;
      const taken = this.#message(this.#held, 0, this.#heldLength);
      if (taken === 0) {
        at += more;
        continue;
      }
      at += taken - before;
      this.#heldLength = 0;
    }
  }

  /** Bytes of the message at `at`, which has been handled; 0: it is not all there. */
  #message(bytes: Uint8Array, at: number, end: number): number {
    if (end - at < headerBytes) return 0;
    const view = viewOf(bytes);
    const type = view.getUint16(at);
    const length = view.getUint16(at + 2);
    const fixed = fixedLengths[type];
    if (fixed === undefined) throw wrong(`message type ${type}`);
    const named = type === ReturnMessage.requestPagesNamed || type === ReturnMessage.receivedBitmap;
    if (named ? length < fixed || length > fixed + 255 : length !== fixed)
      throw wrong(`message ${type} of ${length} bytes`);
    if (end - at < headerBytes + length) return 0;
    const data = at + headerBytes;
    switch (type) {
      case ReturnMessage.shut:
        this.#events.shut(view.getUint32(data));
        break;
      case ReturnMessage.pong:
        this.#events.pong(view.getUint32(data));
        break;
      case ReturnMessage.requestPagesNamed:
        this.#block = nameAt(bytes, data + 12, length - 12);
        this.#request(view, data);
        break;
      case ReturnMessage.requestPages:
        this.#request(view, data);
        break;
      case ReturnMessage.receivedBitmap: {
        if (end - at < headerBytes + length + 8) return 0;
        this.#beginBitmap(nameAt(bytes, data, length), getU64(view, data + length));
        return headerBytes + length + 8;
      }
      case ReturnMessage.resumeAck:
        this.#events.resumeAck(view.getUint32(data));
        break;
    }
    return headerBytes + length;
  }

  #request(view: DataView, at: number): void {
    const start = getU64(view, at);
    const length = view.getUint32(at + 8);
    if (this.#block === null) throw wrong("a request for pages of no block");
    if (!Number.isSafeInteger(start) || length === 0) throw wrong(`a request for ${length} bytes at ${start}`);
    this.#events.request(this.#block, start, length);
  }

  #beginBitmap(block: string, size: number): void {
    const most = this.#bitmapBytes(block);
    if (!(size <= most)) throw wrong(`a bitmap of ${size} bytes for ${printable(block)}, which has ${most}`);
    this.#bitmap = { block, bytes: new Uint8Array(size + 8), done: 0 };
  }

  #fillBitmap(bitmap: IncomingBitmap, chunk: Uint8Array, at: number): number {
    const { bytes, block } = bitmap;
    const count = Math.min(bytes.length - bitmap.done, chunk.length - at);
    bytes.set(chunk.subarray(at, at + count), bitmap.done);
    bitmap.done += count;
    if (bitmap.done === bytes.length) {
      this.#bitmap = null;
      const size = bytes.length - 8;
      const view = viewOf(bytes);
      if (view.getUint32(size) !== bitmapEnd.high || view.getUint32(size + 4) !== bitmapEnd.low)
        throw wrong(`a bitmap of ${printable(block)} that does not end as one`);
      this.#events.bitmap(block, bytes.slice(0, size));
    }
    return count;
  }
}

function nameAt(bytes: Uint8Array, at: number, room: number): string {
  const length = bytes[at] ?? 0;
  if (length !== room - 1) throw wrong(`a block name of ${length} bytes in ${room - 1}`);
  return latin1(bytes, at + 1, at + 1 + length);
}

function wrong(found: string): FixedramError {
  return new FixedramError("qemu.return-path", "QEMU said something on the return path that cannot be understood", {
    found,
    hint: "Report it with the QEMU version. The guest waits, and the file is as it was.",
  });
}
