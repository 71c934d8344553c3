/**
 * For each page of a block, one number: 0 is a zero page, a positive one an offset in the stream's file, a negative one
 * -(slot + 1) in the overlay. Memory follows the pages that are present: leaves of 16 pages, taken from slabs that all
 * blocks share, below middle nodes of 64 MiB of RAM (at 4 KiB pages), which exist only where something was set.
 */

const leafPages = 16;
const midLeaves = 1024;
const midPages = leafPages * midLeaves;
const slabLeaves = 4096;
const leafBytes = leafPages * 8;
const midBytes = midLeaves * 4;

/** Gives out leaves, numbered from 1; 0 means "no leaf". */
export class LeafPool {
  readonly #slabs: Float64Array[] = [];
  readonly #onGrow: (bytes: number) => void;
  #leaves = 0;
  #bytes = 0;

  /** @param onGrow told how many bytes the tables hold, each time before they take more; may throw */
  constructor(onGrow: (bytes: number) => void = () => {}) {
    this.#onGrow = onGrow;
  }

  /** Bytes that the tables hold. */
  get bytes(): number {
    return this.#bytes;
  }

  leaf(): number {
    this.grow(leafBytes);
    this.#leaves++;
    if (Math.floor(this.#leaves / slabLeaves) >= this.#slabs.length) {
      this.#slabs.push(new Float64Array(slabLeaves * leafPages));
    }
    return this.#leaves;
  }

  slab(leaf: number): Float64Array {
    const slab = this.#slabs[Math.floor(leaf / slabLeaves)];
    if (slab === undefined) throw new RangeError(`no leaf ${leaf}`);
    return slab;
  }

  /** Where a leaf's first page is in its slab. */
  start(leaf: number): number {
    return (leaf % slabLeaves) * leafPages;
  }

  grow(bytes: number): void {
    this.#onGrow(this.#bytes + bytes);
    this.#bytes += bytes;
  }
}

export class PageTable {
  readonly pages: number;
  readonly #pool: LeafPool;
  readonly #mids = new Map<number, Uint32Array>();
  #lastMid = -1;
  #last: Uint32Array | undefined;

  constructor(pages: number, pool: LeafPool) {
    this.pages = pages;
    this.#pool = pool;
  }

  get(page: number): number {
    const leaf = this.#mid(page)?.[Math.floor((page % midPages) / leafPages)] ?? 0;
    return leaf === 0 ? 0 : (this.#pool.slab(leaf)[this.#pool.start(leaf) + (page % leafPages)] ?? 0);
  }

  /** Returns what was there before. */
  set(page: number, value: number): number {
    const pool = this.#pool;
    let mid = this.#mid(page);
    if (mid === undefined) {
      if (value === 0) return 0;
      mid = this.#addMid(page);
    }
    const at = Math.floor((page % midPages) / leafPages);
    let leaf = mid[at] ?? 0;
    if (leaf === 0) {
      if (value === 0) return 0;
      leaf = pool.leaf();
      mid[at] = leaf;
    }
    const slab = pool.slab(leaf);
    const place = pool.start(leaf) + (page % leafPages);
    const before = slab[place] ?? 0;
    slab[place] = value;
    return before;
  }

  /** The first page in [from, end) that is not zero; `end` when there is none. Skips what was never set. */
  nextPresent(from: number, end: number): number {
    let page = from;
    while (page < end) {
      const mid = this.#mid(page);
      if (mid === undefined) {
        page = (Math.floor(page / midPages) + 1) * midPages;
        continue;
      }
      const leaf = mid[Math.floor((page % midPages) / leafPages)] ?? 0;
      const leafEnd = (Math.floor(page / leafPages) + 1) * leafPages;
      if (leaf !== 0) {
        const slab = this.#pool.slab(leaf);
        const start = this.#pool.start(leaf);
        for (; page < leafEnd; page++) if (slab[start + (page % leafPages)] !== 0) return Math.min(page, end);
      }
      page = leafEnd;
    }
    return end;
  }

  #mid(page: number): Uint32Array | undefined {
    const index = Math.floor(page / midPages);
    if (index !== this.#lastMid) {
      this.#lastMid = index;
      this.#last = this.#mids.get(index);
    }
    return this.#last;
  }

  #addMid(page: number): Uint32Array {
    this.#pool.grow(midBytes);
    const mid = new Uint32Array(midLeaves);
    this.#mids.set(Math.floor(page / midPages), mid);
    this.#last = mid;
    return mid;
  }
}
