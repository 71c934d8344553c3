import type { RamBlock } from "../pages/block.ts";
import type { PageMap } from "../pages/map.ts";
import { Side, zeroStore } from "./side.ts";

/** Two blocks of one name; null where a snapshot has none. Both have the same page size. */
export interface BlockPair {
  readonly name: string;
  readonly a: RamBlock | null;
  readonly b: RamBlock | null;
}

/** Blocks of one name and page size, in A's order; then those that only B has. */
export function pairBlocks(a: PageMap, b: PageMap): BlockPair[] {
  const others = new Map(b.blocks.map((block) => [block.name, block]));
  const pairs: BlockPair[] = a.blocks.map((block) => {
    const other = others.get(block.name);
    if (other === undefined || other.pageSize !== block.pageSize) return { name: block.name, a: block, b: null };
    others.delete(block.name);
    return { name: block.name, a: block, b: other };
  });
  for (const block of others.values()) pairs.push({ name: block.name, a: null, b: block });
  return pairs;
}

/** Pages of the longer of the two. */
export function pairPages({ a, b }: BlockPair): number {
  return Math.max(a?.pages ?? 0, b?.pages ?? 0);
}

/** Runs of pages to be compared, six numbers each: first page, pages, then store and offset (bytes) for each side. */
export interface CompareJob {
  readonly pageSize: number;
  readonly count: number;
  readonly runs: Float64Array<ArrayBuffer>;
}

export const runFields = 6;

/** Says which pages are known to be equal without being read. */
export interface Trust {
  /** @returns n > 0: the first n of these pages are equal; n < 0: the first -n have to be compared */
  agree(first: number, pages: number): number;
}

export interface PlanLimits {
  /** Bytes of data on the larger side, and runs, in a job. */
  readonly bytes: number;
  readonly runs: number;
}

const defaultLimits: PlanLimits = { bytes: 16 * 2 ** 20, runs: 8192 };

/** Cuts a pair of blocks into jobs, in page order; what is zero on both sides is in none. Memory: one job and two extent lists. */
export class PairPlan {
  readonly #a: Side;
  readonly #b: Side;
  readonly #pageSize: number;
  readonly #pages: number;
  readonly #trust: Trust | null;
  readonly #limits: PlanLimits;
  #next = 0;
  /** Pages that need not be read, because of {@link Trust}. */
  trusted = 0;
  /** Bytes of data that the last job compares. */
  bytes = 0;

  constructor(a: PageMap, b: PageMap, pair: BlockPair, trust: Trust | null = null, limits = defaultLimits) {
    this.#a = new Side(a, pair.a);
    this.#b = new Side(b, pair.b);
    this.#pageSize = (pair.a ?? pair.b)?.pageSize ?? 1;
    this.#pages = pairPages(pair);
    this.#trust = trust;
    this.#limits = limits;
  }

  /** The next job; null at the end. */
  next(): CompareJob | null {
    const runs = new Float64Array(this.#limits.runs * runFields);
    let count = 0;
    let bytes = 0;
    while (this.#next < this.#pages && count < this.#limits.runs && bytes < this.#limits.bytes) {
      const [a, b] = [this.#a, this.#b];
      a.at(this.#next);
      b.at(this.#next);
      let pages = Math.min(a.pages, b.pages, this.#pages - this.#next);
      if (a.store === zeroStore && b.store === zeroStore) {
        this.#next += pages;
        continue;
      }
      if (this.#trust !== null && a.store >= 0 && b.store >= 0) {
        const known = this.#trust.agree(this.#next, pages);
        if (known > 0) {
          this.#next += known;
          this.trusted += known;
          continue;
        }
        pages = Math.min(pages, -known);
      }
      pages = Math.min(pages, Math.max(1, Math.ceil((this.#limits.bytes - bytes) / this.#pageSize)));
      const at = count++ * runFields;
      runs[at] = this.#next;
      runs[at + 1] = pages;
      runs[at + 2] = a.store;
      runs[at + 3] = a.offset;
      runs[at + 4] = b.store;
      runs[at + 5] = b.offset;
      bytes += pages * this.#pageSize;
      this.#next += pages;
    }
    this.bytes = bytes;
    return count === 0 ? null : { pageSize: this.#pageSize, count, runs: runs.slice(0, count * runFields) };
  }
}
