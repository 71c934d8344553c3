import type { DifferenceKind } from "../../diff/differences.ts";
import { type BlockPair, pairPages } from "../../diff/plan.ts";
import type { RamBlock } from "../../pages/block.ts";
import { countData, dataShares } from "../../pages/count.ts";
import type { PageMap } from "../../pages/map.ts";
import type { PageDifference } from "./pages.ts";

/** How many pages differ, and in which way. */
export type PageCounts = { -readonly [kind in DifferenceKind]: number };

/** One RAM block of both snapshots. */
export interface BlockDiff {
  /** Name's bytes as latin1. */
  readonly name: string;
  /** Null where the snapshot has no such block. */
  readonly a: BlockSide | null;
  readonly b: BlockSide | null;
  readonly pages: Readonly<PageCounts>;
  /** Runs of pages that differ. */
  readonly extents: number;
  readonly map: DiffMap;
}

export interface BlockSide {
  /** Bytes. */
  readonly length: number;
  readonly pageSize: number;
  readonly pages: number;
  /** Pages that hold data. */
  readonly present: number;
}

/** Shares (0 to 1) of the pages of each stretch: present in A, in B, and different. */
export interface DiffMap {
  readonly pagesPerCell: number;
  readonly a: readonly number[];
  readonly b: readonly number[];
  readonly different: readonly number[];
}

/** Counts one block's differences as they come. */
export class BlockTally {
  readonly pair: BlockPair;
  readonly counts: PageCounts = { changed: 0, added: 0, gone: 0, unknown: 0 };
  #extents = 0;
  readonly #pages: number;
  readonly #pagesPerCell: number;
  readonly #different: number[];

  /** @param cells stretches to draw at most */
  constructor(pair: BlockPair, cells: number) {
    this.pair = pair;
    this.#pages = pairPages(pair);
    this.#pagesPerCell = Math.max(1, Math.ceil(this.#pages / cells));
    this.#different = new Array<number>(Math.ceil(this.#pages / this.#pagesPerCell)).fill(0);
  }

  add({ kind, first, pages }: PageDifference): void {
    this.counts[kind] += pages;
    this.#extents++;
    for (let page = first; page < first + pages; ) {
      const cell = Math.floor(page / this.#pagesPerCell);
      const stop = Math.min(first + pages, (cell + 1) * this.#pagesPerCell);
      this.#different[cell] = (this.#different[cell] ?? 0) + stop - page;
      page = stop;
    }
  }

  async finish(a: PageMap, b: PageMap, signal?: AbortSignal): Promise<BlockDiff> {
    const { pair, counts } = this;
    const cells = this.#different.length;
    const shares = async (map: PageMap, block: RamBlock | null) => {
      const found = block === null ? [] : await dataShares(map, block.index, block.pages, this.#pagesPerCell, signal);
      return [...found, ...new Array<number>(cells - found.length).fill(0)];
    };
    const share = (count: number, cell: number) =>
      count / Math.min(this.#pagesPerCell, this.#pages - cell * this.#pagesPerCell);
    return {
      name: pair.name,
      a: await sideOf(a, pair.a, signal),
      b: await sideOf(b, pair.b, signal),
      pages: { ...counts },
      extents: this.#extents,
      map: {
        pagesPerCell: this.#pagesPerCell,
        a: await shares(a, pair.a),
        b: await shares(b, pair.b),
        different: this.#different.map(share),
      },
    };
  }
}

async function sideOf(map: PageMap, block: RamBlock | null, signal?: AbortSignal): Promise<BlockSide | null> {
  if (block === null) return null;
  const { index, length, pageSize, pages } = block;
  return { length, pageSize, pages, present: await countData(map, index, 0, pages, signal) };
}
