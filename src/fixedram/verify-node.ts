import { hash } from "node:crypto";
import { PageBitmap } from "../bytes/bitmap.ts";
import { Cursor, getU64, viewOf } from "../bytes/cursor.ts";
import { sameBytes } from "../bytes/numbers.ts";
import { digestBytes, type PageHasher } from "../bytes/page-digest.ts";
import { byteOfPage } from "./byte-order.ts";
import type { SealedBlock } from "./digest-sections.ts";
import { nodeCount, nodePages } from "./digest-table.ts";
import { NodeHasher, nodeEntryBytes } from "./nodes.ts";
import type { Problems } from "./problems.ts";

/** Nodes whose bits are turned one by one: it takes about 5 ms each. */
const maxTurned = 200;

/** What is known about the block whose nodes are checked. */
export interface CheckedBlock {
  readonly name: string;
  readonly sealed: SealedBlock;
  /** As it stands in the file. */
  readonly bitmap: PageBitmap;
  /** Whether the bitmap's words stand big-endian in the file. */
  readonly bigEndian: boolean;
  /** Its entries in NODS. */
  readonly entries: Uint8Array;
}

/**
 * Compares a block's nodes with the seal, and tells what is damaged: a page, its digest, or its bit. The node's SHA-256 covers bits
 * and digests, so whichever of the two readings (the table's digests, or those of the pages themselves) agrees with it was sealed.
 */
export class NodeCheck {
  readonly #block: CheckedBlock;
  readonly #problems: Problems;
  readonly #digestOf: (page: number) => Promise<Uint8Array>;
  readonly #nodes = new NodeHasher();
  readonly #cursor: Cursor;
  #next: { readonly index: number; readonly sha256: Uint8Array } | null;

  /** @param digestOf of a page as it stands in the file, whatever its bit says */
  constructor(block: CheckedBlock, problems: Problems, digestOf: (page: number) => Promise<Uint8Array>) {
    this.#block = block;
    this.#problems = problems;
    this.#digestOf = digestOf;
    this.#cursor = new Cursor(block.entries, { area: "seal" });
    this.#next = this.#take();
  }

  /**
   * A node with pages present, in rising order.
   *
   * @param found digests of its pages as they stand; those of absent pages mean nothing
   * @param table its digests in the table
   */
  async node(index: number, found: Uint8Array, table: Uint8Array, hasher: PageHasher): Promise<void> {
    // Nodes that the seal has and the bitmap does not are looked at in end().
    while (this.#next !== null && this.#next.index < index) this.#skip();
    const expected = this.#next?.index === index ? this.#next.sha256 : null;
    if (expected === null) {
      this.#unsealedBits(index);
      return;
    }
    this.#next = this.#take();
    const { bitmap } = this.#block;
    if (sameBytes(this.#nodes.hash(bitmap, index, found), expected)) {
      this.#compare(index, bitmap, found, table, "table", hasher);
    } else if (sameBytes(this.#nodes.hash(bitmap, index, table), expected)) {
      this.#compare(index, bitmap, found, table, "page", hasher);
    } else await this.#diagnose(index, bitmap, found, table, expected, hasher);
  }

  /** All nodes with pages present have been given. */
  async end(tableOf: (index: number) => Promise<Uint8Array>, hasher: PageHasher): Promise<void> {
    while (this.#next !== null) this.#skip();
    for (const entry of this.#skipped) {
      this.#cursor.offset = entry;
      const { index, sha256 } = this.#take() ?? { index: 0, sha256: new Uint8Array(0) };
      const nothing = new Uint8Array(nodePages * digestBytes);
      await this.#diagnose(index, this.#block.bitmap, nothing, await tableOf(index), sha256, hasher);
    }
  }

  /** Nodes whose bits were turned. */
  #turned = 0;
  /** Places of the entries that were passed over. */
  readonly #skipped: number[] = [];

  #skip(): void {
    // The cursor stands behind the next one.
    this.#skipped.push(this.#cursor.offset - nodeEntryBytes);
    this.#next = this.#take();
  }

  #take(): { index: number; sha256: Uint8Array } | null {
    if (this.#cursor.remaining < nodeEntryBytes) return null;
    return { index: this.#cursor.u64(), sha256: this.#cursor.take(32) };
  }

  /** One of the two readings was sealed: where they differ, the other is damaged. */
  #compare(
    index: number,
    bitmap: PageBitmap,
    found: Uint8Array,
    table: Uint8Array,
    damaged: "page" | "table" | "either",
    hasher: PageHasher,
  ): number {
    const { sealed, name } = this.#block;
    const zero = hasher.zeroDigest(sealed.pageSize);
    const first = index * nodePages;
    const end = Math.min(first + nodePages, bitmap.pages);
    let different = 0;
    for (let page = bitmap.nextSet(first, end); page < end; page = bitmap.nextSet(page + 1, end)) {
      const at = (page - first) * digestBytes;
      const here = found.subarray(at, at + digestBytes);
      if (sameBytes(here, table.subarray(at, at + digestBytes))) continue;
      different++;
      if (damaged === "table") {
        const offset = sealed.tableOffset + page * digestBytes;
        const message = "the digest of a page is damaged; the page itself is as it was sealed";
        this.#problems.add({
          code: "seal.damaged-table",
          message,
          block: name,
          page,
          pages: 1,
          offset,
          length: digestBytes,
        });
        continue;
      }
      const offset = sealed.pagesOffset + page * sealed.pageSize;
      const zeros = sameBytes(here, zero) ? "; only zeros are there" : "";
      const message = `a page is not as it was sealed${damaged === "either" ? ", or its digest is not" : ""}${zeros}`;
      this.#problems.add({
        code: "seal.damaged-page",
        message,
        block: name,
        page,
        pages: 1,
        offset,
        length: sealed.pageSize,
      });
    }
    return different;
  }

  /** Neither reading was sealed: a bit is wrong, or several things are. */
  async #diagnose(
    index: number,
    bitmap: PageBitmap,
    found: Uint8Array,
    table: Uint8Array,
    expected: Uint8Array,
    hasher: PageHasher,
  ): Promise<void> {
    const first = index * nodePages;
    const end = Math.min(first + nodePages, bitmap.pages);
    // The node alone, as a bitmap of its own: one bit after the other is turned.
    const bits = new PageBitmap(end - first, nodeBits(bitmap, index, end - first));
    const turned = this.#turned++ < maxTurned ? end : first;
    for (let page = first; page < turned; page++) {
      const was = bits.get(page - first);
      flip(bits, page - first, !was);
      if (sameBytes(this.#nodes.hash(bits, 0, table), expected)) {
        this.#wrongBit(page, was);
        if (!was) found.set(await this.#digestOf(page), (page - first) * digestBytes);
        flip(bitmap, page, !was);
        this.#compare(index, bitmap, found, table, "page", hasher);
        flip(bitmap, page, was);
        return;
      }
      flip(bits, page - first, was);
    }
    if (this.#compare(index, bitmap, found, table, "either", hasher) > 0) return;
    const { name } = this.#block;
    const message = "bits, pages or digests of these pages are not as they were sealed; which of them cannot be told";
    this.#problems.add({ code: "seal.damaged-node", message, block: name, page: first, pages: end - first });
  }

  /** The bitmap has pages where nothing was sealed. */
  #unsealedBits(index: number): void {
    const { bitmap } = this.#block;
    const first = index * nodePages;
    const end = Math.min(first + nodePages, bitmap.pages);
    for (let page = bitmap.nextSet(first, end); page < end; page = bitmap.nextSet(page + 1, end))
      this.#wrongBit(page, true);
  }

  #wrongBit(page: number, set: boolean): void {
    const { name, sealed, bigEndian } = this.#block;
    const message = set
      ? "the bitmap says that a page is there which was zero when the file was sealed"
      : "the bitmap says that a page is zero which was there when the file was sealed";
    const offset = sealed.bitmapOffset + byteOfPage(page, bigEndian);
    this.#problems.add({ code: "seal.damaged-bitmap", message, block: name, page, pages: 1, offset });
  }
}

