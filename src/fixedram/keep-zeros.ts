import { PageBitmap } from "../bytes/bitmap.ts";
import { PageHasher } from "../bytes/page-digest.ts";
import type { MainRamTest } from "./layout.ts";
import { PagePieces, piecesRegion } from "./page-pieces.ts";
import type { FixedRamFile } from "./reader.ts";
import type { SealableFile } from "./seal-in-place.ts";

const zeros = new Uint8Array(64 * 1024);

/**
 * Makes the zero pages of small blocks present, in a mapped-ram file that QEMU has just written: it leaves their bits clear, and on
 * load leaves alone what the machine itself has put there (docs/format.md, "Zero pages"). What an earlier round of a live save left
 * in such a page is overwritten. Bitmaps are changed in `opened` and in the file; to be called before the file is sealed.
 *
 * @param main blocks in which a clear bit stays one
 * @throws `system.*`; the signal's reason
 */
export async function keepZeroPages(
  file: SealableFile,
  opened: FixedRamFile,
  main: MainRamTest,
  signal?: AbortSignal,
): Promise<void> {
  const hasher = new PageHasher(piecesRegion);
  const pieces = new PagePieces(file, hasher, signal);
  for (const { block, bitmapOffset, pagesOffset } of opened.blocks) {
    const { pageSize, pages } = block;
    const bitmap = opened.bitmaps[block.index];
    if (bitmap === undefined || main(block) || bitmap.count() === pages) continue;
    await pieces.each({ pagesOffset, pageSize }, complement(bitmap), (first, count, at) => {
      for (let page = first; page < first + count; page++) {
        if (!hasher.isZero(at + (page - first) * pageSize, pageSize))
          erase(file, pagesOffset + page * pageSize, pageSize);
      }
    });
    bitmap.setRange(0, pages);
    file.write(bitmap.bytes, bitmapOffset);
  }
}

function erase(file: SealableFile, position: number, length: number): void {
  for (let done = 0; done < length; done += zeros.length) {
    file.write(zeros.subarray(0, Math.min(zeros.length, length - done)), position + done);
  }
}

function complement(bitmap: PageBitmap): PageBitmap {
  const clear = new PageBitmap(bitmap.pages);
  for (let page = bitmap.nextClear(0); page < bitmap.pages; ) {
    const end = bitmap.nextSet(page);
    clear.setRange(page, end - page);
    page = bitmap.nextClear(end);
  }
  return clear;
}
