import { ScanMemory } from "./memory.ts";
import { reachOf, type Scan } from "./pattern.ts";
import { runFields, type SearchJob, zeroStore } from "./plan.ts";
import { type Scanner, scannerOf } from "./scan.ts";

/** What was found, in block order. */
export interface Found {
  /** Four numbers a hit: offset in the block and length (bytes), then how many bytes of context stand before the hit, and how many in all. */
  readonly hits: Float64Array<ArrayBuffer>;
  /** The context of all hits, one after the other; of strings the strings. */
  readonly bytes: Uint8Array<ArrayBuffer>;
  /** Where to go on: there is more than is held at once. Null: this is all. */
  readonly rest: Rest | null;
}

/** The job, counted from the last {@link Searcher.finish}, and where in it the next hit begins; bytes in the block. */
export interface Rest {
  readonly job: number;
  readonly from: number;
}

export const hitFields = 4;

export interface SearchLimits {
  /** Bytes of context before and after a hit. */
  readonly before: number;
  readonly after: number;
  /** Hits at most from one {@link Searcher.finish} to the next, and {@link mostHits} at most; 1 at least. */
  readonly hits: number;
}

/** Hits that are held at most, and bytes of their context. */
export const mostHits = 16384;
const mostContext = 4 * 2 ** 20;

/** Bytes that are searched at once: they stay in the processor's cache. */
const windowBytes = 512 * 1024;

/** A read that the next window needs. */
export interface Read {
  readonly store: number;
  readonly position: number;
  readonly target: Uint8Array;
}

/**
 * Searches jobs window by window. The caller does the reads: `next`, the reads, `scan`, until `next` gives null. Where hits are many
 * it stops, and `finish` tells where to go on.
 */
export class Searcher {
  readonly #scan: Scanner;
  readonly #isStrings: boolean;
  readonly #limits: SearchLimits;
  readonly #back: number;
  readonly #ahead: number;
  readonly #buffer: Buffer;
  #job: SearchJob | null = null;
  /** Where the next window's hits may begin, and the loaded range; bytes in the block. */
  #at = 0;
  #end = 0;
  #low = 0;
  #high = 0;
  #hits: number[] = [];
  #contexts: Uint8Array[] = [];
  #contextBytes = 0;
  #begun = 0;
  #rest: Rest | null = null;

  constructor(scan: Scan, limits: SearchLimits) {
    const reach = reachOf(scan);
    this.#isStrings = scan.kind === "strings";
    this.#limits = limits;
    this.#back = Math.max(reach.before, limits.before);
    this.#ahead = reach.after + limits.after;
    const runs = scan.kind === "strings" ? Math.ceil(windowBytes / (scan.least + 1)) + 1 : 0;
    const memory = new ScanMemory(this.#back + windowBytes + this.#ahead, runs);
    this.#buffer = memory.window;
    this.#scan = scannerOf(scan, memory);
  }

  begin(job: SearchJob): void {
    this.#begun++;
    this.#job = job;
    this.#at = job.from;
    this.#end = job.from;
  }

  /** The reads of the next window; null when the job is done. */
  next(): readonly Read[] | null {
    const job = this.#job;
    if (job === null || this.#rest !== null) return null;
    this.#at = this.#end;
    if (this.#at >= job.to) return null;
    this.#end = Math.min(job.to, this.#at + windowBytes);
    return this.#load(job, Math.max(0, this.#at - this.#back), this.#end + this.#ahead);
  }

  scan(): void {
    const job = this.#job;
    if (job === null) return;
    const low = this.#low;
    const bytes = this.#buffer.subarray(0, this.#high - low);
    this.#scan(this.#at - low, this.#end - low, bytes.length, (at, length) => {
      const offset = low + at;
      if (offset + length <= job.data) return true;
      if (this.#isFull()) {
        this.#rest = { job: this.#begun - 1, from: offset };
        return false;
      }
      this.#keep(bytes, at, length, offset);
      return true;
    });
  }

  /** What was found since the last time, in the jobs' order. */
  finish(): Found {
    const bytes = new Uint8Array(this.#contextBytes);
    let at = 0;
    for (const each of this.#contexts) {
      bytes.set(each, at);
      at += each.length;
    }
    const found = { hits: new Float64Array(this.#hits), bytes, rest: this.#rest };
    this.#hits = [];
    this.#contexts = [];
    this.#contextBytes = 0;
    this.#begun = 0;
    this.#rest = null;
    return found;
  }

  #isFull(): boolean {
    const most = Math.min(this.#limits.hits, mostHits);
    return this.#hits.length >= most * hitFields || this.#contextBytes >= mostContext;
  }

  #keep(bytes: Buffer, at: number, length: number, offset: number): void {
    const before = this.#isStrings ? 0 : Math.min(at, this.#limits.before);
    const end = this.#isStrings ? at + length : Math.min(bytes.length, at + length + this.#limits.after);
    const context = Uint8Array.from(bytes.subarray(at - before, end));
    this.#hits.push(offset, length, before, context.length);
    this.#contexts.push(context);
    this.#contextBytes += context.length;
  }

  /** Plans the reads for the bytes [low, high), less what lies past a gap in the runs. */
  #load(job: SearchJob, low: number, high: number): Read[] {
    const { runs, pageSize } = job;
    const reads: Read[] = [];
    this.#low = Math.max(low, this.#begin(job));
    let at = this.#low;
    for (let i = 0; i < runs.length && at < high; i += runFields) {
      const start = (runs[i] ?? 0) * pageSize;
      const end = start + (runs[i + 1] ?? 0) * pageSize;
      if (end <= at) continue;
      if (start > at) break;
      const stop = Math.min(end, high);
      const target = this.#buffer.subarray(at - this.#low, stop - this.#low);
      const store = runs[i + 2] ?? 0;
      if (store === zeroStore) target.fill(0);
      else reads.push({ store, position: (runs[i + 3] ?? 0) + at - start, target });
      at = stop;
    }
    this.#high = at;
    return reads;
  }

  /** Where the runs that reach `at` without a gap begin. */
  #begin({ runs, pageSize }: SearchJob): number {
    let begin = 0;
    let end = -1;
    for (let i = 0; i < runs.length; i += runFields) {
      const start = (runs[i] ?? 0) * pageSize;
      if (start > this.#at) break;
      if (start !== end) begin = start;
      end = start + (runs[i + 1] ?? 0) * pageSize;
    }
    return begin;
  }
}