/** The bits of a node, in the 8-byte steps of a bitmap. */
function nodeBits(bitmap: PageBitmap, index: number, pages: number): Uint8Array {
  const bytes = new Uint8Array(Math.ceil(pages / 64) * 8);
  bytes.set(bitmap.bytes.subarray((index * nodePages) / 8, (index * nodePages) / 8 + bytes.length));
  return bytes;
}

function flip(bitmap: PageBitmap, page: number, value: boolean): void {
  if (value) bitmap.set(page);
  else bitmap.clear(page);
}

/** Whether a block's entries in NODS are those of its root, and tell of its nodes in rising order. */
export function rootMatches(sealed: SealedBlock, entries: Uint8Array): boolean {
  if (!sameBytes(hash("sha256", entries, "buffer"), sealed.root)) return false;
  const view = viewOf(entries);
  let last = -1;
  for (let at = 0; at < entries.length; at += nodeEntryBytes) {
    const index = getU64(view, at);
    if (index <= last || index >= nodeCount(sealed.pages)) return false;
    last = index;
  }
  return true;
}

/** The same block as if it had only these nodes. @param nodes in rising order */
export function nodesAlone(block: CheckedBlock, nodes: readonly number[]): CheckedBlock {
  const { bitmap, entries } = block;
  const bits = new PageBitmap(bitmap.pages);
  const nodeBitBytes = nodePages / 8;
  for (const node of nodes) {
    bits.bytes.set(bitmap.bytes.subarray(node * nodeBitBytes, (node + 1) * nodeBitBytes), node * nodeBitBytes);
  }
  const wanted = new Set(nodes);
  const kept: Uint8Array[] = [];
  const cursor = new Cursor(entries, { area: "seal" });
  for (let at = 0; at + nodeEntryBytes <= entries.length; at += nodeEntryBytes) {
    if (wanted.has(cursor.u64())) kept.push(entries.subarray(at, at + nodeEntryBytes));
    cursor.take(nodeEntryBytes - 8);
  }
  const few = new Uint8Array(kept.length * nodeEntryBytes);
  for (const [i, entry] of kept.entries()) few.set(entry, i * nodeEntryBytes);
  return { ...block, bitmap: bits, entries: few };
}
