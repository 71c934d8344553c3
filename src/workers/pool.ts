import { availableParallelism } from "node:os";
import type { MessagePort, Worker } from "node:worker_threads";
import { FixedramError } from "../errors.ts";
import { entryFile } from "../installation.ts";
import {
  type Job,
  type Preparation,
  type Reply,
  type TaskInput,
  type TaskOutput,
  type TaskTable,
  unpackError,
} from "./protocol.ts";
import { startWorker } from "./start.ts";
import type { Tasks } from "./tasks.ts";

/** Most workers of a pool: beyond that a disk or the memory's bandwidth is the limit. */
const mostWorkers = 8;

export interface PoolOptions {
  /** Workers at most; default as many as there are processors, 8 at most. They start when there is something to do. */
  readonly size?: number;
  /** For tests: another entry file. */
  readonly entry?: string;
}

export interface RunOptions {
  /** Stops the task; `run` then rejects with its reason, after the task has returned. */
  readonly signal?: AbortSignal | undefined;
  readonly onMessage?: (message: unknown) => void;
  /** Goes to the worker without a copy. */
  readonly transfer?: readonly (ArrayBuffer | MessagePort)[];
}

interface Waiting {
  readonly job: Job;
  readonly options: RunOptions;
  readonly resolve: (output: unknown) => void;
  readonly reject: (error: unknown) => void;
}

/**
 * Threads that do tasks, one each at a time; jobs wait in the order in which they came. Not started: nothing is used.
 *
 * Whoever makes one closes it (`await using`). File descriptors in a job's input must stay open until its promise settles.
 */
export class WorkerPool<T extends TaskTable = Tasks> implements AsyncDisposable {
  readonly size: number;
  readonly #entry: string;
  readonly #idle: Worker[] = [];
  readonly #all = new Set<Worker>();
  readonly #queue: Waiting[] = [];
  readonly #running = new Map<Worker, Waiting>();
  #closed = false;

  constructor(options: PoolOptions = {}) {
    this.size = options.size ?? Math.min(availableParallelism(), mostWorkers);
    this.#entry = options.entry ?? entryFile("workers/entry");
  }

  /**
   * Has a worker do a task.
   *
   * @throws what the task threw; `system.worker-died`; the signal's reason
   */
  run<N extends keyof T & string>(
    task: N,
    input: TaskInput<T, N>,
    options: RunOptions = {},
  ): Promise<TaskOutput<T, N>> {
    const { signal } = options;
    if (signal?.aborted) return Promise.reject(signal.reason);
    if (this.#closed) return Promise.reject(new Error("the pool is closed"));
    const flag = new Int32Array(new SharedArrayBuffer(4));
    const cancel = () => {
      Atomics.store(flag, 0, 1);
      this.#forget(flag);
    };
    signal?.addEventListener("abort", cancel, { once: true });
    const done = new Promise<unknown>((resolve, reject) => {
      this.#queue.push({ job: { task, input, flag }, options, resolve, reject });
      this.#next();
    });
    return done.then(
      (output) => {
        signal?.removeEventListener("abort", cancel);
        signal?.throwIfAborted();
        return output as TaskOutput<T, N>;
      },
      (error: unknown) => {
        signal?.removeEventListener("abort", cancel);
        throw signal?.aborted ? signal.reason : error;
      },
    );
  }

  /** Starts every worker, and has each load what `task` takes, while there is time for it. */
  warmUp(task: keyof T & string): void {
    while (!this.#closed && this.#all.size < this.size) {
      const worker = this.#start();
      this.#idle.push(worker);
      worker.unref();
      worker.postMessage({ load: task } satisfies Preparation);
    }
  }

  /** Ends the workers; jobs under way are given up. */
  async close(): Promise<void> {
    this.#closed = true;
    for (const { reject } of this.#queue.splice(0)) reject(new Error("the pool is closed"));
    await Promise.all([...this.#all].map((worker) => worker.terminate()));
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.close();
  }

  #next(): void {
    while (this.#queue.length > 0) {
      const worker = this.#idle.pop() ?? (this.#all.size < this.size ? this.#start() : undefined);
      if (worker === undefined) return;
      const waiting = this.#queue.shift();
      if (waiting === undefined) return;
      this.#running.set(worker, waiting);
      worker.ref();
      worker.postMessage(waiting.job, [...(waiting.options.transfer ?? [])]);
    }
  }

  #start(): Worker {
    const worker = startWorker(this.#entry);
    this.#all.add(worker);
    worker.on("message", (reply: Reply) => this.#take(worker, reply));
    worker.on("error", (error) => this.#lose(worker, error.message));
    worker.on("exit", (code) => this.#lose(worker, `it ended with code ${code}`));
    return worker;
  }

  #take(worker: Worker, reply: Reply): void {
    const waiting = this.#running.get(worker);
    if (waiting === undefined) return;
    if (reply.kind === "message") {
      waiting.options.onMessage?.(reply.message);
      return;
    }
    this.#running.delete(worker);
    this.#idle.push(worker);
    // An idle worker keeps nobody's program from ending.
    worker.unref();
    if (reply.kind === "done") waiting.resolve(reply.output);
    else waiting.reject(unpackError(reply.error));
    this.#next();
  }

  #lose(worker: Worker, why: string): void {
    if (!this.#all.delete(worker)) return;
    const at = this.#idle.indexOf(worker);
    if (at >= 0) this.#idle.splice(at, 1);
    const waiting = this.#running.get(worker);
    this.#running.delete(worker);
    waiting?.reject(
      new FixedramError("system.worker-died", "a worker thread of fixedram ended in the middle of its work", {
        said: why,
        hint: "The machine may be out of memory. Nothing was changed; run the command again.",
      }),
    );
    if (!this.#closed) this.#next();
  }

  /** A job that still waits is done with at once. */
  #forget(flag: Int32Array): void {
    const at = this.#queue.findIndex(({ job }) => job.flag === flag);
    if (at >= 0) this.#queue.splice(at, 1)[0]?.reject(new Error("cancelled"));
  }
}
