import type { ServerResponse } from "node:http";
import { safe } from "../../../bytes/text.ts";
import { FrameKind, frame, type LiveState, type LiveWhat, stepFields } from "../../shared/live.ts";
import type { Recording } from "./recording.ts";

/** Milliseconds between two words to whoever looks on. */
const apart = 100;
/** Bytes that wait for somebody slow before nothing more is sent to them until they have caught up. */
const mostWaiting = 4 * 2 ** 20;
/** Bytes a millisecond that are told on an average, at most. */
const mostRate = 16_000;
/** Groups that are told, or skipped as empty, together. */
const groupsAtOnce = 2 ** 14;

type Facts = LiveState["facts"];

/**
 * Tells everybody who looks on what a recording holds: all of it to who comes, then what is new. Who is too slow misses what is between, and
 * gets all of it anew; nothing piles up here.
 */
export class Broadcast {
  readonly what: LiveWhat;
  readonly recording: Recording;
  /** Label and value of what is known beside the pages. */
  facts: Facts = [];
  readonly #now: () => number;
  readonly #streams = new Map<ServerResponse, { behind: boolean }>();
  #timer: NodeJS.Timeout | null = null;
  #end: (LiveState["end"] & object) | null = null;
  #ended = 0;
  /** Milliseconds of the process's clock. */
  #notBefore = 0;

  /** @param now milliseconds since the recording began */
  constructor(what: LiveWhat, recording: Recording, now: () => number) {
    this.what = what;
    this.recording = recording;
    this.#now = now;
  }

  /** Milliseconds since the recording began, until it ended. */
  get now(): number {
    return this.#end === null ? this.#now() : this.#ended;
  }

  get over(): boolean {
    return this.#end !== null;
  }

  listen(response: ServerResponse): void {
    response.writeHead(200, { "content-type": "application/octet-stream" });
    response.flushHeaders();
    this.flush();
    for (const bytes of this.#everything()) response.write(bytes);
    if (this.over) {
      response.end();
      return;
    }
    this.#add(response, false);
  }

  /** There is nothing more to come. @param message of a failure, what it was */
  finish(ok: boolean, message: string): void {
    if (this.over) return;
    this.#ended = this.#now();
    this.recording.step(this.#ended);
    this.#end = { ok, message: safe(message) };
    this.flush();
    this.close();
  }

  /** Those who listen to another one listen to this one now, from its beginning. */
  takeOver(other: Broadcast): void {
    for (const response of other.#streams.keys()) this.#add(response, true);
    other.#streams.clear();
    other.close();
  }

  #add(response: ServerResponse, behind: boolean): void {
    this.#streams.set(response, { behind });
    response.once("close", () => this.#streams.delete(response));
    this.#timer ??= setInterval(() => this.flush(), apart);
    this.#timer.unref();
  }

  close(): void {
    if (this.#timer !== null) clearInterval(this.#timer);
    this.#timer = null;
    for (const response of this.#streams.keys()) response.end();
    this.#streams.clear();
  }

  /** Tells what is new. What was told takes its time before more is: this thread has other work. */
  flush(): void {
    const began = performance.now();
    if (this.#streams.size === 0 || (began < this.#notBefore && !this.over)) return;
    let bytes = 0;
    const write = (response: ServerResponse, piece: Uint8Array): void => {
      bytes += piece.length;
      response.write(piece);
    };
    const { all, ranges, firstStep } = this.recording.takeWritten();
    let news: Uint8Array[] | null = null;
    for (const [response, state] of this.#streams) {
      if (response.writableLength > mostWaiting) {
        state.behind = true;
        continue;
      }
      if (all || state.behind) for (const piece of this.#everything()) write(response, piece);
      else {
        news ??= [
          ...ranges.map(({ block, first, count }) => this.#groups(block, first, count)),
          ...this.#steps(Math.min(firstStep, this.recording.used)),
          this.#state(false),
        ];
        for (const piece of news) write(response, piece);
      }
      state.behind = false;
    }
    this.#notBefore = began + bytes / mostRate;
  }

  *#everything(): Generator<Uint8Array> {
    yield this.#state(true);
    for (const [block, groups] of this.recording.groups.entries()) {
      for (let first = 0; first < groups.length; first += groupsAtOnce) {
        const count = Math.min(groupsAtOnce, groups.length - first);
        if (groups.subarray(first, first + count).some((value) => value !== 0)) yield this.#groups(block, first, count);
      }
    }
    yield* this.#steps(0);
    yield this.#state(false);
  }

  #groups(block: number, first: number, count: number): Uint8Array {
    const values = this.recording.groups[block]?.subarray(first, first + count) ?? new Uint16Array(0);
    const bytes = new Uint8Array(values.buffer, values.byteOffset, values.byteLength);
    return frame(FrameKind.groups, [block, first, count], bytes);
  }

  #steps(first: number): Uint8Array[] {
    const { steps, used } = this.recording;
    if (first >= used) return [];
    const some = steps.subarray(first * stepFields, used * stepFields);
    const bytes = new Uint8Array(some.buffer, some.byteOffset, some.byteLength);
    return [frame(FrameKind.steps, [first, used - first], bytes)];
  }

  #state(renew: boolean): Uint8Array {
    const { group, pages, stepTime, used, marks, counts } = this.recording;
    const state: LiveState = {
      ...{ what: this.what, renew, group, pages, stepTime, steps: used, now: this.now, marks, counts },
      facts: this.facts.map(([label, value]) => [label, safe(value)] as const),
      end: this.#end,
    };
    return frame(FrameKind.state, [], new TextEncoder().encode(JSON.stringify(state)));
  }
}
