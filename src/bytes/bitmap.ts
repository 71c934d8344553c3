import { alignUp } from "./numbers.ts";

/**
 * One bit a page, in the order mapped-ram files of little-endian hosts have it: page i is byte[floor(i / 8)], bit i % 8;
 * the length is a multiple of 8 bytes (docs/format.md, "Bitmap").
 *
 * Page indices may pass 2^31, so they are divided, never shifted. The 32-bit words serve only to skip what is all clear or
 * all set, which is the same in either byte order of the machine we run on.
 */
export class PageBitmap {
  readonly pages: number;
  /** The bits as they stand in a file; bits at and past `pages` are always clear. */
  readonly bytes: Uint8Array;
  readonly #words: Uint32Array;

  /** @param bytes taken over, not copied; bits past `pages` are cleared in it. Its length must be {@link bitmapBytes}. */
  constructor(pages: number, bytes: Uint8Array = new Uint8Array(bitmapBytes(pages))) {
    if (bytes.length !== bitmapBytes(pages))
      throw new RangeError(`a bitmap of ${pages} pages has ${bitmapBytes(pages)} bytes`);
    const aligned = bytes.byteOffset % 4 === 0 ? bytes : bytes.slice();
    this.pages = pages;
    this.bytes = aligned;
    this.#words = new Uint32Array(aligned.buffer, aligned.byteOffset, aligned.length / 4);
    this.#clearPastEnd();
  }

  get(page: number): boolean {
    const byte = Math.floor(page / 8);
    return ((this.bytes[byte] ?? 0) & (1 << (page - byte * 8))) !== 0;
  }

  /** Sets the bit and returns whether it was set before. */
  set(page: number): boolean {
    const index = Math.floor(page / 8);
    const mask = 1 << (page - index * 8);
    const byte = this.bytes[index] ?? 0;
    this.bytes[index] = byte | mask;
    return (byte & mask) !== 0;
  }

  /** Clears the bit and returns whether it was set before. */
  clear(page: number): boolean {
    const index = Math.floor(page / 8);
    const mask = 1 << (page - index * 8);
    const byte = this.bytes[index] ?? 0;
    this.bytes[index] = byte & ~mask;
    return (byte & mask) !== 0;
  }

  /** Sets the bits of pages [first, first + count). */
  setRange(first: number, count: number): void {
    this.#fill(first, first + count, true);
  }

  /** Clears the bits of pages [first, first + count). */
  clearRange(first: number, count: number): void {
    this.#fill(first, first + count, false);
  }

  /** How many bits are set in pages [first, end). */
  count(first = 0, end = this.pages): number {
    let total = 0;
    let page = first;
    while (page < end && page % 32 !== 0) if (this.get(page++)) total++;
    const words = this.#words;
    const lastWord = Math.floor(end / 32);
    let word = Math.ceil(page / 32);
    for (; word < lastWord; word++) {
      const bits = words[word] ?? 0;
      if (bits !== 0) total += popcount(bits);
    }
    for (page = Math.max(page, lastWord * 32); page < end; page++) if (this.get(page)) total++;
    return total;
  }

  /** The first page in [from, end) whose bit is set; `end` when there is none. */
  nextSet(from: number, end = this.pages): number {
    return this.#scan(from, end, 0x00, 0);
  }

  /** The first page in [from, end) whose bit is clear; `end` when there is none. */
  nextClear(from: number, end = this.pages): number {
    return this.#scan(from, end, 0xff, 0xffffffff);
  }

