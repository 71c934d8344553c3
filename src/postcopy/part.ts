import { viewOf } from "../bytes/cursor.ts";
import type { RamBlock } from "../pages/block.ts";
import { RamFlag, SectionType } from "../stream/constants.ts";
import { nameBytes, recordHeader, writeContinued, writeNamed, zeroRecords } from "../stream/page-records.ts";

/** Pages of one PART at most: a fault's answer waits behind no more than this. */
export const pagesAPart = 32;

const sectionHead = 5;
/** End mark of the records, and the footer. */
export const partTail = 13;
/** Room before the first page: the section's head, and a record's header with the longest name. */
const longestHead = sectionHead + recordHeader + 1 + 255;

/**
 * A PART section that is built around its pages: they are read straight to their places between the headers. Page i lies at
 * a fixed place, the head is written backwards from the first one.
 *
 * A PART is always closed: QEMU reads the pages of one under its RCU read lock.
 */
export class PartBuffer {
  /** Where the pages are read to, one each. */
  readonly views: readonly Uint8Array[];
  readonly #bytes: Uint8Array;
  readonly #view: DataView;
  readonly #pageSize: number;

  constructor(pageSize: number, capacity: number) {
    const stride = recordHeader + pageSize;
    this.#pageSize = pageSize;
    this.#bytes = new Uint8Array(longestHead + capacity * stride + partTail);
    this.#view = viewOf(this.#bytes);
    this.views = Array.from({ length: capacity }, (_, i) => {
      const at = longestHead + i * stride;
      return this.#bytes.subarray(at, at + pageSize);
    });
  }

  /**
   * The section with the first `count` views as pages [page, page + count): valid until the buffer is used again.
   *
   * @param named false: the block is that of the record before
   */
  frame(sectionId: number, block: RamBlock, page: number, count: number, named: boolean): Uint8Array {
    const stride = recordHeader + this.#pageSize;
    const head = sectionHead + recordHeader + (named ? nameBytes(block) : 0);
    const start = longestHead - head;
    this.#view.setUint8(start, SectionType.part);
    this.#view.setUint32(start + 1, sectionId);
    const first = start + sectionHead;
    if (named) writeNamed(this.#bytes, first, block, page, RamFlag.page);
    else writeContinued(this.#view, first, stride, block, page, 1, RamFlag.page);
    writeContinued(this.#view, longestHead + this.#pageSize, stride, block, page + 1, count - 1, RamFlag.page);
    const end = longestHead + count * stride - recordHeader;
    writeTail(this.#view, end, sectionId);
    return this.#bytes.subarray(start, end + partTail);
  }
}

/** A PART with the zero pages [first, first + count) of a block. */
export function zeroPart(
  sectionId: number,
  block: RamBlock,
  first: number,
  count: number,
  named: boolean,
): Uint8Array<ArrayBuffer> {
  const records = zeroRecords(block, first, count, named);
  const bytes = new Uint8Array(sectionHead + records.length + partTail);
  const view = viewOf(bytes);
  view.setUint8(0, SectionType.part);
  view.setUint32(1, sectionId);
  bytes.set(records, sectionHead);
  writeTail(view, sectionHead + records.length, sectionId);
  return bytes;
}

function writeTail(view: DataView, at: number, sectionId: number): void {
  view.setUint32(at, 0);
  view.setUint32(at + 4, RamFlag.eos);
  view.setUint8(at + 8, SectionType.footer);
  view.setUint32(at + 9, sectionId);
}

/**
 * A PART with all target pages of one huge page, data and zeros mixed, in order: a destination puts it together and places it whole.
 */
export class HostPageBuffer {
  readonly #bytes: Uint8Array;
  readonly #view: DataView;
  readonly #sectionId: number;
  #block: RamBlock | null = null;
  #named = false;
  #at = 0;

  /** @param unit target pages in the largest host page */
  constructor(sectionId: number, pageSize: number, unit: number) {
    this.#bytes = new Uint8Array(longestHead + unit * (recordHeader + pageSize) + partTail);
    this.#view = viewOf(this.#bytes);
    this.#sectionId = sectionId;
  }

  begin(block: RamBlock, named: boolean): void {
    this.#block = block;
    this.#named = named;
    this.#view.setUint8(0, SectionType.part);
    this.#view.setUint32(1, this.#sectionId);
    this.#at = sectionHead;
  }

  zero(page: number): void {
    this.#header(page, RamFlag.zero);
    this.#bytes[this.#at] = 0;
    this.#at += 1;
  }

  /** Where the page's bytes go. */
  data(page: number): Uint8Array {
    const size = this.#header(page, RamFlag.page);
    const view = this.#bytes.subarray(this.#at, this.#at + size);
    this.#at += size;
    return view;
  }

  finish(): Uint8Array {
    writeTail(this.#view, this.#at, this.#sectionId);
    return this.#bytes.subarray(0, this.#at + partTail);
  }

  #header(page: number, flag: number): number {
    const block = this.#block;
    if (block === null) throw new RangeError("no huge page was begun");
    if (this.#named) {
      writeNamed(this.#bytes, this.#at, block, page, flag);
      this.#at += nameBytes(block);
      this.#named = false;
    } else writeContinued(this.#view, this.#at, 0, block, page, 1, flag);
    this.#at += recordHeader;
    return block.pageSize;
  }
}
