import type { PageBitmap } from "../../bytes/bitmap.ts";
import { ExtentKind, ExtentList } from "../../pages/extents.ts";
import type { PageMap } from "../../pages/map.ts";

/** Some of a block's pages, as runs. */
export interface Layer {
  /** Calls `visit` for every run inside pages [first, end), in page order. */
  runs(first: number, end: number, visit: (first: number, count: number) => void): void;
}

/** The pages of one kind in a page map. Costs what the extents cost, never the pages. */
export function extentLayer(map: PageMap, block: number, kind: ExtentKind): Layer {
  const list = new ExtentList();
  return {
    runs(first, end, visit) {
      for (let next = first; next < end; ) {
        list.clear();
        next += map.extents(block, next, end - next, list);
        for (let i = 0; i < list.length; i++) if (list.kind[i] === kind) visit(list.first[i] ?? 0, list.pages[i] ?? 0);
      }
    },
  };
}

/** The set bits of a bitmap. */
export function bitmapLayer(bitmap: PageBitmap): Layer {
  return {
    runs(first, end, visit) {
      for (let page = bitmap.nextSet(first, end); page < end; ) {
        const stop = bitmap.nextClear(page, end);
        visit(page, stop - page);
        page = bitmap.nextSet(stop, end);
      }
    },
  };
}

/** Pages that hold data, and pages that the map does not have, in one pass. */
export function countKinds(map: PageMap, block: number, pages: number): { present: number; absent: number } {
  const list = new ExtentList();
  let present = 0;
  let absent = 0;
  for (let next = 0; next < pages; ) {
    list.clear();
    next += map.extents(block, next, pages - next, list);
    for (let i = 0; i < list.length; i++) {
      if (list.kind[i] === ExtentKind.data) present += list.pages[i] ?? 0;
      else if (list.kind[i] === ExtentKind.absent) absent += list.pages[i] ?? 0;
    }
  }
  return { present, absent };
}
