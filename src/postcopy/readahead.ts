/** Pages that a run of faults may bring along at most: 4 MiB. */
const most = 1024;

/**
 * Which pages a fault brings along. Alone: its aligned window. Where faults follow each other through the memory, the window doubles
 * with each, so that a guest that reads all of it soon finds its pages there before it asks.
 */
export class Readahead {
  readonly #around: number;
  /** Of the last windows: where they end, and how large they are. A few scans may go on side by side. */
  readonly #ends = new Float64Array(8).fill(-1);
  readonly #blocks = new Int32Array(8).fill(-1);
  readonly #sizes = new Float64Array(8);
  #next = 0;
  /** Of the window made last. */
  first = 0;
  end = 0;

  /** @param around pages, at least 1: 1 brings nothing along */
  constructor(around: number) {
    this.#around = around;
  }

  /** Sets `first` and `end` to the window of a fault at `page` of a block of `pages` pages. */
  window(block: number, page: number, pages: number): void {
    const around = this.#around;
    if (around <= 1) {
      this.first = page;
      this.end = page + 1;
      return;
    }
    const slot = this.#scan(block, page);
    if (slot >= 0) {
      const size = Math.min(most, (this.#sizes[slot] ?? around) * 2);
      this.first = page;
      this.end = Math.min(pages, page + size);
      this.#keep(slot, block, this.end, size);
      return;
    }
    this.first = Math.floor(page / around) * around;
    this.end = Math.min(pages, this.first + around);
    this.#keep(this.#next, block, this.end, around);
    this.#next = (this.#next + 1) % this.#ends.length;
  }

  /**
   * The aligned window of pages [first, last): what is worth having the next time, for which of the pages that came along with a fault were
   * used is not known.
   *
   * @returns first page, and how many
   */
  around(first: number, last: number, pages: number): readonly [first: number, count: number] {
    const around = this.#around;
    const from = Math.floor(first / around) * around;
    return [from, Math.min(pages, Math.ceil(last / around) * around) - from];
  }

  /** The scan that goes on at this page; -1: none. */
  #scan(block: number, page: number): number {
    for (let i = 0; i < this.#ends.length; i++) {
      const end = this.#ends[i] ?? -1;
      if (this.#blocks[i] === block && page >= end && page < end + this.#around) return i;
    }
    return -1;
  }

  #keep(slot: number, block: number, end: number, size: number): void {
    this.#blocks[slot] = block;
    this.#ends[slot] = end;
    this.#sizes[slot] = size;
  }
}
