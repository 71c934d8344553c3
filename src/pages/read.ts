import { FixedramError } from "../errors.ts";
import type { RamBlock } from "./block.ts";
import { ExtentKind, ExtentList } from "./extents.ts";
import type { PageMap } from "./map.ts";
import type { Store } from "./store.ts";

/** Reads in one plan. */
const extentsAtOnce = 256;

/**
 * Fills `target` with the bytes of a block from `offset` on (bytes, any alignment): one read an extent, zeros where the page is zero.
 *
 * @throws RangeError when the block ends before; `file.truncated`; `file.ignore-shared` for a page that the map does not have
 */
export async function readBlock(
  map: PageMap,
  block: RamBlock,
  offset: number,
  target: Uint8Array,
  signal?: AbortSignal,
): Promise<void> {
  if (!(offset >= 0 && offset + target.length <= block.length)) {
    throw new RangeError(`${target.length} bytes at ${offset} pass the block's end, ${block.length}`);
  }
  const { pageSize } = block;
  const list = new ExtentList(extentsAtOnce);
  const end = offset + target.length;
  const endPage = Math.ceil(end / pageSize);
  for (let page = Math.floor(offset / pageSize); page < endPage; ) {
    list.clear();
    page += map.extents(block.index, page, endPage - page, list);
    for (let i = 0; i < list.length; i++) {
      const begin = (list.first[i] ?? 0) * pageSize;
      const from = Math.max(offset, begin);
      const part = target.subarray(from - offset, Math.min(end, begin + (list.pages[i] ?? 0) * pageSize) - offset);
      if (list.kind[i] === ExtentKind.zero) part.fill(0);
      else if (list.kind[i] === ExtentKind.data) {
        await readStore(
          map.stores[list.store[i] ?? 0],
          part,
          (list.offset[i] ?? 0) + from - begin,
          block,
          from,
          signal,
        );
      } else throw absent(block, list.first[i] ?? 0);
    }
  }
}

async function readStore(
  store: Store | undefined,
  part: Uint8Array,
  position: number,
  block: RamBlock,
  from: number,
  signal: AbortSignal | undefined,
): Promise<void> {
  if (store === undefined) throw new RangeError("no such store");
  const count = await store.read(part, position, signal);
  if (count === part.length) return;
  throw new FixedramError("file.truncated", "the file ends among its pages", {
    path: store.name,
    offset: position + count,
    block: block.name,
    page: Math.floor((from + count) / block.pageSize),
    hint: "The file was cut, or is being changed. Fetch it again.",
  });
}

function absent(block: RamBlock, page: number): FixedramError {
  return new FixedramError("file.ignore-shared", "a page of the guest is not in the snapshot", {
    block: block.name,
    page,
    hint: "The guest's shared memory was left out (x-ignore-shared): save it again with that capability off.",
  });
}
