import { ExtentKind, ExtentList } from "../../pages/extents.ts";
import type { PageRun } from "../../postcopy/working-set.ts";
import type { ServedFile } from "./served-file.ts";

/** Reads at once: as many as Node has threads for files. */
const lanes = 4;
/** Bytes of a read. */
const piece = 512 * 1024;

/**
 * Has the system read pages into its cache, several pieces at once and in the file's order, while QEMU starts: a guest's first pages are then
 * sent from memory. What cannot be read is told when it is sent.
 *
 * @param most bytes
 */
export async function warm({ map }: Pick<ServedFile, "map">, runs: readonly PageRun[], most: number): Promise<void> {
  const pieces = piecesOf({ map }, runs, most);
  let next = 0;
  const lane = async () => {
    const buffer = new Uint8Array(piece);
    for (let one = pieces[next++]; one !== undefined; one = pieces[next++])
      await map.stores[one.store]?.read(buffer.subarray(0, one.length), one.offset);
  };
  await Promise.all(Array.from({ length: lanes }, lane)).catch(() => {});
}

interface Piece {
  readonly store: number;
  readonly offset: number;
  length: number;
}

/** Where the runs' data lies, what is close together in one piece. */
function piecesOf({ map }: Pick<ServedFile, "map">, runs: readonly PageRun[], most: number): readonly Piece[] {
  const list = new ExtentList();
  const found: Piece[] = [];
  let left = most;
  for (const [block, first, pages] of runs) {
    const size = map.blocks[block]?.pageSize ?? 0;
    for (let page = first; page < first + pages && left > 0; ) {
      list.clear();
      page += map.extents(block, page, first + pages - page, list);
      for (let i = 0; i < list.length && left > 0; i++) {
        if (list.kind[i] !== ExtentKind.data) continue;
        const length = (list.pages[i] ?? 0) * size;
        found.push({ store: list.store[i] ?? 0, offset: list.offset[i] ?? 0, length });
        left -= length;
      }
    }
  }
  found.sort((a, b) => a.store - b.store || a.offset - b.offset);
  return joined(found);
}

function joined(found: readonly Piece[]): readonly Piece[] {
  const pieces: Piece[] = [];
  for (const { store, offset, length } of found) {
    for (let at = offset; at < offset + length; ) {
      const last = pieces.at(-1);
      const room =
        last !== undefined && last.store === store && last.offset + last.length === at ? piece - last.length : 0;
      const some = Math.min(offset + length - at, room > 0 ? room : piece);
      if (last !== undefined && room > 0) last.length += some;
      else pieces.push({ store, offset: at, length: some });
      at += some;
    }
  }
  return pieces;
}
