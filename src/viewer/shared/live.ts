/**
 * What a live view is told (docs/viewer.md, "Live"): a recording of how pages came, of a size that does not grow with their number.
 *
 * Each block is cut into groups of `group` pages, a power of two that keeps all groups of all blocks below 2^22. A group has one
 * number: 0, or its kind x 8192 + the time step in which the first of its pages came. Time is cut into at most 8192 steps; when
 * they are used up, two become one.
 */

/** Groups of pages at most, over all blocks. */
export const mostGroups = 2 ** 22;
/** Time steps at most. */
export const mostSteps = 8192;
/** Milliseconds of a step at first. */
export const firstStep = 1;

export type LiveWhat = "resume" | "save";

/** Kinds of a resume, the stronger the higher: of a group's pages the strongest counts. 0: not in yet. */
export const resumeKinds = ["waiting", "pushed", "prefetched", "along", "faulted"] as const;
/** Kinds of a save: how often a page came. 0: not yet; from 3 on twice, to 4, 8, 16 times, more. */
export const saveKinds = ["waiting", "zero", "cold", "warm", "warmer", "hot", "hotter", "hottest"] as const;

/** Kind of a page that came `times` times. */
export function heatOf(times: number): number {
  return times <= 1 ? 2 : Math.min(7, 2 + Math.ceil(Math.log2(times)));
}

export function groupValue(kind: number, step: number): number {
  return kind * mostSteps + step;
}

export function kindOf(value: number): number {
  return Math.floor(value / mostSteps);
}

export function stepOf(value: number): number {
  return value % mostSteps;
}

/** Classes of how long faults took: up to 16 µs, 32 µs, 64 µs, ..., the last takes all that is longer. */
export const latencyClasses = 16;

/** Microseconds. */
export function latencyBound(index: number): number {
  return 16 * 2 ** index;
}

/** Numbers of a time step, u32 each. */
export const StepField = {
  /** Faults of a resume; batches of pages of a save. */
  events: 0,
  /** Pages by kind; of a save: 1 zero pages, 2 pages that came first, 3 pages that came again. */
  pages: 1,
  latency: 8,
} as const;
export const stepFields = StepField.latency + latencyClasses;

export interface LiveMark {
  readonly name: string;
  /** Milliseconds since the recording began. */
  readonly time: number;
}

/** The frame `state`. Times in milliseconds since the recording began. */
export interface LiveState {
  readonly what: LiveWhat;
  /** Everything follows anew: what was told before is forgotten. */
  readonly renew: boolean;
  /** Pages of a group. */
  readonly group: number;
  readonly pages: readonly number[];
  readonly stepTime: number;
  readonly steps: number;
  readonly now: number;
  readonly marks: readonly LiveMark[];
  /** What is known beside the pages, label and value, to be shown as it is. */
  readonly facts: readonly (readonly [label: string, value: string])[];
  /** Pages by kind, of all that was recorded. */
  readonly counts: readonly number[];
  readonly end: { readonly ok: boolean; readonly message: string } | null;
}

/** Kinds of frames. A frame is two u32, little-endian: its kind and the length of what follows, which is padded to 4 bytes. */
export const FrameKind = {
  /** JSON, UTF-8: {@link LiveState}. */
  state: 1,
  /** u32 block, u32 first group, u32 how many, then a u16 each. */
  groups: 2,
  /** u32 first step, u32 how many, then `stepFields` u32 each. */
  steps: 3,
} as const;

/** Takes frames from pieces of a stream, however it was cut. */
export class FrameReader {
  #kept = new Uint8Array(0);

  /** @param take gets each whole frame; its bytes are 4-byte aligned and valid until it returns */
  push(chunk: Uint8Array, take: (kind: number, payload: Uint8Array) => void): void {
    let bytes = chunk;
    if (this.#kept.length > 0) {
      bytes = new Uint8Array(this.#kept.length + chunk.length);
      bytes.set(this.#kept);
      bytes.set(chunk, this.#kept.length);
    }
    let at = 0;
    while (bytes.length - at >= 8) {
      const view = new DataView(bytes.buffer, bytes.byteOffset + at, 8);
      const length = view.getUint32(4, true);
      const whole = 8 + Math.ceil(length / 4) * 4;
      if (bytes.length - at < whole) break;
      take(view.getUint32(0, true), bytes.slice(at + 8, at + 8 + length));
      at += whole;
    }
    this.#kept = bytes.slice(at);
  }
}

/** @param head u32 each @param body follows as it is */
export function frame(kind: number, head: readonly number[], body: Uint8Array): Uint8Array {
  const length = head.length * 4 + body.length;
  const bytes = new Uint8Array(8 + Math.ceil(length / 4) * 4);
  const view = new DataView(bytes.buffer);
  for (const [i, value] of [kind, length, ...head].entries()) view.setUint32(i * 4, value, true);
  bytes.set(body, 8 + head.length * 4);
  return bytes;
}
