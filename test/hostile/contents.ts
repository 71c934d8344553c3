/** What a snapshot's pages hold, as one digest that a plain model can make too. */
import { createHash } from "node:crypto";
import type { PageMap } from "../../src/pages/map.ts";

/** Pages that are not zero, by `block name\0page`. */
export type Pages = ReadonlyMap<string, Uint8Array>;

export const keyOf = (block: string, page: number): string => `${block}\0${page}`;

export function digestOf(pages: Pages): string {
  const hash = createHash("sha256");
  for (const key of [...pages.keys()].sort()) {
    const bytes = pages.get(key) ?? new Uint8Array(0);
    if (bytes.every((byte) => byte === 0)) continue;
    hash.update(`${key}\n`, "latin1").update(bytes);
  }
  return hash.digest("hex").slice(0, 32);
}

/** Asks a map for every page; pages that are absent are left out. At most `most` pages are read. */
export async function pagesOf(map: PageMap, list: ExtentListLike, most = 1024): Promise<Pages> {
  const pages = new Map<string, Uint8Array>();
  for (const block of map.blocks) {
    for (let next = 0; next < block.pages; ) {
      list.clear();
      next += map.extents(block.index, next, block.pages - next, list);
      for (let i = 0; i < list.length; i++) {
        if (list.kind[i] !== 1) continue;
        const count = list.pages[i] ?? 0;
        if (pages.size + count > most) throw new Error("more pages than a vector has");
        for (let k = 0; k < count; k++) {
          const bytes = new Uint8Array(block.pageSize);
          const store = map.stores[list.store[i] ?? 0];
          const read = await store?.read(bytes, (list.offset[i] ?? 0) + k * block.pageSize);
          if (read !== bytes.length) throw new Error("a page ends early");
          pages.set(keyOf(block.name, (list.first[i] ?? 0) + k), bytes);
        }
      }
    }
  }
  return pages;
}

type ExtentListLike = Parameters<PageMap["extents"]>[3];
