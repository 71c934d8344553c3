import type { PageBitmap } from "../bytes/bitmap.ts";
import { Cursor } from "../bytes/cursor.ts";
import { sameBytes } from "../bytes/numbers.ts";
import { digestBytes, PageHasher } from "../bytes/page-digest.ts";
import { printable } from "../bytes/text.ts";
import { FixedramError } from "../errors.ts";
import type { RamBlock } from "../pages/block.ts";
import type { Store } from "../pages/store.ts";
import { type Digests, nodesOf } from "./digest-sections.ts";
import { nodeBytes, nodePages, tableBytes } from "./digest-table.ts";
import { NodeHasher, nodeEntryBytes } from "./nodes.ts";
import { readDigests, type Seal } from "./seal.ts";
import { rootMatches } from "./verify-node.ts";
import { readSealedBitmap } from "./verify-pages.ts";

/** Nodes of digests that are kept, for 8 GiB of pages: 16 MiB. */
const keptNodes = 4096;

/**
 * Checks pages one by one, in any order, against the digests they were sealed with (docs/format.md, "Page digests"). A node of digests is
 * believed when it matches its SHA-256, which is read when this is made.
 */
export class PageCheck {
  readonly #store: Store;
  readonly #digests: Digests;
  readonly #bitmaps: readonly PageBitmap[];
  /** SHA-256 of each node, by its index in the block. */
  readonly #sealed: readonly ReadonlyMap<number, Uint8Array>[];
  readonly #nodes = new Map<string, Uint8Array>();
  readonly #hasher = new PageHasher(0);
  readonly #nodeHasher = new NodeHasher();
  readonly #digest = new Uint8Array(digestBytes);

  private constructor(store: Store, digests: Digests, bitmaps: readonly PageBitmap[]) {
    this.#store = store;
    this.#digests = digests;
    this.#bitmaps = bitmaps;
    this.#sealed = digests.blocks.map((_, block) => nodeTable(nodesOf(digests, block)));
  }

  /**
   * @param store read without leaving the thread: it must know `readSync`
   * @throws FixedramError `seal.no-digests`, `seal.bad-digests`, `seal.damaged-section`
   */
  static async open(store: Store, seal: Seal | null): Promise<PageCheck> {
    const digests = seal === null ? null : await readDigests(store, seal);
    if (digests === null || store.readSync === undefined) {
      throw new FixedramError("seal.no-digests", "there are no digests to check pages with", {
        path: store.name,
        hint: "Seal the file first: fixedram seal FILE. Or leave --verify out.",
      });
    }
    for (const [block, sealed] of digests.blocks.entries()) {
      if (rootMatches(sealed, nodesOf(digests, block))) continue;
      throw new FixedramError("seal.bad-digests", "the digests of a RAM block do not match its root", {
        path: store.name,
        found: `block number ${block}`,
      });
    }
    const bitmaps: PageBitmap[] = [];
    for (const sealed of digests.blocks) bitmaps.push(await readSealedBitmap(store, sealed, digests.bigEndian));
    return new PageCheck(store, digests, bitmaps);
  }

  /** @param bytes the page as it was read @throws FixedramError `seal.damaged-page`, `seal.damaged-table` */
  check(block: RamBlock, page: number, bytes: Uint8Array): void {
    const index = Math.floor(page / nodePages);
    const node = this.#node(block, index);
    const at = (page - index * nodePages) * digestBytes;
    this.#hasher.hash(bytes, 0, 1, bytes.length, bytes.length, this.#digest, 0);
    const present = this.#bitmaps[block.index]?.get(page) === true;
    if (present && sameBytes(this.#digest, node.subarray(at, at + digestBytes))) return;
    const sealed = this.#digests.blocks[block.index];
    throw new FixedramError("seal.damaged-page", "a page is not as it was sealed", {
      path: this.#store.name,
      block: block.name,
      page,
      ...(sealed === undefined ? {} : { offset: sealed.pagesOffset + page * sealed.pageSize }),
    });
  }

  #node(block: RamBlock, index: number): Uint8Array {
    const key = `${block.index}:${index}`;
    const known = this.#nodes.get(key);
    if (known !== undefined) return known;
    const sealed = this.#digests.blocks[block.index];
    const bitmap = this.#bitmaps[block.index];
    if (sealed === undefined || bitmap === undefined) throw new RangeError(`no block ${block.index}`);
    const node = new Uint8Array(nodeBytes);
    const offset = sealed.tableOffset + index * nodeBytes;
    const wanted = node.subarray(0, Math.min(nodeBytes, tableBytes(sealed.pages) - index * nodeBytes));
    const count = this.#store.readSync?.(wanted, offset) ?? 0;
    const expected = this.#sealed[block.index]?.get(index);
    const found = this.#nodeHasher.hash(bitmap, index, node);
    if (count < wanted.length || expected === undefined || !sameBytes(found, expected)) {
      throw new FixedramError(
        "seal.damaged-table",
        "the digests of pages, or which pages are there, are not as sealed",
        {
          path: this.#store.name,
          block: block.name,
          page: index * nodePages,
          offset,
          found: `${printable(block.name)}, pages ${index * nodePages} to ${Math.min(sealed.pages, (index + 1) * nodePages) - 1}`,
        },
      );
    }
    if (this.#nodes.size >= keptNodes) this.#nodes.clear();
    this.#nodes.set(key, node);
    return node;
  }
}

function nodeTable(entries: Uint8Array): ReadonlyMap<number, Uint8Array> {
  const table = new Map<number, Uint8Array>();
  const cursor = new Cursor(entries, { area: "seal" });
  while (cursor.remaining >= nodeEntryBytes) table.set(cursor.u64(), cursor.take(32));
  return table;
}
