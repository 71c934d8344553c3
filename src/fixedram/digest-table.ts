import { PageBitmap } from "../bytes/bitmap.ts";
import { digestBytes } from "../bytes/page-digest.ts";

/** Pages whose digests make a node: 4 KiB of table. */
export const nodePages = 512;
export const nodeBytes = nodePages * digestBytes;

/** Where the table of one block lies; the digest of page i is at `tableOffset + 8 x i` (docs/format.md, "Page digests"). */
export interface TablePlace {
  /** Bytes from the start of the file. */
  readonly tableOffset: number;
  /** Pages of the block. */
  readonly pages: number;
}

/** What a table is written to and read back from. */
export interface TableFile {
  write(bytes: Uint8Array, position: number): void;
  readBack(target: Uint8Array, position: number): number;
}

export function nodeCount(pages: number): number {
  return Math.ceil(pages / nodePages);
}

/** Bytes of a block's table. */
export function tableBytes(pages: number): number {
  return pages * digestBytes;
}

/** The first node from `from` on that has a page present; -1: none. */
export function nextNode(bitmap: PageBitmap, from: number): number {
  const page = bitmap.nextSet(from * nodePages);
  return page >= bitmap.pages ? -1 : Math.floor(page / nodePages);
}

/**
 * The digest tables of a file while it is written. Nodes are kept in memory, 1024 of them (4 MiB, the digests of 2 GiB of
 * pages) at most; where two want the same place, the older goes to the file, and is read back when it is wanted again
 * (docs/decisions/0005-digests.md).
 */
export class DigestTable {
  readonly #file: TableFile;
  readonly #places: readonly TablePlace[];
  /** Number of each block's first node among all nodes. */
  readonly #base: readonly number[];
  readonly #capacity: number;
  readonly #bytes: Uint8Array;
  /** Node held in each place; -1: none. All that are held may differ from the file. */
  readonly #held: Float64Array;
  /** Block of the node held. */
  readonly #blocks: Uint32Array;
  /** Nodes that stand in the file. */
  readonly #written: PageBitmap;

  constructor(file: TableFile, places: readonly TablePlace[], capacity = 1024) {
    this.#file = file;
    this.#places = places;
    const base: number[] = [];
    let total = 0;
    for (const { pages } of places) {
      base.push(total);
      total += nodeCount(pages);
    }
    this.#base = base;
    this.#capacity = Math.max(1, Math.min(capacity, total));
    this.#bytes = new Uint8Array(this.#capacity * nodeBytes);
    this.#held = new Float64Array(this.#capacity).fill(-1);
    this.#blocks = new Uint32Array(this.#capacity);
    this.#written = new PageBitmap(total);
  }

  /** The node's bytes, to be read and written until the next call: 8 for each of its pages. */
  node(block: number, index: number): Uint8Array {
    const node = (this.#base[block] ?? 0) + index;
    const place = node % this.#capacity;
    const bytes = this.#bytes.subarray(place * nodeBytes, (place + 1) * nodeBytes);
    const held = this.#held[place] ?? -1;
    if (held === node) return bytes;
    if (held >= 0) this.#write(place);
    bytes.fill(0);
    if (this.#written.get(node)) this.#read(block, index, bytes);
    this.#held[place] = node;
    this.#blocks[place] = block;
    return bytes;
  }

  /** A node that was never asked for stands in the file. */
  adopt(block: number, index: number): void {
    this.#written.set((this.#base[block] ?? 0) + index);
  }

  /** Copies a node as it stands now, without making room for it. @param into 4 KiB */
  copy(block: number, index: number, into: Uint8Array): void {
    const node = (this.#base[block] ?? 0) + index;
    const place = node % this.#capacity;
    if (this.#held[place] === node) into.set(this.#bytes.subarray(place * nodeBytes, (place + 1) * nodeBytes));
    else {
      into.fill(0);
      if (this.#written.get(node)) this.#read(block, index, into);
    }
  }

  /** Brings all that is held to the file. */
  flush(): void {
    for (let place = 0; place < this.#capacity; ) {
      if ((this.#held[place] ?? -1) < 0) place++;
      else place = this.#writeRun(place);
    }
  }

  /** Writes the neighbours in memory that are neighbours in the file, too; returns the place behind them. */
  #writeRun(first: number): number {
    const block = this.#blocks[first] ?? 0;
    let end = first + 1;
    while (
      end < this.#capacity &&
      this.#blocks[end] === block &&
      this.#held[end] === (this.#held[first] ?? 0) + (end - first)
    )
      end++;
    const index = (this.#held[first] ?? 0) - (this.#base[block] ?? 0);
    this.#put(block, index, this.#bytes.subarray(first * nodeBytes, end * nodeBytes));
    return end;
  }

  #write(place: number): void {
    const block = this.#blocks[place] ?? 0;
    const index = (this.#held[place] ?? 0) - (this.#base[block] ?? 0);
    this.#put(block, index, this.#bytes.subarray(place * nodeBytes, (place + 1) * nodeBytes));
  }

  #put(block: number, index: number, bytes: Uint8Array): void {
    const { tableOffset, pages } = this.#place(block);
    const left = tableBytes(pages) - index * nodeBytes;
    this.#file.write(bytes.subarray(0, Math.min(bytes.length, left)), tableOffset + index * nodeBytes);
    this.#written.setRange((this.#base[block] ?? 0) + index, bytes.length / nodeBytes);
  }

  #read(block: number, index: number, into: Uint8Array): void {
    const { tableOffset, pages } = this.#place(block);
    const length = Math.min(nodeBytes, tableBytes(pages) - index * nodeBytes);
    this.#file.readBack(into.subarray(0, length), tableOffset + index * nodeBytes);
  }

  #place(block: number): TablePlace {
    const place = this.#places[block];
    if (place === undefined) throw new RangeError(`no block ${block}`);
    return place;
  }
}
