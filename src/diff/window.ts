/** Bytes between two pages that are rather read than left out. The pages of a stream lie 8 bytes apart. */
const maxGap = 16 * 1024;

/** Memory for one side's pages, and the reads that fill it. Pages that lie near each other in a store are read together. */
export class Window {
  readonly bytes: Buffer;
  /** The reads, in parallel: which store, where in it, how much, where in `bytes`. */
  reads = 0;
  readonly store: number[] = [];
  readonly position: number[] = [];
  readonly length: number[] = [];
  readonly at: number[] = [];
  #end = 0;

  constructor(size: number) {
    this.bytes = Buffer.allocUnsafeSlow(size);
  }

  clear(): void {
    this.reads = 0;
    this.#end = 0;
  }

  /** How many pages at (store, offset) still fit. */
  room(store: number, offset: number, pageSize: number): number {
    const start = this.#follows(store, offset) ? this.#placeOf(offset) : this.#end;
    return Math.max(0, Math.floor((this.bytes.length - start) / pageSize));
  }

  /** Takes `length` bytes at (store, offset), which fit; returns where in `bytes` they will be. */
  add(store: number, offset: number, length: number): number {
    if (this.#follows(store, offset)) {
      const place = this.#placeOf(offset);
      const last = this.reads - 1;
      this.length[last] = place + length - (this.at[last] ?? 0);
      this.#end = place + length;
      return place;
    }
    const place = this.#end;
    const i = this.reads++;
    this.store[i] = store;
    this.position[i] = offset;
    this.length[i] = length;
    this.at[i] = place;
    this.#end = place + length;
    return place;
  }

  #follows(store: number, offset: number): boolean {
    const last = this.reads - 1;
    if (last < 0 || this.store[last] !== store) return false;
    const gap = offset - ((this.position[last] ?? 0) + (this.length[last] ?? 0));
    return gap >= 0 && gap <= maxGap;
  }

  #placeOf(offset: number): number {
    const last = this.reads - 1;
    return (this.at[last] ?? 0) + offset - (this.position[last] ?? 0);
  }
}
