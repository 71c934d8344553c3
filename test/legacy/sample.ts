import { type LegacyOptions, type LegacyStream, openLegacy } from "../../src/legacy/reader.ts";
import { ExtentKind, ExtentList } from "../../src/pages/extents.ts";
import type { PageMap } from "../../src/pages/map.ts";
import type { Store } from "../../src/pages/store.ts";
import { MemoryFile } from "../fixedram/sample.ts";

/** A store of these bytes; `sync: false` leaves only the asynchronous read. */
export function storeOf(bytes: Uint8Array, sync = true): Store {
  const file = new MemoryFile();
  file.write(bytes, 0);
  if (sync) return file;
  return { name: "remote", size: file.size, read: (target, at) => file.read(target, at), close: () => file.close() };
}

export interface Opened {
  readonly stream: LegacyStream;
  /** How many scratch files were made. */
  readonly scratches: readonly MemoryFile[];
}

export async function open(bytes: Uint8Array | Store, options: Partial<LegacyOptions> = {}): Promise<Opened> {
  const scratches: MemoryFile[] = [];
  const scratch = () => {
    const file = new MemoryFile();
    scratches.push(file);
    return file;
  };
  const stream = await openLegacy(bytes instanceof Uint8Array ? storeOf(bytes) : bytes, { scratch, ...options });
  return { stream, scratches };
}

/** Content of a page, read through the map with extents asked for one by one; null when it is absent. */
export async function contentOf(map: PageMap, block: number, page: number): Promise<Uint8Array | null> {
  const list = new ExtentList();
  map.extents(block, page, 1, list);
  const bytes = new Uint8Array(map.blocks[block]?.pageSize ?? 0);
  if (list.kind[0] === ExtentKind.absent) return null;
  if (list.kind[0] === ExtentKind.zero) return bytes;
  const store = map.stores[list.store[0] ?? 0];
  const count = await store?.read(bytes, list.offset[0] ?? 0);
  if (count !== bytes.length) throw new Error(`${count} bytes`);
  return bytes;
}

/** Extents of a whole block, `capacity` at a time: [kind, first, pages, store, offset]. */
export function extentsOf(map: PageMap, block: number, capacity = 1024): number[][] {
  const found: number[][] = [];
  const list = new ExtentList(capacity);
  const pages = map.blocks[block]?.pages ?? 0;
  for (let next = 0; next < pages; ) {
    list.clear();
    const covered = map.extents(block, next, pages - next, list);
    if (covered === 0) throw new Error("no progress");
    next += covered;
    for (let i = 0; i < list.length; i++) {
      const field = (array: ArrayLike<number>) => array[i] ?? -1;
      found.push([field(list.kind), field(list.first), field(list.pages), field(list.store), field(list.offset)]);
    }
  }
  return found;
}
