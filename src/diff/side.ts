import type { RamBlock } from "../pages/block.ts";
import { ExtentKind, ExtentList } from "../pages/extents.ts";
import type { PageMap } from "../pages/map.ts";

/** For `store` in a plan: nothing is stored, the page is zero; or the file does not have it. */
export const zeroStore = -1;
export const absentStore = -2;

/** One side of a comparison: what stands at a page, asked for in page order. Past the block's end, and without one, all is zero. */
export class Side {
  readonly #map: PageMap;
  readonly #block: RamBlock | null;
  readonly #list = new ExtentList();
  #i = 0;
  /** Of the run that {@link Side.at} found, from the page it was asked for: a store of the map, or one of the two above. */
  store = zeroStore;
  offset = 0;
  pages = 0;

  constructor(map: PageMap, block: RamBlock | null) {
    this.#map = map;
    this.#block = block;
  }

  /** Finds the run that `page` stands in. Pages must not fall from call to call. */
  at(page: number): void {
    const block = this.#block;
    if (block === null || page >= block.pages) {
      this.store = zeroStore;
      this.pages = Number.MAX_SAFE_INTEGER - page;
      return;
    }
    const list = this.#list;
    while (this.#i < list.length && (list.first[this.#i] ?? 0) + (list.pages[this.#i] ?? 0) <= page) this.#i++;
    if (this.#i >= list.length) {
      list.clear();
      this.#i = 0;
      this.#map.extents(block.index, page, block.pages - page, list);
    }
    const skipped = page - (list.first[this.#i] ?? 0);
    this.pages = (list.pages[this.#i] ?? 0) - skipped;
    const kind = list.kind[this.#i];
    this.offset = (list.offset[this.#i] ?? 0) + skipped * block.pageSize;
    if (kind === ExtentKind.data) this.store = list.store[this.#i] ?? 0;
    else this.store = kind === ExtentKind.zero ? zeroStore : absentStore;
  }
}
