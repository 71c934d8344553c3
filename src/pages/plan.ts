import { ExtentKind, ExtentList } from "./extents.ts";
import type { PageMap } from "./map.ts";

/** What {@link walk} calls, in block and page order. Returning a promise makes the walk wait. */
export interface ExtentVisitor {
  data(block: number, first: number, pages: number, store: number, offset: number): void | Promise<void>;
  zero(block: number, first: number, pages: number): void | Promise<void>;
  /** Left out when a map cannot have absent pages. */
  absent?(block: number, first: number, pages: number): void | Promise<void>;
}

/** Goes through every extent of a page map once. Memory: one extent list. */
export async function walk(map: PageMap, visitor: ExtentVisitor, signal?: AbortSignal): Promise<void> {
  const list = new ExtentList();
  for (const block of map.blocks) {
    for (let next = 0; next < block.pages; ) {
      signal?.throwIfAborted();
      list.clear();
      next += map.extents(block.index, next, block.pages - next, list);
      for (let i = 0; i < list.length; i++) {
        const waiting = visit(list, i, block.index, visitor);
        if (waiting !== undefined) await waiting;
      }
    }
  }
}

function visit(list: ExtentList, i: number, block: number, visitor: ExtentVisitor): void | Promise<void> {
  const first = list.first[i] ?? 0;
  const pages = list.pages[i] ?? 0;
  switch (list.kind[i]) {
    case ExtentKind.data:
      return visitor.data(block, first, pages, list.store[i] ?? 0, list.offset[i] ?? 0);
    case ExtentKind.zero:
      return visitor.zero(block, first, pages);
    default:
      return visitor.absent?.(block, first, pages);
  }
}
