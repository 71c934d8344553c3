import type { RamBlock } from "../../pages/block.ts";
import { dataBytes } from "../../pages/count.ts";
import type { PageMap } from "../../pages/map.ts";
import type { Store } from "../../pages/store.ts";
import { reachOf, type Scan } from "../../search/pattern.ts";
import { type Margins, planBlock, type SearchJob } from "../../search/plan.ts";
import { type Found, hitFields, type Rest, Searcher, type SearchLimits } from "../../search/searcher.ts";
import { descriptorsOf } from "../../storage/descriptor.ts";
import { WorkerPool } from "../../workers/pool.ts";
import { truncated } from "../../workers/tasks/compare.ts";

/** Something that was found. */
export interface MemoryHit {
  readonly block: RamBlock;
  /** Bytes in the block. */
  readonly offset: number;
  readonly length: number;
  /** The hit with what stands around it; `before` bytes of it stand before the hit. Of a string: the string. */
  readonly context: Uint8Array;
  readonly before: number;
}

export interface SearchPagesOptions {
  readonly signal?: AbortSignal | undefined;
  /** Only in these blocks. */
  readonly blocks: readonly RamBlock[];
  /** Hits at most. */
  readonly most: number;
  /** Bytes of context before and after a hit. */
  readonly context: { readonly before: number; readonly after: number };
  /** Threads at most; 0: none. Default: as many as there are processors, and none for little data. */
  readonly threads?: number | undefined;
  /** Bytes of data that were searched since the last call. */
  readonly onBytes?: (bytes: number) => void;
}

/** Searches that this process has begun. */
let searches = 0;

/** Below this many bytes of data a thread takes longer to start than to do its work. */
const worthThreads = 64 * 2 ** 20;

/**
 * Gives every hit in the pages that hold data, in block order. Pages of zeros are not searched, but a hit may reach into them.
 * Memory: a few batches' plans, a window of 512 KiB a thread, and of each batch under way {@link mostHits} hits.
 *
 * @throws `file.truncated`, `system.*`; the signal's reason
 */
export async function* searchPages(
  map: PageMap,
  scan: Scan,
  options: SearchPagesOptions,
): AsyncGenerator<MemoryHit, void, undefined> {
  const { context, most, signal, onBytes } = options;
  const limits: SearchLimits = { ...context, hits: most };
  const { before, after } = reachOf(scan);
  const margins: Margins = {
    bytes: Math.max(before + context.before, after + context.after),
    zerosEnd: scan.kind === "strings",
  };
  const engine = await engineFor(map, scan, limits, options);
  const isRegex = scan.kind === "regex";
  try {
    for (const block of options.blocks) {
      let free = 0;
      for await (const [bytes, found] of inOrder(batches(planBlock(map, block, margins)), engine, signal)) {
        for (const hit of hitsOf(found, block)) {
          // An expression's matches don't overlap, whichever part they begin in.
          if (isRegex && hit.offset < free) continue;
          free = hit.offset + hit.length;
          yield hit;
        }
        onBytes?.(bytes);
      }
    }
  } finally {
    await engine.close();
  }
}

function* hitsOf({ hits, bytes }: Found, block: RamBlock): Generator<MemoryHit, void, undefined> {
  let at = 0;
  for (let i = 0; i < hits.length; i += hitFields) {
    const count = hits[i + 3] ?? 0;
    const context = bytes.subarray(at, at + count);
    yield { block, offset: hits[i] ?? 0, length: hits[i + 1] ?? 0, before: hits[i + 2] ?? 0, context };
    at += count;
  }
}

/** Jobs that are done in one go: what a guest has in use lies scattered, and a message for each run would cost more than its search. */
interface Batch {
  readonly jobs: readonly SearchJob[];
  /** Bytes of data. */
  readonly bytes: number;
}

const batchBytes = 8 * 2 ** 20;
const batchJobs = 1000;

