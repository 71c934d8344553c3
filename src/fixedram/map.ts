import type { PageBitmap } from "../bytes/bitmap.ts";
import type { RamBlock } from "../pages/block.ts";
import { ExtentKind, type ExtentList } from "../pages/extents.ts";
import type { PageMap } from "../pages/map.ts";
import type { Store } from "../pages/store.ts";
import type { BlockLayout } from "./layout.ts";

/** The pages of a mapped-ram file: a set bit is data at its place, a clear one a zero page (docs/format.md, "Bitmap"). */
export class BitmapMap implements PageMap {
  readonly blocks: readonly RamBlock[];
  readonly stores: readonly Store[];
  readonly #layouts: readonly BlockLayout[];
  readonly #bitmaps: readonly PageBitmap[];
  /** What a clear bit says, for each block: zero, or absent in a block that was shared and left out. */
  readonly #clear: readonly ExtentKind[];

  constructor(
    store: Store,
    layouts: readonly BlockLayout[],
    bitmaps: readonly PageBitmap[],
    clear: readonly ExtentKind[],
  ) {
    this.blocks = layouts.map(({ block }) => block);
    this.stores = [store];
    this.#layouts = layouts;
    this.#bitmaps = bitmaps;
    this.#clear = clear;
  }

  extents(block: number, first: number, count: number, into: ExtentList): number {
    const layout = this.#layouts[block];
    const bitmap = this.#bitmaps[block];
    if (layout === undefined || bitmap === undefined) throw new RangeError(`no block ${block}`);
    const end = first + count;
    if (first < 0 || end > bitmap.pages) throw new RangeError(`pages ${first} to ${end} of ${bitmap.pages}`);
    const { pageSize } = layout.block;
    const clear = this.#clear[block] ?? ExtentKind.zero;
    let page = first;
    while (page < end) {
      const data = bitmap.get(page);
      const next = data ? bitmap.nextClear(page, end) : bitmap.nextSet(page, end);
      const pushed = data
        ? into.push(ExtentKind.data, page, next - page, 0, layout.pagesOffset + page * pageSize)
        : into.push(clear, page, next - page);
      if (!pushed) break;
      page = next;
    }
    return page - first;
  }
}
