import { ExtentKind, ExtentList } from "./extents.ts";
import type { PageMap } from "./map.ts";

/** How many of pages [first, first + count) of a block hold data. Memory: one extent list. */
export function countData(map: PageMap, block: number, first: number, count: number): number {
  const list = new ExtentList();
  let total = 0;
  for (let done = 0; done < count; ) {
    list.clear();
    done += map.extents(block, first + done, count - done, list);
    for (let i = 0; i < list.length; i++) if (list.kind[i] === ExtentKind.data) total += list.pages[i] ?? 0;
  }
  return total;
}

/** Bytes of data in all blocks of a map. */
export function dataBytes(map: PageMap): number {
  return map.blocks.reduce((sum, { index, pages, pageSize }) => sum + countData(map, index, 0, pages) * pageSize, 0);
}

/**
 * Shares (0 to 1) of pages that hold data, in stretches of `stretch` pages; the last may be shorter. One pass over the
 * extents, whatever the number of stretches.
 */
export function dataShares(map: PageMap, block: number, pages: number, stretch: number): number[] {
  const shares = new Array<number>(Math.ceil(pages / stretch)).fill(0);
  const list = new ExtentList();
  for (let next = 0; next < pages; ) {
    list.clear();
    next += map.extents(block, next, pages - next, list);
    for (let i = 0; i < list.length; i++) {
      if (list.kind[i] === ExtentKind.data) addRun(shares, stretch, list.first[i] ?? 0, list.pages[i] ?? 0);
    }
  }
  return shares.map((data, cell) => data / Math.min(stretch, pages - cell * stretch));
}

function addRun(cells: number[], stretch: number, first: number, count: number): void {
  const end = first + count;
  for (let page = first; page < end; ) {
    const cell = Math.floor(page / stretch);
    const stop = Math.min(end, (cell + 1) * stretch);
    cells[cell] = (cells[cell] ?? 0) + stop - page;
    page = stop;
  }
}
