import { getU64 } from "../bytes/cursor.ts";
import { latin1, printable } from "../bytes/text.ts";
import { MAPPED_HEADER_SIZE, RamFlag } from "./constants.ts";
import type { Limits } from "./events.ts";
import type { PushCore, Step } from "./push.ts";
import type { BlockEntry, MappedHeader } from "./records.ts";

export interface BlockListShape {
  /** Target page size, bytes. */
  readonly pageSize: number;
  /** x-ignore-shared: each entry has a guest address. */
  readonly ignoreShared: boolean;
  readonly mapped: boolean;
  /** Huge page sizes (bytes) that POSTCOPY_ADVISE announced; an entry may then have a page size word. */
  readonly hugePageSizes: readonly number[];
}

/** Parses MEM_SIZE and the block entries after it, hopping over the pages of a mapped-ram file. */
export class BlockListReader {
  readonly #core: PushCore;
  readonly #limits: Limits;
  readonly #shape: BlockListShape;
  readonly #done: (total: number, entries: readonly BlockEntry[]) => void;
  readonly #entries: BlockEntry[] = [];
  readonly #names = new Set<string>();
  #total = 0;
  #sum = 0;

  constructor(
    core: PushCore,
    limits: Limits,
    shape: BlockListShape,
    done: (total: number, entries: readonly BlockEntry[]) => void,
  ) {
    this.#core = core;
    this.#limits = limits;
    this.#shape = shape;
    this.#done = done;
  }

  /** Wants 8 bytes: the MEM_SIZE word. */
  readonly step: Step = (_buf, view, off) => {
    const core = this.#core;
    const word = getU64(view, off);
    if (word === Number.POSITIVE_INFINITY) throw this.#tooLarge("the RAM total", 0);
    const flags = view.getUint32(off + 4) & (this.#shape.pageSize - 1);
    if (flags !== RamFlag.memSize) {
      throw core.error("stream.no-block-list", "the RAM section does not begin with its block list", {
        expected: "0x4",
        found: `0x${flags.toString(16)}`,
      });
    }
    this.#total = word - flags;
    this.#continue();
    return 8;
  };

  #tooLarge(what: string, delta: number): Error {
    return this.#core.error("stream.number-too-large", `${what} is larger than 2^53 - 1`, {}, delta);
  }

  #continue(): void {
    if (this.#sum === this.#total) this.#done(this.#total, this.#entries);
    else this.#core.next(this.#entry, 1);
  }

  readonly #entry: Step = (buf, view, off) => {
    const core = this.#core;
    const named = 1 + view.getUint8(off);
    if (!core.has(named + 8)) return 0;
    const name = latin1(buf, off + 1, off + named);
    const length = getU64(view, off + named);
    this.#check(name, length, named);
    let at = named + 8;
    let hostPageSize: number | null = null;
    if (this.#shape.hugePageSizes.length > 0) {
      // Nothing flags this word. A next entry begins with a name length, never 0, and a record here is far below a huge
      // page size: a word that is one of the announced sizes is the page size.
      if (!core.has(at + 8)) return 0;
      const word = getU64(view, off + at);
      if (this.#shape.hugePageSizes.includes(word)) {
        hostPageSize = word;
        at += 8;
      }
    }
    const rest = (this.#shape.ignoreShared ? 8 : 0) + (this.#shape.mapped ? MAPPED_HEADER_SIZE : 0);
    if (!core.has(at + rest)) return 0;
    let guestAddress: number | null = null;
    if (this.#shape.ignoreShared) {
      guestAddress = getU64(view, off + at);
      if (guestAddress === Number.POSITIVE_INFINITY) throw this.#tooLarge("a guest address", at);
      at += 8;
    }
    const mapped = this.#shape.mapped ? this.#mappedHeader(view, off, at, name, length) : null;
    if (mapped !== null) at += MAPPED_HEADER_SIZE;
    const pageSize = this.#shape.pageSize;
    const block = { index: this.#entries.length, name, length, pageSize, pages: length / pageSize };
    this.#names.add(name);
    this.#entries.push({ block, hostPageSize, guestAddress, mapped });
    this.#sum += length;
    this.#continue();
    return at;
  };

  #check(name: string, length: number, lengthAt: number): void {
    const core = this.#core;
    const shown = printable(name);
    if (name.length === 0) throw core.error("stream.block-name", "a RAM block has no name");
    if (this.#names.has(name)) {
      throw core.error("stream.duplicate-block", `RAM block "${shown}" is listed twice`, { block: name });
    }
    if (this.#entries.length >= this.#limits.maxBlocks) {
      throw core.error("stream.too-many-blocks", "there are more RAM blocks than the limit", {
        expected: `at most ${this.#limits.maxBlocks}`,
      });
    }
    if (length % this.#shape.pageSize !== 0) {
      const details = { block: name, expected: `a multiple of ${this.#shape.pageSize}`, found: String(length) };
      throw core.error("stream.block-length", `block "${shown}" is not made of whole pages`, details, lengthAt);
    }
    if (length > this.#total - this.#sum) {
      const details = { block: name, expected: `at most ${this.#total - this.#sum}`, found: String(length) };
      throw core.error("stream.block-total", "the RAM blocks' lengths do not add up to the total", details, lengthAt);
    }
  }

  #mappedHeader(view: DataView, off: number, at: number, name: string, length: number): MappedHeader {
    const core = this.#core;
    const version = view.getUint32(off + at);
    const pageSize = getU64(view, off + at + 4);
    const bitmapOffset = getU64(view, off + at + 12);
    const pagesOffset = getU64(view, off + at + 20);
    if (version > 1) {
      const details = { block: name, expected: "0 or 1", found: String(version) };
      throw core.error("stream.mapped-version", "the mapped-ram header has an unknown version", details, at);
    }
    if (pageSize !== this.#shape.pageSize) {
      const details = { block: name, expected: String(this.#shape.pageSize), found: String(pageSize) };
      throw core.error("stream.mapped-page-size", "the mapped-ram page size is not the guest's", details, at + 4);
    }
    const pagesEnd = pagesOffset + length;
    if (!Number.isSafeInteger(pagesEnd) || !Number.isSafeInteger(bitmapOffset)) {
      throw this.#tooLarge("a mapped-ram offset", at + 12);
    }
    // QEMU 11 gives a shared block that is left out no place at all: the next entry follows.
    const leftOut = this.#shape.ignoreShared && bitmapOffset === 0 && pagesOffset === 0;
    if (!leftOut) core.jumpTo(pagesEnd);
    return { version, pageSize, bitmapOffset, pagesOffset };
  }
}
