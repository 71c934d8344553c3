/** PAGE and ZERO records of a RAM section, as bytes (docs/format.md, "RAM section"). */
import { setU64, viewOf } from "../bytes/cursor.ts";
import type { RamBlock } from "../pages/block.ts";
import { RamFlag } from "./constants.ts";

/** Bytes of the word before each page: its offset in the block, and flags in the bits below the page size. */
export const recordHeader = 8;

/** Bytes that the record of a block's first page has besides its header: the name and its length. */
export function nameBytes(block: RamBlock): number {
  return 1 + block.name.length;
}

/** Writes the headers of pages [page, page + count), `stride` bytes from one to the next, with the block left out (CONTINUE). */
export function writeContinued(
  view: DataView,
  at: number,
  stride: number,
  block: RamBlock,
  page: number,
  count: number,
  flag: number,
): void {
  for (let i = 0; i < count; i++) {
    const offset = (page + i) * block.pageSize + flag + RamFlag.continue;
    view.setUint32(at + i * stride, Math.floor(offset / 2 ** 32));
    view.setUint32(at + i * stride + 4, offset % 2 ** 32);
  }
}

/** Writes a header with the block's name, `recordHeader + nameBytes(block)` bytes. */
export function writeNamed(into: Uint8Array, at: number, block: RamBlock, page: number, flag: number): void {
  setU64(viewOf(into), at, page * block.pageSize + flag);
  into[at + recordHeader] = block.name.length;
  for (let i = 0; i < block.name.length; i++) into[at + recordHeader + 1 + i] = block.name.charCodeAt(i);
}

/** Records of zero pages [first, first + count); with the block's name in the first one, or with none. */
export function zeroRecords(block: RamBlock, first: number, count: number, named: boolean): Uint8Array {
  const stride = recordHeader + 1;
  const extra = named ? nameBytes(block) : 0;
  const bytes = new Uint8Array(count * stride + extra);
  const rest = named ? 1 : 0;
  if (named && count > 0) writeNamed(bytes, 0, block, first, RamFlag.zero);
  writeContinued(viewOf(bytes), rest * stride + extra, stride, block, first + rest, count - rest, RamFlag.zero);
  return bytes;
}
