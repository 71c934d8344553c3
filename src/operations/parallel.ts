import { PageBitmap } from "../bytes/bitmap.ts";
import { nodeCount, nodePages } from "../fixedram/digest-table.ts";
import type { NodeScreen } from "../fixedram/verify.ts";
import type { FileStore } from "../storage/file-store.ts";
import { WorkerPool } from "../workers/pool.ts";
import type { TaskInput, TaskOutput } from "../workers/protocol.ts";
import type { Tasks } from "../workers/tasks.ts";

/** Bytes of pages below which threads do not pay: starting them takes some 50 ms. */
export const worthThreads = 96 * 2 ** 20;
/** Nodes of a job: 32 MiB of 4 KiB pages, so that the last jobs end at about the same time. */
export const jobNodes = 16;
const bitBytes = nodePages / 8;

/** Jobs that are made beforehand for each thread. */
const ahead = 2;

/**
 * Has a pool do all jobs, made as they are needed, and gives each output in the order in which they end. After a failure no
 * job is begun; when this returns or throws, no thread works on any.
 *
 * @throws what a task, `take` or the jobs throw first; the signal's reason
 */
export async function eachJob<N extends keyof Tasks & string, More>(
  pool: WorkerPool,
  task: N,
  jobs: Iterable<{ readonly input: TaskInput<Tasks, N>; readonly more: More }>,
  take: (output: TaskOutput<Tasks, N>, more: More) => void,
  signal?: AbortSignal,
): Promise<void> {
  const stop = new AbortController();
  const either = signal === undefined ? stop.signal : AbortSignal.any([stop.signal, signal]);
  const running = new Set<Promise<void>>();
  try {
    for (const { input, more } of jobs) {
      signal?.throwIfAborted();
      const done: Promise<void> = pool
        .run(task, input, { signal: either })
        .then((output) => {
          if (!stop.signal.aborted) take(output, more);
        })
        .finally(() => running.delete(done));
      done.catch(() => {});
      running.add(done);
      if (running.size >= pool.size * ahead) await Promise.race(running);
    }
    await Promise.all(running);
  } catch (error) {
    stop.abort(error);
    throw error;
  } finally {
    await Promise.allSettled(running);
  }
}

/** Compares the pages of a sealed file with their digests, in threads that start when a block is large enough. */
export class PageScreen implements AsyncDisposable {
  readonly #file: FileStore;
  readonly #signal: AbortSignal | undefined;
  readonly #worth: number;
  #pool: WorkerPool | null = null;

  /** @param worth bytes of a block's pages below which no threads are started for it */
  constructor(file: FileStore, signal: AbortSignal | undefined, worth = worthThreads) {
    this.#file = file;
    this.#signal = signal;
    this.#worth = worth;
  }

  readonly screen: NodeScreen = async ({ sealed, bitmap, expected }, onBytes) => {
    const { pageSize, pages, pagesOffset, tableOffset, present } = sealed;
    if (this.#pool === null && present * pageSize < this.#worth) return null;
    this.#pool ??= new WorkerPool();
    const { fd, name } = this.#file;
    const block = { file: { fd, name }, pageSize, pages, pagesOffset, tableOffset };
    const suspects: number[] = [];
    function* jobs() {
      for (let firstNode = 0; firstNode < nodeCount(pages); firstNode += jobNodes) {
        const end = firstNode + jobNodes;
        const bits = bitmap.bytes.slice(firstNode * bitBytes, end * bitBytes);
        const wanted = expected.slice(firstNode * 32, end * 32);
        if (bits.every((byte) => byte === 0) && wanted.every((byte) => byte === 0)) continue;
        yield { input: { ...block, firstNode, bits, expected: wanted }, more: { firstNode, bits } };
      }
    }
    await eachJob(
      this.#pool,
      "screen-pages",
      jobs(),
      (output, { firstNode, bits }) => {
        suspects.push(...output.map((node) => firstNode + node));
        onBytes(new PageBitmap(bits.length * 8, bits).count() * pageSize);
      },
      this.#signal,
    );
    return suspects.sort((a, b) => a - b);
  };

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#pool?.close();
  }
}
