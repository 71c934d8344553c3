import { PageBitmap } from "../bytes/bitmap.ts";
import { printable } from "../bytes/text.ts";
import { FixedramError } from "../errors.ts";
import type { RamBlock } from "../pages/block.ts";

/** A RAM block as the destination keeps it. Pages are the target's; a host page is what one fault asks for. */
export interface PostcopyBlock {
  readonly block: RamBlock;
  /** Bytes: the host's page, or a huge page. */
  readonly hostPageSize: number;
  /** Target pages in a host page, at least 1. */
  readonly unit: number;
}

/** The largest host page that can be served: a host page goes out in one piece. */
export const maxHostPage = 16 * 2 ** 20;

/**
 * @param hostPageSizes bytes, by block name; a block that is not named has the host's own page size
 * @throws FixedramError `qemu.page-size`
 */
export function postcopyBlocks(
  blocks: readonly RamBlock[],
  hostPageSize: number,
  hostPageSizes: ReadonlyMap<string, number> = new Map(),
): readonly PostcopyBlock[] {
  return blocks.map((block) => {
    const size = hostPageSizes.get(block.name) ?? hostPageSize;
    if (size > maxHostPage || size % block.pageSize !== 0 || block.length % size !== 0) {
      throw new FixedramError("qemu.page-size", "a RAM block lies on pages of a size that cannot be served lazily", {
        block: block.name,
        expected: `a multiple of ${block.pageSize} bytes, at most ${maxHostPage}, that divides ${block.length}`,
        found: `${size} bytes`,
        hint: "Use 2 MiB huge pages or none, or resume without --lazy.",
      });
    }
    return { block, hostPageSize: size, unit: size / block.pageSize };
  });
}

/**
 * Which pages the destination has got, or will get from what is on its way. A page must never be sent twice: QEMU fails with
 * EEXIST and pauses the migration.
 */
export class SentPages {
  readonly blocks: readonly PostcopyBlock[];
  /** Target pages, one bitmap a block. */
  readonly bitmaps: readonly PageBitmap[];
  readonly #byName: ReadonlyMap<string, number>;

  constructor(blocks: readonly PostcopyBlock[]) {
    this.blocks = blocks;
    this.bitmaps = blocks.map(({ block }) => new PageBitmap(block.pages));
    this.#byName = new Map(blocks.map(({ block }) => [block.name, block.index]));
  }

  /** @throws FixedramError `qemu.return-path` for a block that the snapshot has not */
  named(name: string): number {
    const index = this.#byName.get(name);
    if (index !== undefined) return index;
    throw new FixedramError("qemu.return-path", "QEMU asks for pages of a RAM block that the snapshot has not", {
      block: name,
      found: printable(name),
      hint: "The machine is not the one that was saved: the guest waits for pages that nobody has.",
    });
  }

  has(block: number, page: number): boolean {
    return this.bitmaps[block]?.get(page) ?? false;
  }

  /** Pages [first, first + count) are on their way from now on. Throws a RangeError when one of them was before. */
  take(block: number, first: number, count: number): void {
    const bitmap = this.#bitmap(block);
    if (bitmap.nextSet(first, first + count) < first + count)
      throw new RangeError(`pages ${first} to ${first + count} of block ${block} are sent twice`);
    bitmap.setRange(first, count);
  }

  /** What a destination says it has, after a break: it is the truth, whatever was believed before. @param bits as QEMU sends them */
  replace(block: number, bits: Uint8Array): void {
    const { bytes } = this.#bitmap(block);
    if (bits.length > bytes.length) throw new RangeError(`${bits.length} bytes of bits for ${bytes.length}`);
    const own = new Uint8Array(bytes.length);
    own.set(bits);
    bytes.set(new PageBitmap(this.#bitmap(block).pages, own).bytes);
  }

  /** The first page in [from, end) that was not sent; `end` when there is none. */
  nextMissing(block: number, from: number, end: number): number {
    return this.#bitmap(block).nextClear(from, end);
  }

  /** The first page in [from, end) that was sent; `end` when there is none. */
  nextSent(block: number, from: number, end: number): number {
    return this.#bitmap(block).nextSet(from, end);
  }

  #bitmap(block: number): PageBitmap {
    const bitmap = this.bitmaps[block];
    if (bitmap === undefined) throw new RangeError(`no block ${block}`);
    return bitmap;
  }
}
