import type { RamBlock } from "../pages/block.ts";
import { ExtentKind, ExtentList } from "../pages/extents.ts";
import type { PageMap } from "../pages/map.ts";

/** For `store` in a run: the page is zero. */
export const zeroStore = -1;

/**
 * A stretch of a block that is searched in one go: pages with data that follow each other, and what lies around them. Runs are
 * four numbers each: first page, pages, store (or {@link zeroStore}), offset in it (bytes).
 */
export interface SearchJob {
  readonly pageSize: number;
  readonly runs: Float64Array<ArrayBuffer>;
  /** Hits begin within [from, to) and end after `data`; bytes in the block. Before `data` all is zero. */
  readonly from: number;
  readonly to: number;
  readonly data: number;
}

export const runFields = 4;
const jobBytes = 16 * 2 ** 20;

/** What is wanted around a job's data. */
export interface Margins {
  /** Bytes around a hit. */
  readonly bytes: number;
  /** No hit begins in zeros, or reaches more than a byte into them: pages of zeros need not be looked at. */
  readonly zerosEnd: boolean;
}

/** The jobs of a block, in page order. Memory: one job, two extent lists. */
export function* planBlock(map: PageMap, block: RamBlock, margins: Margins): Generator<SearchJob, void, undefined> {
  const list = new ExtentList();
  /** Pages with data in a row that no job has yet, and where data ended before them. */
  let first = 0;
  let count = 0;
  let before = 0;
  const most = Math.max(1, Math.floor(jobBytes / block.pageSize));
  const job = () => jobOf(map, block, { first, count, before, margins });
  for (let next = 0; next < block.pages; ) {
    list.clear();
    next += map.extents(block.index, next, block.pages - next, list);
    for (let i = 0; i < list.length; i++) {
      let page = list.first[i] ?? 0;
      const end = page + (list.pages[i] ?? 0);
      if (list.kind[i] !== ExtentKind.data) {
        if (count > 0) {
          yield job();
          before = first + count;
          count = 0;
        }
        // Nothing can be said across a page that the file does not have.
        if (list.kind[i] === ExtentKind.absent) before = end;
        continue;
      }
      while (page < end) {
        if (count === 0) first = page;
        const taken = Math.min(end - page, most - count);
        count += taken;
        page += taken;
        if (count < most) continue;
        yield job();
        before = first + count;
        count = 0;
      }
    }
  }
  if (count > 0) yield job();
}

interface Group {
  readonly first: number;
  readonly count: number;
  readonly before: number;
  readonly margins: Margins;
}

function jobOf(map: PageMap, block: RamBlock, { first, count, before, margins }: Group): SearchJob {
  const { pageSize } = block;
  const { bytes: margin, zerosEnd } = margins;
  const around = Math.ceil(margin / pageSize);
  // What stands in the zeros before it is no concern, and data right before it belongs to another job.
  const start = Math.max(0, first - (zerosEnd ? Math.min(around, before === first ? 1 : 0) : around));
  const end = Math.min(block.pages, first + count + around);
  const runs: number[] = [];
  const list = new ExtentList();
  for (let page = start; page < end; ) {
    list.clear();
    page += map.extents(block.index, page, end - page, list);
    for (let i = 0; i < list.length; i++) {
      // What is absent in the margins is left out: the searcher stops there.
      if (list.kind[i] === ExtentKind.absent) continue;
      const isData = list.kind[i] === ExtentKind.data;
      const last = zerosEnd && !isData;
      const pages = last ? 1 : (list.pages[i] ?? 0);
      runs.push(list.first[i] ?? 0, pages, isData ? (list.store[i] ?? 0) : zeroStore, list.offset[i] ?? 0);
      if (!last) continue;
      page = end;
      break;
    }
  }
  const data = first * pageSize;
  return {
    pageSize,
    runs: new Float64Array(runs),
    from: zerosEnd ? data : Math.max(0, data - margin, before * pageSize),
    to: (first + count) * pageSize,
    data,
  };
}
