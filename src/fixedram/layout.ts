import { bitmapBytes } from "../bytes/bitmap.ts";
import { alignUp, isSize } from "../bytes/numbers.ts";
import { FixedramError } from "../errors.ts";
import type { RamBlock } from "../pages/block.ts";
import { MAPPED_HEADER_SIZE } from "../stream/constants.ts";
import { tableBytes } from "./digest-table.ts";

/** Where the parts of one RAM block are, bytes from the start of the file (docs/format.md, "Placement"). */
export interface BlockLayout {
  readonly block: RamBlock;
  readonly bitmapOffset: number;
  /** Bytes; ceil(pages / 64) x 8. */
  readonly bitmapLength: number;
  /** Where page 0 is. */
  readonly pagesOffset: number;
  /** pagesOffset + length: where the next entry is, or what follows the last block. */
  readonly end: number;
}

/** A block of a file still to be written: its entry, too, has a place. */
export interface PlannedBlock extends BlockLayout {
  /** The block's entry in the list; its 28-byte mapped-ram header is the entry's end. */
  readonly entryOffset: number;
  /** The digests of its pages, 8 bytes each (docs/format.md, "Page digests"). */
  readonly tableOffset: number;
}

/** Every offset of a fixed-ram file up to the end of its RAM. */
export interface FileLayout {
  readonly blocks: readonly PlannedBlock[];
  /** Where the stream goes on behind the last block: the end mark and footer of the RAM section, then what else comes. */
  readonly tailOffset: number;
}

/** What QEMU aligns the pages of a block to, and so do we. */
export const pagesAlignment = 2 ** 20;
/** Bytes of all bitmaps of a file together, by default at most: 16 TiB of pages. */
export const maxBitmapBytes = 512 * 2 ** 20;
/** What tables are aligned to. */
export const tableAlignment = 4096;

/**
 * Plans a file as QEMU would lay it out: bitmap right behind the header, pages at a multiple of 1 MiB, the next entry at the
 * end of the pages; and between bitmap and pages, in a gap that QEMU passes over, the table of the pages' digests.
 *
 * @param start offset of the first block entry, bytes: the length of all that stands before it
 * @throws `file.too-large` when an offset would pass 2^53 - 1
 */
export function planLayout(start: number, blocks: readonly RamBlock[]): FileLayout {
  const planned: PlannedBlock[] = [];
  let at = start;
  for (const block of blocks) {
    const bitmapOffset = at + entryBytes(block);
    const bitmapLength = bitmapBytes(block.pages);
    const tableOffset = alignUp(bitmapOffset + bitmapLength, tableAlignment);
    const pagesOffset = alignUp(tableOffset + tableBytes(block.pages), pagesAlignment);
    const end = pagesOffset + block.length;
    if (!isSize(block.length) || !isSize(end)) {
      throw new FixedramError("file.too-large", "a RAM block would lie past byte 2^53 of the file", {
        block: block.name,
        found: String(block.length),
      });
    }
    planned.push({ block, entryOffset: at, bitmapOffset, bitmapLength, tableOffset, pagesOffset, end });
    at = end;
  }
  return { blocks: planned, tailOffset: at };
}

/** Bytes of a block's entry with its mapped-ram header: u8 + name + u64 + 28. */
export function entryBytes(block: RamBlock): number {
  return 1 + block.name.length + 8 + MAPPED_HEADER_SIZE;
}

/** Main RAM is left as it is on load where the bit is clear; see {@link isMainRam}. */
export type MainRamTest = (block: RamBlock) => boolean;

/**
 * Whether a clear bit says "zero" to QEMU. It leaves such a page alone on load; RAM of the machine, and memory backends,
 * are zero then, but small blocks may have been filled by the machine itself (ACPI tables, flash of 64 MiB). So zero pages
 * are stored in every block up to 128 MiB (docs/format.md, "Zero pages"). Who knows the machine better gives a test of their own.
 */
export const isMainRam: MainRamTest = (block) => block.length > 128 * 2 ** 20;
