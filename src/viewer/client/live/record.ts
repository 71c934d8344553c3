/** The recording as it has come so far, and which moment of it is shown. */
import { batch, computed, signal } from "@preact/signals";
import {
  FrameKind,
  FrameReader,
  type LiveState,
  latencyBound,
  latencyClasses,
  mostSteps,
  StepField,
  stepFields,
} from "../../shared/live.ts";

export const live = signal<LiveState | null>(null);
/** Moves on when groups or steps have changed. */
const version = signal(0);
/** The moment that is shown, milliseconds since the recording began; null: the newest. */
export const at = signal<number | null>(null);

let groups: Uint16Array[] = [];
export const steps = new Uint32Array(mostSteps * stepFields);

/** What the map shows of the recording: groups that came by step `limit`. A new object whenever that may look different. */
export interface Moment {
  readonly what: LiveState["what"];
  readonly group: number;
  readonly groups: readonly Uint16Array[];
  readonly limit: number;
  /** Milliseconds of a step. */
  readonly stepTime: number;
}

export const moment = computed<Moment | null>(() => {
  void version.value;
  const state = live.value;
  if (state === null) return null;
  const limit = at.value === null ? mostSteps : Math.floor(at.value / state.stepTime);
  return { what: state.what, group: state.group, groups, limit, stepTime: state.stepTime };
});

const reader = new FrameReader();

/** Takes a piece of GET api/live. */
export function takeChunk(chunk: Uint8Array): void {
  batch(() => {
    let changed = false;
    reader.push(chunk, (kind, payload) => {
      if (kind === FrameKind.state) takeState(payload);
      else if (kind === FrameKind.groups) takeGroups(payload);
      else if (kind === FrameKind.steps) takeSteps(payload);
      changed ||= kind !== FrameKind.state;
    });
    if (changed) version.value++;
  });
}

function takeState(payload: Uint8Array): void {
  const state = JSON.parse(new TextDecoder().decode(payload)) as LiveState;
  if (state.renew) {
    groups = state.pages.map((pages) => new Uint16Array(Math.ceil(pages / state.group)));
    steps.fill(0);
    version.value++;
  }
  live.value = state;
}

function takeGroups(payload: Uint8Array): void {
  const [block = 0, first = 0, count = 0] = new Uint32Array(payload.buffer, 0, 3);
  groups[block]?.set(new Uint16Array(payload.buffer, 12, count), first);
}

function takeSteps(payload: Uint8Array): void {
  const [first = 0, count = 0] = new Uint32Array(payload.buffer, 0, 2);
  steps.set(new Uint32Array(payload.buffer, 8, count * stepFields), first * stepFields);
}

/** Milliseconds that the recording lasts so far. */
export const duration = computed(() => live.value?.now ?? 0);

/** Sums over some time steps. */
export interface Totals {
  readonly events: number;
  /** By kind. */
  readonly pages: readonly number[];
  readonly latency: readonly number[];
}

/** @param end steps [first, end) */
export function totalsOf(first: number, end: number): Totals {
  const sums = Array<number>(stepFields).fill(0);
  const stop = Math.min(end, mostSteps) * stepFields;
  for (let i = first * stepFields; i < stop; i++) {
    const field = i % stepFields;
    sums[field] = (sums[field] ?? 0) + (steps[i] ?? 0);
  }
  return {
    events: sums[StepField.events] ?? 0,
    pages: [0, ...sums.slice(StepField.pages + 1, StepField.latency)],
    latency: sums.slice(StepField.latency),
  };
}

/** Sums up to the moment that is shown. */
export const totals = computed<Totals | null>(() => {
  const now = moment.value;
  return now === null ? null : totalsOf(0, Math.min(now.limit + 1, live.peek()?.steps ?? 0));
});

/**
 * Microseconds that `part` of the faults took at most, between the bounds of their class by how many of it there are; null: there were none.
 */
export function latencyAt(latency: readonly number[], part: number): number | null {
  const all = latency.reduce((sum, count) => sum + count, 0);
  if (all === 0) return null;
  let left = all * part;
  for (let i = 0; i < latencyClasses; i++) {
    const count = latency[i] ?? 0;
    if (count > 0 && left <= count) return latencyBound(i) / 2 + (latencyBound(i) / 2) * (left / count);
    left -= count;
  }
  return latencyBound(latencyClasses - 1);
}
