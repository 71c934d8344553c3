import { ExtentKind, ExtentList } from "./extents.ts";
import type { PageMap } from "./map.ts";

/** Extents after which others get their turn, a signal above all: a few milliseconds. */
const turnExtents = 2 ** 18;

/** How many of pages [first, first + count) of a block hold data. Memory: one extent list. @throws the signal's reason */
export async function countData(
  map: PageMap,
  block: number,
  first: number,
  count: number,
  signal?: AbortSignal,
): Promise<number> {
  let total = 0;
  const add = (_first: number, pages: number): void => {
    total += pages;
  };
  await eachData(map, block, first, count, add, signal);
  return total;
}

/** Bytes of data in all blocks of a map. @throws the signal's reason */
export async function dataBytes(map: PageMap, signal?: AbortSignal): Promise<number> {
  let total = 0;
  for (const { index, pages, pageSize } of map.blocks) {
    total += (await countData(map, index, 0, pages, signal)) * pageSize;
  }
  return total;
}

/**
 * Shares (0 to 1) of pages that hold data, in stretches of `stretch` pages; the last may be shorter. One pass over the
 * extents, whatever the number of stretches.
 *
 * @throws the signal's reason
 */
export async function dataShares(
  map: PageMap,
  block: number,
  pages: number,
  stretch: number,
  signal?: AbortSignal,
): Promise<number[]> {
  const shares = new Array<number>(Math.ceil(pages / stretch)).fill(0);
  const add = (first: number, count: number): void => addRun(shares, stretch, first, count);
  await eachData(map, block, 0, pages, add, signal);
  return shares.map((data, cell) => data / Math.min(stretch, pages - cell * stretch));
}

/** Calls `add` for each run of data; lets others have a turn now and then. */
async function eachData(
  map: PageMap,
  block: number,
  first: number,
  count: number,
  add: (first: number, pages: number) => void,
  signal: AbortSignal | undefined,
): Promise<void> {
  const list = new ExtentList();
  let extents = 0;
  for (let done = 0; done < count; ) {
    signal?.throwIfAborted();
    list.clear();
    done += map.extents(block, first + done, count - done, list);
    for (let i = 0; i < list.length; i++) {
      if (list.kind[i] === ExtentKind.data) add(list.first[i] ?? 0, list.pages[i] ?? 0);
    }
    extents += list.length;
    if (extents < turnExtents) continue;
    extents = 0;
    await new Promise((resolve) => setTimeout(resolve, 0));
  }
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
