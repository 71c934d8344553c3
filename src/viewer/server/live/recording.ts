import {
  firstStep,
  groupValue,
  kindOf,
  type LiveMark,
  latencyBound,
  latencyClasses,
  mostGroups,
  mostSteps,
  StepField,
  stepFields,
  stepOf,
} from "../../shared/live.ts";

/** Pages of a group, so that all groups of all blocks stay below the limit. */
export function groupOf(pages: readonly number[], most = mostGroups): number {
  let group = 1;
  while (pages.reduce((sum, count) => sum + Math.ceil(count / group), 0) > Math.max(most, pages.length)) group *= 2;
  return group;
}

/** Groups [first, first + count) of a block that were written to. */
interface Written {
  readonly block: number;
  readonly first: number;
  count: number;
}

/** Ranges remembered between two looks; more of them, and everything counts as written. */
const mostWritten = 2 ** 14;

/**
 * How pages came, by group and by time step (shared/live.ts). Memory: 8 MiB for groups and 768 KiB for steps at most, whatever
 * is recorded.
 */
export class Recording {
  readonly pages: readonly number[];
  readonly group: number;
  readonly groups: readonly Uint16Array[];
  readonly steps = new Uint32Array(mostSteps * stepFields);
  readonly counts: number[] = Array<number>(8).fill(0);
  readonly marks: LiveMark[] = [];
  /** Milliseconds a step. */
  stepTime = firstStep;
  /** Steps that were begun. */
  used = 0;
  #written: Written[] = [];
  #firstStepWritten = mostSteps;
  /** Everything changed, or too much to say what. */
  #all = false;

  constructor(pages: readonly number[], most = mostGroups) {
    this.pages = pages;
    this.group = groupOf(pages, most);
    this.groups = pages.map((count) => new Uint16Array(Math.ceil(count / this.group)));
  }

  /**
   * Pages [first, first + count) of a block came, in the manner `kind`.
   *
   * @param time milliseconds since the recording began
   * @param took microseconds that a fault took; null: it was none
   */
  add(block: number, first: number, count: number, kind: number, time: number, took: number | null): void {
    const step = this.step(time);
    const base = step * stepFields;
    this.#count(base + StepField.pages + kind, count);
    if (took !== null) {
      this.#count(base, 1);
      this.#count(base + StepField.latency + classOf(took), 1);
    }
    this.counts[kind] = (this.counts[kind] ?? 0) + count;
    const groups = this.groups[block];
    if (groups === undefined) return;
    const from = Math.floor(first / this.group);
    const end = Math.min(groups.length, Math.ceil((first + count) / this.group));
    for (let at = from; at < end; at++) {
      const before = groups[at] ?? 0;
      if (before === 0) groups[at] = groupValue(kind, step);
      else if (kindOf(before) < kind) groups[at] = groupValue(kind, stepOf(before));
    }
    this.wrote(block, from, end - from);
  }

  /** The step of a time, made room for. */
  step(time: number): number {
    while (time >= mostSteps * this.stepTime) this.#halve();
    const step = Math.max(0, Math.floor(time / this.stepTime));
    if (step >= this.used) this.used = step + 1;
    if (step < this.#firstStepWritten) this.#firstStepWritten = step;
    return step;
  }

  mark(name: string, time: number): void {
    this.marks.push({ name, time });
  }

  /** Groups were written to by whoever has them. */
  wrote(block: number, first: number, count: number): void {
    if (count <= 0 || this.#all) return;
    const last = this.#written.at(-1);
    if (last !== undefined && last.block === block && last.first + last.count === first) last.count += count;
    else this.#written.push({ block, first, count });
    if (this.#written.length > mostWritten) this.#forgetAll();
  }

  /** What was written since the last look. `all`: everything is to be told anew. */
  takeWritten(): { readonly all: boolean; readonly ranges: readonly Written[]; readonly firstStep: number } {
    const taken = { all: this.#all, ranges: this.#written, firstStep: this.#firstStepWritten };
    this.#all = false;
    this.#written = [];
    this.#firstStepWritten = mostSteps;
    return taken;
  }

  #forgetAll(): void {
    this.#all = true;
    this.#written = [];
  }

  #count(at: number, by: number): void {
    this.steps[at] = Math.min(2 ** 32 - 1, (this.steps[at] ?? 0) + by);
  }

  /** Two steps become one. */
  #halve(): void {
    const { steps } = this;
    for (let to = 0; to < mostSteps / 2; to++) {
      for (let field = 0; field < stepFields; field++) {
        const from = to * 2 * stepFields + field;
        steps[to * stepFields + field] = Math.min(2 ** 32 - 1, (steps[from] ?? 0) + (steps[from + stepFields] ?? 0));
      }
    }
    steps.fill(0, (mostSteps / 2) * stepFields);
    for (const groups of this.groups) {
      for (let i = 0; i < groups.length; i++) {
        const value = groups[i] ?? 0;
        if (value !== 0) groups[i] = groupValue(kindOf(value), Math.floor(stepOf(value) / 2));
      }
    }
    this.stepTime *= 2;
    this.used = Math.ceil(this.used / 2);
    this.#forgetAll();
  }
}

function classOf(microseconds: number): number {
  const index = Math.ceil(Math.log2(Math.max(microseconds, 1) / latencyBound(0)));
  return Math.max(0, Math.min(latencyClasses - 1, index));
}
