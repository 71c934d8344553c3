/** What stands for bytes [offset, offset + length) of a RAM block. */
export interface BlockPart {
  readonly block: string;
  readonly offset: number;
  readonly length: number;
}

/**
 * Finds which of many parts of a RAM block hold some of its bytes; they may overlap. An interval tree: sorted by offset, the middle
 * of each stretch is its root, and knows where the stretch's parts end at most.
 */
export class ByOffset<T> {
  readonly #items: readonly T[];
  readonly #begins: Float64Array;
  readonly #ends: Float64Array;
  readonly #most: Float64Array;

  constructor(items: readonly T[], partOf: (item: T) => BlockPart) {
    this.#items = [...items].sort((a, b) => partOf(a).offset - partOf(b).offset);
    this.#begins = Float64Array.from(this.#items, (item) => partOf(item).offset);
    this.#ends = Float64Array.from(this.#items, (item) => partOf(item).offset + partOf(item).length);
    this.#most = new Float64Array(items.length);
    this.#fill(0, items.length);
  }

  /**
   * Those that hold at least one of bytes [start, end), by offset.
   *
   * @param into emptied and filled, so that a caller in a loop allocates nothing
   */
  meeting(start: number, end: number, into: T[] = []): readonly T[] {
    into.length = 0;
    if (start < end) this.#collect(0, this.#items.length, start, end, into);
    return into;
  }

  #fill(from: number, to: number): number {
    if (from >= to) return 0;
    const middle = Math.floor((from + to) / 2);
    const most = Math.max(this.#ends[middle] ?? 0, this.#fill(from, middle), this.#fill(middle + 1, to));
    this.#most[middle] = most;
    return most;
  }

  #collect(from: number, to: number, start: number, end: number, into: T[]): void {
    if (from >= to) return;
    const middle = Math.floor((from + to) / 2);
    if ((this.#most[middle] ?? 0) <= start) return;
    this.#collect(from, middle, start, end, into);
    if ((this.#begins[middle] ?? 0) >= end) return;
    const item = this.#items[middle];
    if (item !== undefined && (this.#ends[middle] ?? 0) > start) into.push(item);
    this.#collect(middle + 1, to, start, end, into);
  }
}

/** One for each block. */
export function byBlock<T>(items: readonly T[], partOf: (item: T) => BlockPart): ReadonlyMap<string, ByOffset<T>> {
  const lists = new Map<string, T[]>();
  for (const item of items) {
    const { block } = partOf(item);
    const list = lists.get(block);
    if (list === undefined) lists.set(block, [item]);
    else list.push(item);
  }
  return new Map([...lists].map(([block, list]) => [block, new ByOffset(list, partOf)]));
}
