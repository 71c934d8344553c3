import { isSize } from "../bytes/numbers.ts";
import { printable } from "../bytes/text.ts";
import { FixedramError } from "../errors.ts";
import type { BlockLayout } from "./layout.ts";

/**
 * What a file's structure must satisfy before its pages are trusted, or the file is handed to QEMU, which crashes or loads
 * garbage silently on several of these (docs/format.md, "What a reader must check").
 *
 * That pages end inside the file needs no check: the stream goes on at the end of each block's pages, and was read from there.
 */

/** Bytes [start, end) of the file that are stream, not pages or bitmaps. */
export interface StreamRun {
  readonly start: number;
  end: number;
}

/**
 * Checks places before any bitmap is allocated.
 *
 * @param maxBitmapBytes bound on the sum of all bitmaps
 * @throws `file.too-large`, `file.bitmap-outside`, `file.pages-unaligned`
 */
export function checkPlaces(blocks: readonly BlockLayout[], fileSize: number, maxBitmapBytes: number): void {
  let bitmaps = 0;
  for (const { block, bitmapOffset, bitmapLength, pagesOffset, end } of blocks) {
    const shown = printable(block.name);
    if (!isSize(end) || !isSize(bitmapOffset + bitmapLength)) {
      throw new FixedramError("file.too-large", `block "${shown}" lies past byte 2^53 of the file`, {
        block: block.name,
      });
    }
    if (pagesOffset % block.pageSize !== 0) {
      throw new FixedramError(
        "file.pages-unaligned",
        `the pages of block "${shown}" are not at a multiple of the page size`,
        {
          block: block.name,
          offset: pagesOffset,
          expected: `a multiple of ${block.pageSize}`,
        },
      );
    }
    bitmaps += bitmapLength;
    if (bitmaps > maxBitmapBytes) {
      throw new FixedramError("file.too-large", "the bitmaps are larger than the limit", {
        block: block.name,
        expected: `at most ${maxBitmapBytes} bytes`,
        found: `${bitmaps} bytes or more`,
      });
    }
    if (bitmapOffset + bitmapLength > fileSize) {
      throw new FixedramError(
        "file.bitmap-outside",
        `the bitmap of block "${shown}" reaches past the end of the file`,
        {
          block: block.name,
          offset: bitmapOffset,
          expected: `${bitmapOffset + bitmapLength} bytes or more`,
          found: `${fileSize} bytes`,
          hint: "The file was cut short; take the snapshot again.",
        },
      );
    }
  }
}

/** @throws `file.overlap` when two of headers, bitmaps, pages and tail share a byte */
export function checkOverlaps(blocks: readonly BlockLayout[], stream: readonly StreamRun[]): void {
  const places = stream.map(({ start, end }) => ({ start, end, what: "the stream's own bytes" }));
  for (const { block, bitmapOffset, bitmapLength, pagesOffset, end } of blocks) {
    const shown = printable(block.name);
    places.push({ start: bitmapOffset, end: bitmapOffset + bitmapLength, what: `the bitmap of block "${shown}"` });
    places.push({ start: pagesOffset, end, what: `the pages of block "${shown}"` });
  }
  const sorted = places.filter(({ start, end }) => end > start).sort((a, b) => a.start - b.start);
  let last = sorted[0];
  for (const place of sorted.slice(1)) {
    if (last !== undefined && place.start < last.end) {
      throw new FixedramError("file.overlap", `two parts of the file overlap: ${last.what} and ${place.what}`, {
        offset: place.start,
        expected: `nothing before byte ${last.end}`,
        hint: "The file is damaged or was made to mislead; QEMU would load one part as the other.",
      });
    }
    last = place;
  }
}
