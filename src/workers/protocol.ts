/**
 * What goes between a pool and its workers.
 *
 *     pool    -> worker   load { task }               no answer
 *     pool    -> worker   run { task, input, flag }
 *     worker  -> pool     message ...                 any number, while the task runs
 *     worker  -> pool     done { output } | failed { error }
 *
 * A job is stopped through `flag`, 4 bytes of shared memory, which a task that never awaits can look at too.
 */
import { type ErrorJson, FixedramError } from "../errors.ts";

export interface TaskContext {
  /** Whoever asked does not want the answer any more: return soon, with anything. Cheap: one load. */
  cancelled(): boolean;
  /** Tells the caller's `onMessage` something on the way; cloned, so rather a few hundred than a million. */
  send(message: unknown, transfer?: readonly ArrayBuffer[]): void;
}

/** A task's module: the same names everywhere, loaded in a worker only when it is first asked for. */
export interface TaskModule {
  // biome-ignore lint/suspicious/noExplicitAny: inputs are contravariant; TaskInput gives callers the real type
  run(input: any, context: TaskContext): unknown;
}

/** Name of a task to its module. */
export type TaskTable = Readonly<Record<string, () => Promise<TaskModule>>>;

type RunOf<T extends TaskTable, N extends keyof T> = Awaited<ReturnType<T[N]>>["run"];
export type TaskInput<T extends TaskTable, N extends keyof T> = Parameters<RunOf<T, N>>[0];
export type TaskOutput<T extends TaskTable, N extends keyof T> = Awaited<ReturnType<RunOf<T, N>>>;

export interface Job {
  readonly task: string;
  readonly input: unknown;
  readonly flag: Int32Array<SharedArrayBuffer>;
}

/** A task that will be asked for: its module is loaded. */
export interface Preparation {
  readonly load: string;
}

export type Reply =
  | { readonly kind: "message"; readonly message: unknown }
  | { readonly kind: "done"; readonly output: unknown }
  | { readonly kind: "failed"; readonly error: ErrorJson | { readonly stack: string } };

/** An error as it goes from a thread to another. */
export function packError(error: unknown): ErrorJson | { readonly stack: string } {
  if (error instanceof FixedramError) return error.toJSON();
  return { stack: error instanceof Error ? (error.stack ?? error.message) : String(error) };
}

export function unpackError(error: ErrorJson | { readonly stack: string }): Error {
  return "code" in error ? FixedramError.from(error) : new Error(`in a worker: ${error.stack}`);
}