  /** The last page whose bit is set, or -1. */
  lastSet(): number {
    let word = this.#words.length - 1;
    while (word >= 0 && this.#words[word] === 0) word--;
    for (let page = word * 32 + 31; page >= 0; page--) if (this.get(page)) return page;
    return -1;
  }

  /** First page in [from, end) that differs from the pattern; `byte` and `word` are the pattern in two widths. */
  #scan(from: number, end: number, byte: number, word: number): number {
    if (from >= end) return end;
    const { bytes } = this;
    let index = Math.floor(from / 8);
    const head = from - index * 8;
    if (head !== 0) {
      const bits = ((bytes[index] ?? 0) ^ byte) >> head;
      if (bits !== 0) return Math.min(end, from + lowestBit(bits));
      index++;
    }
    const lastByte = Math.ceil(end / 8);
    while (index < lastByte && index % 4 !== 0 && bytes[index] === byte) index++;
    if (index < lastByte && index % 4 === 0) index = this.#skipWords(index / 4, Math.ceil(lastByte / 4), word) * 4;
    while (index < lastByte && bytes[index] === byte) index++;
    if (index >= lastByte) return end;
    return Math.min(end, index * 8 + lowestBit((bytes[index] ?? 0) ^ byte));
  }

  #skipWords(from: number, end: number, word: number): number {
    const words = this.#words;
    let index = from;
    while (index < end && words[index] === word) index++;
    return index;
  }

  #fill(first: number, end: number, value: boolean): void {
    if (first < 0 || end > this.pages) throw new RangeError(`pages ${first} to ${end} of ${this.pages}`);
    let page = first;
    while (page < end && page % 8 !== 0) this.#put(page++, value);
    const whole = Math.floor(end / 8) * 8;
    if (page < whole) {
      this.bytes.fill(value ? 0xff : 0, page / 8, whole / 8);
      page = whole;
    }
    while (page < end) this.#put(page++, value);
  }

  #put(page: number, value: boolean): void {
    if (value) this.set(page);
    else this.clear(page);
  }

  #clearPastEnd(): void {
    const lastByte = Math.floor(this.pages / 8);
    const kept = this.pages - lastByte * 8;
    const byte = this.bytes[lastByte] ?? 0;
    const right = byte & ((1 << kept) - 1);
    // Memory that other threads have begun to use is right already, and must not be written to.
    if (byte !== right) this.bytes[lastByte] = right;
    this.bytes.fill(0, lastByte + 1);
  }
}

/**
 * A bitmap that several threads set and clear bits of, each of other pages at a time: single bits with one indivisible
 * operation, for the pages of one byte may be another thread's. Scans are for when nobody changes it.
 */
export class SharedBitmap extends PageBitmap {
  /** @param memory of {@link bitmapBytes} bytes; default: new */
  constructor(pages: number, memory: SharedArrayBuffer = new SharedArrayBuffer(bitmapBytes(pages))) {
    super(pages, new Uint8Array(memory));
  }

  override set(page: number): boolean {
    const index = Math.floor(page / 8);
    const mask = 1 << (page - index * 8);
    return (Atomics.or(this.bytes, index, mask) & mask) !== 0;
  }

  override clear(page: number): boolean {
    const index = Math.floor(page / 8);
    const mask = 1 << (page - index * 8);
    return (Atomics.and(this.bytes, index, ~mask) & mask) !== 0;
  }
}

/** Bytes of the bitmap of a block of `pages` pages. */
export function bitmapBytes(pages: number): number {
  return alignUp(Math.ceil(pages / 8), 8);
}

/** Turns a bitmap written by a big-endian host (or for one) into the little-endian order, in place: 64-bit words swapped. */
export function swapBitmapWords(bytes: Uint8Array): void {
  for (let i = 0; i + 8 <= bytes.length; i += 8) bytes.subarray(i, i + 8).reverse();
}

function lowestBit(bits: number): number {
  return 31 - Math.clz32(bits & -bits);
}

function popcount(word: number): number {
  let bits = word - ((word >>> 1) & 0x55555555);
  bits = (bits & 0x33333333) + ((bits >>> 2) & 0x33333333);
  return Math.imul((bits + (bits >>> 4)) & 0x0f0f0f0f, 0x01010101) >>> 24;
}
