import { isZero } from "../bytes/zero.ts";
import { Difference, type DifferenceList } from "./differences.ts";
import { type CompareJob, runFields } from "./plan.ts";
import { absentStore } from "./side.ts";
import { Window } from "./window.ts";

/** Bytes that are read at once on each side: as much as a processor's own memory holds, so that it is read only once. */
const pieceBytes = 256 * 1024;
/** In place of a place in a window: the page is zero. */
const zeroPlace = -1;

/**
 * Compares the pages of jobs, piece by piece, in three steps: {@link Comparer.plan}, the reads of both windows, which are the
 * caller's, then {@link Comparer.compare}. Bytes are compared; a page of stored zeros is a zero page.
 */
export class Comparer {
  readonly windows: readonly [Window, Window] = [new Window(pieceBytes), new Window(pieceBytes)];
  readonly #first: number[] = [];
  readonly #pages: number[] = [];
  readonly #places: readonly [number[], number[]] = [[], []];
  #count = 0;
  #job: CompareJob = { pageSize: 1, count: 0, runs: new Float64Array(0) };
  #run = 0;
  #done = 0;

  begin(job: CompareJob): void {
    if (job.pageSize > pieceBytes) throw new RangeError(`pages of ${job.pageSize} bytes`);
    this.#job = job;
    this.#run = 0;
    this.#done = 0;
  }

  /** Takes the next pages of the job, as many as fit; false when there are none. What is not in the files goes to `into` at once. */
  plan(into: DifferenceList): boolean {
    const [a, b] = this.windows;
    a.clear();
    b.clear();
    this.#count = 0;
    const { runs, count, pageSize } = this.#job;
    while (this.#run < count) {
      const at = this.#run * runFields;
      const first = (runs[at] ?? 0) + this.#done;
      const left = (runs[at + 1] ?? 0) - this.#done;
      const [storeA, storeB] = [runs[at + 2] ?? 0, runs[at + 4] ?? 0];
      if (storeA === absentStore || storeB === absentStore) {
        // What was found before it goes before it.
        if (this.#count > 0) return true;
        into.push(Difference.unknown, first, left);
        this.#turn(left, left);
        continue;
      }
      const offsetA = (runs[at + 3] ?? 0) + this.#done * pageSize;
      const offsetB = (runs[at + 5] ?? 0) + this.#done * pageSize;
      let pages = left;
      if (storeA >= 0) pages = Math.min(pages, a.room(storeA, offsetA, pageSize));
      if (storeB >= 0) pages = Math.min(pages, b.room(storeB, offsetB, pageSize));
      if (pages <= 0) break;
      const i = this.#count++;
      this.#first[i] = first;
      this.#pages[i] = pages;
      this.#places[0][i] = storeA >= 0 ? a.add(storeA, offsetA, pages * pageSize) : zeroPlace;
      this.#places[1][i] = storeB >= 0 ? b.add(storeB, offsetB, pages * pageSize) : zeroPlace;
      this.#turn(pages, left);
    }
    return this.#count > 0;
  }

  /** Compares what was planned and read. */
  compare(into: DifferenceList): void {
    for (let i = 0; i < this.#count; i++) {
      const [placeA, placeB] = [this.#places[0][i] ?? zeroPlace, this.#places[1][i] ?? zeroPlace];
      const [first, pages] = [this.#first[i] ?? 0, this.#pages[i] ?? 0];
      if (placeA === zeroPlace) this.#oneSided(this.windows[1], placeB, first, pages, Difference.added, into);
      else if (placeB === zeroPlace) this.#oneSided(this.windows[0], placeA, first, pages, Difference.gone, into);
      else this.#both(placeA, placeB, first, pages, into);
    }
  }

  #turn(pages: number, left: number): void {
    if (pages < left) this.#done += pages;
    else {
      this.#run++;
      this.#done = 0;
    }
  }

  #both(placeA: number, placeB: number, first: number, pages: number, into: DifferenceList): void {
    const [{ bytes: a }, { bytes: b }] = this.windows;
    const { pageSize } = this.#job;
    if (equal(a, placeA, b, placeB, pages * pageSize)) return;
    for (let k = 0; k < pages; k++) {
      const [atA, atB] = [placeA + k * pageSize, placeB + k * pageSize];
      if (equal(a, atA, b, atB, pageSize)) continue;
      const kind = isZero(a, atA, atA + pageSize)
        ? Difference.added
        : isZero(b, atB, atB + pageSize)
          ? Difference.gone
          : Difference.changed;
      into.push(kind, first + k, 1);
    }
  }

  #oneSided(window: Window, place: number, first: number, pages: number, kind: number, into: DifferenceList): void {
    const { pageSize } = this.#job;
    for (let k = 0; k < pages; k++) {
      const at = place + k * pageSize;
      if (!isZero(window.bytes, at, at + pageSize)) into.push(kind, first + k, 1);
    }
  }
}

/** memcmp of the system's library, which no loop of JavaScript comes near. */
function equal(a: Buffer, atA: number, b: Buffer, atB: number, length: number): boolean {
  return a.compare(b, atB, atB + length, atA, atA + length) === 0;
}