function* batches(plan: Iterable<SearchJob>): Generator<Batch, void, undefined> {
  let jobs: SearchJob[] = [];
  let bytes = 0;
  for (const job of plan) {
    jobs.push(job);
    bytes += job.to - job.data;
    if (bytes < batchBytes && jobs.length < batchJobs) continue;
    yield { jobs, bytes };
    jobs = [];
    bytes = 0;
  }
  if (jobs.length > 0) yield { jobs, bytes };
}

async function* inOrder(
  plan: Generator<Batch, void, undefined>,
  engine: Engine,
  signal: AbortSignal | undefined,
): AsyncGenerator<readonly [number, Found], void, undefined> {
  const working: { readonly batch: Batch; readonly found: Promise<Found> }[] = [];
  try {
    for (let more = true; more || working.length > 0; ) {
      while (more && working.length < engine.depth) {
        const next = plan.next();
        more = next.done !== true;
        if (next.done === true) break;
        const found = engine.search(next.value.jobs, signal);
        // Awaited in its turn.
        found.catch(() => {});
        working.push({ batch: next.value, found });
      }
      const first = working.shift();
      if (first === undefined) break;
      const { bytes } = first.batch;
      let { jobs } = first.batch;
      let found = await first.found;
      signal?.throwIfAborted();
      // What is dense with hits is told in parts, one after the other.
      for (; found.rest !== null; found = await engine.search(jobs, signal)) {
        yield [0, found];
        signal?.throwIfAborted();
        jobs = jobsFrom(jobs, found.rest);
      }
      signal?.throwIfAborted();
      yield [bytes, found];
    }
  } finally {
    await Promise.allSettled(working.map(({ found }) => found));
  }
}

function jobsFrom(jobs: readonly SearchJob[], { job, from }: Rest): readonly SearchJob[] {
  return jobs.slice(job).map((each, i) => (i === 0 ? { ...each, from } : each));
}

interface Engine {
  /** Jobs to have under way. */
  readonly depth: number;
  search(jobs: readonly SearchJob[], signal: AbortSignal | undefined): Promise<Found>;
  close(): Promise<void>;
}

async function engineFor(
  map: PageMap,
  scan: Scan,
  limits: SearchLimits,
  { threads, signal }: SearchPagesOptions,
): Promise<Engine> {
  const files = descriptorsOf(map.stores);
  // An expression may take for ever, and only a thread can be ended.
  const few = async () => scan.kind !== "regex" && (await dataBytes(map, signal)) < worthThreads;
  const none = threads === 0 || (threads === undefined && (await few()));
  if (none || files === null) return hereEngine(map.stores, scan, limits);
  const pool = new WorkerPool(threads === undefined ? {} : { size: threads });
  const search = ++searches;
  // Nobody waits for the end of a window that may never come.
  const end = () => void pool.close();
  signal?.addEventListener("abort", end, { once: true });
  return {
    depth: 2 * pool.size,
    search: (jobs, signalled) => pool.run("search", { search, jobs, scan, limits, files }, { signal: signalled }),
    async close() {
      signal?.removeEventListener("abort", end);
      await pool.close();
    },
  };
}

/** In this thread, for any store; one job at a time. */
function hereEngine(stores: readonly Store[], scan: Scan, limits: SearchLimits): Engine {
  const searcher = new Searcher(scan, limits);
  return {
    depth: 1,
    async search(jobs, signal) {
      for (const job of jobs) {
        searcher.begin(job);
        for (let reads = searcher.next(); reads !== null; reads = searcher.next()) {
          for (const { store, position, target } of reads) {
            const from = stores[store];
            if (from === undefined) throw new RangeError("no such store");
            const count = await from.read(target, position, signal);
            if (count < target.length) throw truncated(from.name, position + count);
          }
          searcher.scan();
        }
      }
      return searcher.finish();
    },
    async close() {},
  };
}
