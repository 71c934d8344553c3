import { hash } from "node:crypto";
import type { PageBitmap } from "../bytes/bitmap.ts";
import { getU64, setU64, viewOf } from "../bytes/cursor.ts";
import { digestBytes } from "../bytes/page-digest.ts";
import { nextNode, nodeBytes, nodeCount, nodePages } from "./digest-table.ts";

/** Bytes of a node's entry in NODS: its index in the block, its SHA-256 (docs/format.md, "NODS"). */
export const nodeEntryBytes = 40;
const bitBytes = nodePages / 8;

/**
 * Makes the SHA-256 of nodes: over 64 bytes, a bit for each of its pages, and the digests of the pages present, in order. So it
 * covers the bitmap too, and costs by pages present.
 */
export class NodeHasher {
  readonly #message = new Uint8Array(bitBytes + nodeBytes);

  /**
   * @param index of the node in its block
   * @param digests 8 bytes for each page of the node; those of absent pages are not looked at
   */
  hash(bitmap: PageBitmap, index: number, digests: Uint8Array): Uint8Array {
    const message = this.#message;
    message.fill(0, 0, bitBytes);
    message.set(bitmap.bytes.subarray(index * bitBytes, (index + 1) * bitBytes));
    const first = index * nodePages;
    const end = Math.min(first + nodePages, bitmap.pages);
    let length = bitBytes;
    for (let page = bitmap.nextSet(first, end); page < end; ) {
      const stop = bitmap.nextClear(page, end);
      message.set(digests.subarray((page - first) * digestBytes, (stop - first) * digestBytes), length);
      length += (stop - page) * digestBytes;
      page = bitmap.nextSet(stop, end);
    }
    return hash("sha256", message.subarray(0, length), "buffer");
  }
}

/** How many nodes of a block have a page that is present. */
export function countNodes(bitmap: PageBitmap): number {
  let count = 0;
  for (let node = nextNode(bitmap, 0); node >= 0; node = nextNode(bitmap, node + 1)) count++;
  return count;
}

/**
 * Writes the entries of a block's nodes, in order.
 *
 * @param into as many bytes as {@link countNodes} entries have
 * @param digestsOf gives a node's digests
 */
export function encodeNodes(bitmap: PageBitmap, into: Uint8Array, digestsOf: (index: number) => Uint8Array): void {
  const hasher = new NodeHasher();
  const view = viewOf(into);
  let at = 0;
  for (let node = nextNode(bitmap, 0); node >= 0; node = nextNode(bitmap, node + 1)) {
    setU64(view, at, node);
    into.set(hasher.hash(bitmap, node, digestsOf(node)), at + 8);
    at += nodeEntryBytes;
  }
}

/**
 * A block's nodes by their index: 32 bytes each, zeros where it has no entry. Null when the entries are not in rising order, or
 * name a node that the block does not have.
 */
export function expectedNodes(entries: Uint8Array, pages: number): Uint8Array | null {
  const nodes = nodeCount(pages);
  const expected = new Uint8Array(nodes * 32);
  const view = viewOf(entries);
  let last = -1;
  for (let at = 0; at + nodeEntryBytes <= entries.length; at += nodeEntryBytes) {
    const index = getU64(view, at);
    if (index <= last || index >= nodes) return null;
    expected.set(entries.subarray(at + 8, at + nodeEntryBytes), index * 32);
    last = index;
  }
  return expected;
}

/** The root of a block: the SHA-256 of its nodes' entries. */
export function rootOf(entries: Uint8Array): Uint8Array {
  return hash("sha256", entries, "buffer");
}
