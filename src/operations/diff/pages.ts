import { Comparer } from "../../diff/comparer.ts";
import { type DifferenceKind, DifferenceList, differenceKinds } from "../../diff/differences.ts";
import { type BlockPair, type CompareJob, PairPlan, pairBlocks, type Trust } from "../../diff/plan.ts";
import { dataBytes } from "../../pages/count.ts";
import type { PageMap } from "../../pages/map.ts";
import type { Store } from "../../pages/store.ts";
import { descriptorsOf } from "../../storage/descriptor.ts";
import { WorkerPool } from "../../workers/pool.ts";
import { truncated } from "../../workers/tasks/compare.ts";

/** A run of pages of one block that differ in one way. */
export interface PageDifference {
  /** The block's name, bytes as latin1. */
  readonly block: string;
  readonly kind: DifferenceKind;
  /** Page index, and how many. */
  readonly first: number;
  readonly pages: number;
}

export interface DiffPagesOptions {
  readonly signal?: AbortSignal;
  /** Threads at most; 0: none, all is done here. Default: as many as there are processors, and none for little data. */
  readonly threads?: number;
  /** What may be taken for equal without being read, for a pair of blocks. */
  readonly trust?: (pair: BlockPair) => Trust | null;
  /** A pair of blocks begins; what is given from here on is theirs. */
  readonly onBlock?: (pair: BlockPair) => void;
  /** Bytes compared since the last call, and pages of this pair of blocks that were trusted so far. */
  readonly onPages?: (bytes: number, trusted: number) => void;
}

/** Below this many bytes of data a thread takes longer to start than to do its work. */
const worthThreads = 64 * 2 ** 20;

/**
 * Compares the pages of two page maps, block by block, those of one name with each other; gives every run that differs, in
 * block and page order. What only one map has is compared with zeros. Memory: a few jobs of 16 MiB's plans, two windows of
 * 256 KiB a thread.
 *
 * @throws `file.truncated`, `system.*`; the signal's reason
 */
export async function* diffPages(
  a: PageMap,
  b: PageMap,
  options: DiffPagesOptions = {},
): AsyncGenerator<PageDifference, void, undefined> {
  const engine = await engineFor(a, b, options);
  try {
    for (const pair of pairBlocks(a, b)) {
      options.onBlock?.(pair);
      yield* diffPair(a, b, pair, engine, options);
    }
  } finally {
    await engine.close();
  }
}

interface Working {
  readonly bytes: number;
  readonly trusted: number;
  readonly differences: Promise<Float64Array<ArrayBuffer>>;
}

async function* diffPair(
  a: PageMap,
  b: PageMap,
  pair: BlockPair,
  engine: Engine,
  { trust, signal, onPages }: DiffPagesOptions,
): AsyncGenerator<PageDifference, void, undefined> {
  const plan = new PairPlan(a, b, pair, trust?.(pair) ?? null);
  const working: Working[] = [];
  try {
    for (let more = true; more || working.length > 0; ) {
      while (more && working.length < engine.depth) {
        const job = plan.next();
        more = job !== null;
        if (job === null) break;
        const differences = engine.compare(job, signal);
        // Awaited in its turn.
        differences.catch(() => {});
        working.push({ bytes: plan.bytes, trusted: plan.trusted, differences });
      }
      const next = working.shift();
      if (next === undefined) break;
      const list = new DifferenceList(await next.differences);
      signal?.throwIfAborted();
      for (let i = 0; i < list.length; i++) {
        const kind = differenceKinds[list.kind(i)];
        if (kind !== undefined) yield { block: pair.name, kind, first: list.first(i), pages: list.pages(i) };
      }
      onPages?.(next.bytes, next.trusted);
    }
    onPages?.(0, plan.trusted);
  } finally {
    await Promise.allSettled(working.map(({ differences }) => differences));
  }
}

/** Who does the jobs. */
interface Engine {
  /** Jobs to have under way. */
  readonly depth: number;
  compare(job: CompareJob, signal: AbortSignal | undefined): Promise<Float64Array<ArrayBuffer>>;
  close(): Promise<void>;
}

async function engineFor(a: PageMap, b: PageMap, { threads, signal }: DiffPagesOptions): Promise<Engine> {
  const files = [descriptorsOf(a.stores), descriptorsOf(b.stores)] as const;
  const [ofA, ofB] = files;
  const few = async (): Promise<boolean> => (await dataBytes(a, signal)) + (await dataBytes(b, signal)) < worthThreads;
  const none = threads === 0 || (threads === undefined && (await few()));
  if (none || ofA === null || ofB === null) return new HereEngine([a.stores, b.stores]);
  const pool = new WorkerPool(threads === undefined ? {} : { size: threads });
  return {
    depth: 2 * pool.size,
    compare: (job, signal) => pool.run("compare", { job, files: [ofA, ofB] }, { signal, transfer: [job.runs.buffer] }),
    close: () => pool.close(),
  };
}

/** In this thread, for any store; one job at a time. */
class HereEngine implements Engine {
  readonly depth = 1;
  readonly #comparer = new Comparer();
  readonly #stores: readonly [readonly Store[], readonly Store[]];

  constructor(stores: readonly [readonly Store[], readonly Store[]]) {
    this.#stores = stores;
  }

  async compare(job: CompareJob, signal: AbortSignal | undefined): Promise<Float64Array<ArrayBuffer>> {
    const comparer = this.#comparer;
    const found = new DifferenceList();
    comparer.begin(job);
    while (comparer.plan(found)) {
      await Promise.all([this.#fill(0, signal), this.#fill(1, signal)]);
      comparer.compare(found);
    }
    return found.finish();
  }

  async close(): Promise<void> {}

  async #fill(side: 0 | 1, signal: AbortSignal | undefined): Promise<void> {
    const window = this.#comparer.windows[side];
    for (let i = 0; i < window.reads; i++) {
      const store = this.#stores[side][window.store[i] ?? 0];
      if (store === undefined) throw new RangeError("no such store");
      const at = window.at[i] ?? 0;
      const length = window.length[i] ?? 0;
      const position = window.position[i] ?? 0;
      const count = await store.read(window.bytes.subarray(at, at + length), position, signal);
      if (count < length) throw truncated(store.name, position + count);
    }
  }
}
