/**
 * zero: every byte is 0 and nothing is stored. data: in a store. absent: this container does not say (a delta's base does,
 * or the block was shared and left out); never in a whole snapshot.
 */
export const ExtentKind = { zero: 0, data: 1, absent: 2 } as const;
export type ExtentKind = (typeof ExtentKind)[keyof typeof ExtentKind];

/**
 * A list of extents in parallel arrays, made once and used again, so that planning allocates nothing.
 *
 * Fields of extent i, for i < length: `kind`, `first` (page index), `pages` (count), and for data `store` (index into
 * PageMap.stores) and `offset` (bytes in that store).
 */
export class ExtentList {
  length = 0;
  readonly capacity: number;
  readonly kind: Uint8Array;
  readonly first: Float64Array;
  readonly pages: Float64Array;
  readonly store: Uint16Array;
  readonly offset: Float64Array;

  constructor(capacity = 1024) {
    this.capacity = capacity;
    this.kind = new Uint8Array(capacity);
    this.first = new Float64Array(capacity);
    this.pages = new Float64Array(capacity);
    this.store = new Uint16Array(capacity);
    this.offset = new Float64Array(capacity);
  }

  clear(): void {
    this.length = 0;
  }

  /** Returns false, and changes nothing, when the list is full. */
  push(kind: ExtentKind, first: number, pages: number, store = 0, offset = 0): boolean {
    const i = this.length;
    if (i === this.capacity) return false;
    this.kind[i] = kind;
    this.first[i] = first;
    this.pages[i] = pages;
    this.store[i] = store;
    this.offset[i] = offset;
    this.length = i + 1;
    return true;
  }
}
