import type { RamBlock } from "../pages/block.ts";
import { ExtentKind, type ExtentList } from "../pages/extents.ts";
import type { PageMap } from "../pages/map.ts";
import type { Store } from "../pages/store.ts";
import type { PageTable } from "./page-table.ts";

/**
 * The pages of a legacy stream. Every page has a header of 8 bytes or more before it, so each is an extent of its own;
 * only decoded pages that lie side by side in the overlay make longer ones.
 */
export class LegacyMap implements PageMap {
  readonly blocks: readonly RamBlock[];
  readonly stores: readonly Store[];
  readonly #tables: readonly PageTable[];
  /** Blocks whose pages the stream left out, for x-ignore-shared. */
  readonly #absent: readonly boolean[];

  /** @param overlay holds the decoded pages, page of slot n at n x page size; null when there are none */
  constructor(
    store: Store,
    overlay: Store | null,
    blocks: readonly RamBlock[],
    tables: readonly PageTable[],
    absent: readonly boolean[],
  ) {
    this.blocks = blocks;
    this.stores = overlay === null ? [store] : [store, overlay];
    this.#tables = tables;
    this.#absent = absent;
  }

  extents(block: number, first: number, count: number, into: ExtentList): number {
    const table = this.#tables[block];
    const entry = this.blocks[block];
    if (table === undefined || entry === undefined) throw new RangeError(`no block ${block}`);
    const end = first + count;
    if (first < 0 || end > table.pages) throw new RangeError(`pages ${first} to ${end} of ${table.pages}`);
    if (this.#absent[block] === true) return into.push(ExtentKind.absent, first, count) ? count : 0;
    const { pageSize } = entry;
    let page = first;
    while (page < end) {
      const present = table.nextPresent(page, end);
      if (present > page) {
        if (!into.push(ExtentKind.zero, page, present - page)) break;
        page = present;
        continue;
      }
      const value = table.get(page);
      const store = value > 0 ? 0 : 1;
      const offset = placeOf(value, pageSize);
      let next = page + 1;
      while (next < end && follows(table.get(next), value, next - page, pageSize)) next++;
      if (!into.push(ExtentKind.data, page, next - page, store, offset)) break;
      page = next;
    }
    return page - first;
  }
}

/** Byte offset in the store that a table's value names. */
export function placeOf(value: number, pageSize: number): number {
  return value > 0 ? value : (-value - 1) * pageSize;
}

function follows(value: number, first: number, pages: number, pageSize: number): boolean {
  return first > 0 ? value === first + pages * pageSize : value === first - pages;
}
