import type { PageBitmap } from "../bytes/bitmap.ts";
import { isZero } from "../bytes/zero.ts";
import type { Store } from "../pages/store.ts";
import type { BlockLayout } from "./layout.ts";
import type { FixedRamFile } from "./reader.ts";

/** Pages that are looked at: enough to be sure, and 256 MiB are read in no time. */
const mostLooks = 65_536;
const wordBytes = 8;

/**
 * Whether the words of a file's bitmaps stand in the other order than the one they were read in (docs/format.md, "Which order").
 *
 * A file that QEMU wrote, read in the order of its host, has no bit set behind a block's end, and one of two things is true of it: no
 * page present is zero (QEMU looks for zero pages, and sets no bit for them), or nothing was ever written where a page is absent
 * (QEMU was told not to look, and sets every bit). So the order given is wrong where there is such a bit; or where a page
 * present in this order alone is zero, and one present in the other order alone is not. True is said only if moreover
 * the other order has no such bit, and one of the two things is true of it.
 *
 * Of a file in its own order the first page or two that are looked at tell.
 *
 * @param most pages that are looked at for each of the three questions
 * @throws `system.*`, the signal's reason
 */
export async function fitsOtherOrder(
  file: FixedRamFile,
  signal?: AbortSignal | undefined,
  most = mostLooks,
): Promise<boolean> {
  const blocks = checkable(file);
  if (blocks.some(({ layout, last }) => hasPast(last.slice().reverse(), layout.block.pages))) return false;
  if (blocks.some(({ layout, last }) => hasPast(last, layout.block.pages))) return true;
  // Something stands at a page that is absent in this order, and nothing at one that is absent in the other.
  if (await onlyIn("there", false, blocks, new Looks(file.store, most, signal))) return true;
  if (!(await onlyIn("here", true, blocks, new Looks(file.store, most, signal)))) return false;
  return !(await zeroInBoth(blocks, new Looks(file.store, most, signal)));
}

interface CheckedBlock {
  readonly layout: BlockLayout;
  readonly bitmap: PageBitmap;
  /** The bitmap's last word, with the bits behind the block's end. */
  readonly last: Uint8Array;
}

function checkable({ blocks, bitmaps, lastWords }: FixedRamFile): CheckedBlock[] {
  return blocks.flatMap((layout, i) => {
    const [bitmap, last] = [bitmaps[i], lastWords[i]];
    return bitmap === undefined || last === undefined || last.length === 0 ? [] : [{ layout, bitmap, last }];
  });
}

/** Whether a bitmap's last word has a bit set behind the block's last page. */
function hasPast(word: Uint8Array, pages: number): boolean {
  const kept = pages % 64;
  if (kept === 0) return false;
  return word.some((byte, i) => byte >= 2 ** Math.max(0, Math.min(8, kept - i * 8)));
}

/**
 * Whether a page that is present in one order alone is zero, or is not, and none that is present in the other alone is so. A word has
 * as many of the one kind as of the other: no bit of it stands behind the block's end.
 *
 * @param order of the one: that given, or the other
 */
async function onlyIn(
  order: "here" | "there",
  zero: boolean,
  blocks: readonly CheckedBlock[],
  looks: Looks,
): Promise<boolean> {
  const other = order === "here" ? "there" : "here";
  let found = false;
  for (const { layout, bitmap, last } of blocks) {
    const { pages } = layout.block;
    for (const word of mixedWords(bitmap, last)) {
      if (looks.done) return found;
      for (const page of alone(word.first, word[other], word[order], pages)) {
        if ((await looks.isZero(layout, page)) === zero) return false;
      }
      if (found) continue;
      for (const page of alone(word.first, word[order], word[other], pages)) {
        found = (await looks.isZero(layout, page)) === zero;
        if (found) break;
      }
    }
  }
  return found;
}

/** Whether a page that is present in both orders is zero. */
async function zeroInBoth(blocks: readonly CheckedBlock[], looks: Looks): Promise<boolean> {
  for (const { layout, bitmap, last } of blocks) {
    for (let page = bitmap.nextSet(0); page < bitmap.pages; page = bitmap.nextSet(page + 1)) {
      if (looks.done) return false;
      if (presentThere(bitmap, last, page) && (await looks.isZero(layout, page))) return true;
    }
  }
  return false;
}

function presentThere({ bytes }: PageBitmap, last: Uint8Array, page: number): boolean {
  const at = wordOf(page);
  const byte = 7 - (Math.floor(page / 8) - at);
  const other = at + wordBytes === bytes.length ? last[byte] : bytes[at + byte];
  return ((other ?? 0) & (1 << (page % 8))) !== 0;
}

interface MixedWord {
  /** Its first page. */
  readonly first: number;
  /** Its bytes in this order and in the other, 8 each; valid until the next word. */
  readonly here: Uint8Array;
  readonly there: Uint8Array;
}

/** The words of a bitmap that tell of other pages in the other order. */
function* mixedWords(bitmap: PageBitmap, last: Uint8Array): Generator<MixedWord> {
  const { bytes } = bitmap;
  const lastAt = bytes.length - wordBytes;
  const there = new Uint8Array(wordBytes);
  for (let at = 0; at <= lastAt; at += wordBytes) {
    // Words of clear bits are the same in both, and words of set ones; of the last word not all bits are in the bitmap.
    at = Math.min(lastAt, wordOf(bitmap.nextSet(at * 8)));
    at = Math.min(lastAt, wordOf(bitmap.nextClear(at * 8)));
    const here = at === lastAt ? last : bytes.subarray(at, at + wordBytes);
    there.set(here);
    there.reverse();
    if (here.some((byte, i) => byte !== there[i])) yield { first: at * 8, here, there };
  }
}

function wordOf(page: number): number {
  return Math.floor(page / 64) * wordBytes;
}

/** Pages of a word whose bits are set in `bytes` and not in `others`. @param pages of the block */
function* alone(first: number, bytes: Uint8Array, others: Uint8Array, pages: number): Generator<number> {
  for (let i = 0; i < 64 && first + i < pages; i++) {
    const byte = Math.floor(i / 8);
    if (((bytes[byte] ?? 0) & ~(others[byte] ?? 0) & (1 << (i % 8))) !== 0) yield first + i;
  }
}

/** Reads pages one by one, a bounded number of them. */
class Looks {
  readonly #store: Store;
  readonly #most: number;
  readonly #signal: AbortSignal | undefined;
  #page = new Uint8Array(0);
  #count = 0;

  constructor(store: Store, most: number, signal: AbortSignal | undefined) {
    this.#store = store;
    this.#most = most;
    this.#signal = signal;
  }

  get done(): boolean {
    return this.#count >= this.#most;
  }

  async isZero({ block, pagesOffset }: BlockLayout, page: number): Promise<boolean> {
    this.#count++;
    if (this.#page.length !== block.pageSize) this.#page = new Uint8Array(block.pageSize);
    const position = pagesOffset + page * block.pageSize;
    const count = await this.#store.read(this.#page, position, this.#signal);
    return isZero(this.#page.subarray(0, count));
  }
}
