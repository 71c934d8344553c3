import { readSync, readvSync } from "node:fs";
import { PageHasher } from "../bytes/page-digest.ts";
import { FixedramError, systemError } from "../errors.ts";

/** An open file of this process, by number: every thread may use it while its owner keeps it open. */
export interface SharedFile {
  readonly fd: number;
  /** For messages. */
  readonly name: string;
}

/** Bytes of pages that are worked on at once: they stay in the processor's cache between reading, hashing and writing. */
export const pieceBytes = 512 * 1024;

let hasher: PageHasher | null = null;

/** This thread's hasher, whose region takes {@link pieceBytes}. */
export function threadHasher(): PageHasher {
  hasher ??= new PageHasher(pieceBytes);
  return hasher;
}

/** Reads pages side by side into memory, wherever they stand in a file. */
export class PageReader {
  #region: Uint8Array;
  readonly #pageSize: number;
  /** Takes what stands between two pages. */
  readonly #between = new Uint8Array(4096);
  readonly #views: Uint8Array[] = [];

  /** @param region what is read into */
  constructor(region: Uint8Array, pageSize: number) {
    this.#region = region;
    this.#pageSize = pageSize;
  }

  /** From now on pages are read into this. */
  into(region: Uint8Array): void {
    this.#region = region;
  }

  /**
   * Reads `count` pages, the first at byte `offset` of the file, `stride` bytes from one to the next, to the region's start.
   *
   * @throws `file.truncated`, `system.io`
   */
  read(file: SharedFile, offset: number, stride: number, count: number): void {
    const size = this.#pageSize;
    const apart = stride - size;
    if (apart === 0 || count === 1) readFully(file, this.#region.subarray(0, count * size), offset);
    else if (apart <= this.#between.length) this.#scatter(file, offset, apart, count);
    else for (let i = 0; i < count; i++) readFully(file, this.#at(i), offset + i * stride);
  }

  /** One call for all of them; what stands between goes to a place that nobody looks at. */
  #scatter(file: SharedFile, offset: number, apart: number, count: number): void {
    const views = this.#views;
    views.length = 0;
    const between = this.#between.subarray(0, apart);
    for (let i = 0; i < count; i++) {
      if (i > 0) views.push(between);
      views.push(this.#at(i));
    }
    const stride = this.#pageSize + apart;
    const whole = count * stride - apart;
    let got = 0;
    try {
      got = readvSync(file.fd, views, offset);
    } catch (error) {
      throw systemError(error, file.name, `reading at byte ${offset}`);
    }
    // A short read is rare: what is not whole is read again.
    if (got === whole) return;
    for (let i = Math.floor(got / stride); i < count; i++) readFully(file, this.#at(i), offset + i * stride);
  }

  #at(index: number): Uint8Array {
    return this.#region.subarray(index * this.#pageSize, (index + 1) * this.#pageSize);
  }
}

/** @throws `file.truncated`, `system.io` */
export function readFully(file: SharedFile, target: Uint8Array, position: number): void {
  let done = 0;
  while (done < target.length) {
    let count: number;
    try {
      count = readSync(file.fd, target, done, target.length - done, position + done);
    } catch (error) {
      throw systemError(error, file.name, `reading at byte ${position + done}`);
    }
    if (count === 0) {
      throw new FixedramError("file.truncated", "the file ends among its pages", {
        path: file.name,
        offset: position + done,
        hint: "The file was cut, or is being changed. Fetch it again.",
      });
    }
    done += count;
  }
}
