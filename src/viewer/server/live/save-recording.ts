import { groupValue, heatOf, kindOf, StepField, saveKinds, stepFields, stepOf } from "../../shared/live.ts";
import { Recording } from "./recording.ts";

const zero = saveKinds.indexOf("zero");
/** Fields of a step's and of all pages: zero, came first, came again. */
const field = { zero: 1, first: 2, again: 3 } as const;
const most = 2 ** 16 - 1;

/** How the pages of a save come: when for the first time, and how often. Memory: 8 MiB beside the recording's own. */
export class SaveRecording extends Recording {
  readonly #times: readonly Uint16Array[];

  constructor(pages: readonly number[], mostGroups?: number) {
    super(pages, mostGroups);
    this.#times = this.groups.map(({ length }) => new Uint16Array(length));
  }

  /** Pages with data came. @param pages their indices, the first `count` of them */
  came(block: number, pages: ArrayLike<number>, count: number, time: number): void {
    const step = this.step(time);
    const groups = this.groups[block];
    const times = this.#times[block];
    if (groups === undefined || times === undefined) return;
    const { group } = this;
    let again = 0;
    let first = -1;
    let last = -1;
    for (let i = 0; i < count; i++) {
      const at = Math.floor((pages[i] ?? 0) / group);
      const before = groups[at] ?? 0;
      const came = Math.min(most, (times[at] ?? 0) + 1);
      times[at] = came;
      if (came > group) again++;
      const kind = heatOf(Math.ceil(came / group));
      if (before === 0) groups[at] = groupValue(kind, step);
      else if (kindOf(before) < kind) groups[at] = groupValue(kind, stepOf(before));
      else continue;
      if (at !== last + 1 || first < 0) {
        if (first >= 0) this.wrote(block, first, last + 1 - first);
        first = at;
      }
      last = at;
    }
    if (first >= 0) this.wrote(block, first, last + 1 - first);
    this.#sum(step, field.first, count - again);
    this.#sum(step, field.again, again);
  }

  /** Pages [first, first + count) came, and are zero. */
  cameZero(block: number, first: number, count: number, time: number): void {
    const step = this.step(time);
    const groups = this.groups[block];
    if (groups === undefined) return;
    const from = Math.floor(first / this.group);
    const end = Math.min(groups.length, Math.ceil((first + count) / this.group));
    for (let at = from; at < end; at++) if (groups[at] === 0) groups[at] = groupValue(zero, step);
    this.wrote(block, from, end - from);
    this.#sum(step, field.zero, count);
  }

  /** What never came as data is zero: with multifd channels nothing else tells. */
  restIsZero(time: number): void {
    for (const [block, groups] of this.groups.entries()) {
      const pages = this.pages[block] ?? 0;
      for (let at = 0; at < groups.length; at++) {
        if (groups[at] !== 0) continue;
        const first = at;
        while (at < groups.length && groups[at] === 0) at++;
        const end = Math.min(pages, at * this.group);
        this.cameZero(block, first * this.group, end - first * this.group, time);
      }
    }
  }

  #sum(step: number, which: number, count: number): void {
    if (count === 0) return;
    const at = step * stepFields + StepField.pages + which;
    this.steps[at] = Math.min(2 ** 32 - 1, (this.steps[at] ?? 0) + count);
    this.counts[which] = (this.counts[which] ?? 0) + count;
  }
}

/** Finds pages whose bits other threads have set since the last look. */
export class BitSampler {
  readonly #bits: readonly Uint8Array[];
  readonly #seen: readonly Uint8Array[];
  readonly #pages: readonly number[];
  readonly #found = new Float64Array(4096);

  constructor(bits: readonly SharedArrayBuffer[], pages: readonly number[]) {
    this.#bits = bits.map((memory) => new Uint8Array(memory));
    this.#seen = this.#bits.map(({ length }) => new Uint8Array(length));
    this.#pages = pages;
  }

  /** @param take gets the indices of pages, the first `count` of them, valid until it returns */
  look(take: (block: number, pages: Float64Array, count: number) => void): void {
    const found = this.#found;
    for (const [block, bits] of this.#bits.entries()) {
      const seen = this.#seen[block];
      const pages = this.#pages[block] ?? 0;
      if (seen === undefined) continue;
      let count = 0;
      for (let at = 0; at < bits.length; at++) {
        const now = bits[at] ?? 0;
        const fresh = now & ~(seen[at] ?? 0);
        if (fresh === 0) continue;
        seen[at] = now;
        for (let bit = 0; bit < 8; bit++) {
          const page = at * 8 + bit;
          if ((fresh & (1 << bit)) === 0 || page >= pages) continue;
          found[count++] = page;
          if (count < found.length) continue;
          take(block, found, count);
          count = 0;
        }
      }
      if (count > 0) take(block, found, count);
    }
  }
}
