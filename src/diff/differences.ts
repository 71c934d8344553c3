/**
 * How a page differs: `added` was zero and is not; `gone` was not and is zero; `changed` holds other bytes; `unknown` is not in
 * one of the two files, so nothing can be said about it.
 */
export const differenceKinds = ["changed", "added", "gone", "unknown"] as const;
export type DifferenceKind = (typeof differenceKinds)[number];

/** The kinds as numbers: places in {@link differenceKinds}. */
export const Difference = { changed: 0, added: 1, gone: 2, unknown: 3 } as const;

const fields = 3;

/** Runs of pages that differ, in page order: kind, first page, pages; runs that touch and are alike become one. */
export class DifferenceList {
  length = 0;
  #numbers: Float64Array<ArrayBuffer>;

  /** @param numbers what {@link DifferenceList.finish} gave, to be read again */
  constructor(numbers?: Float64Array<ArrayBuffer>) {
    this.#numbers = numbers ?? new Float64Array(64 * fields);
    this.length = numbers === undefined ? 0 : numbers.length / fields;
  }

  kind(i: number): number {
    return this.#numbers[i * fields] ?? 0;
  }

  first(i: number): number {
    return this.#numbers[i * fields + 1] ?? 0;
  }

  pages(i: number): number {
    return this.#numbers[i * fields + 2] ?? 0;
  }

  push(kind: number, first: number, pages: number): void {
    const last = this.length - 1;
    if (last >= 0 && this.kind(last) === kind && this.first(last) + this.pages(last) === first) {
      this.#numbers[last * fields + 2] = this.pages(last) + pages;
      return;
    }
    if (this.#numbers.length < (this.length + 1) * fields) {
      const more = new Float64Array(this.#numbers.length * 2);
      more.set(this.#numbers);
      this.#numbers = more;
    }
    const at = this.length++ * fields;
    this.#numbers[at] = kind;
    this.#numbers[at + 1] = first;
    this.#numbers[at + 2] = pages;
  }

  /** Three numbers a run, in an array of their own. */
  finish(): Float64Array<ArrayBuffer> {
    return this.#numbers.slice(0, this.length * fields);
  }
}
