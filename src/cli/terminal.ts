import type { Operations } from "./operations.ts";

/** An output as the command line uses it: a real stream, or a collector in a test. */
export interface Output {
  write(text: string | Uint8Array): unknown;
  readonly isTTY?: boolean;
  readonly columns?: number;
}

/** What surrounds a run of the command line; nothing else of the process is touched by commands and renderers. */
export interface Surroundings {
  readonly operations: Operations;
  readonly stdout: Output;
  readonly stderr: Output;
  readonly env: Readonly<Record<string, string | undefined>>;
  /** Current folder. */
  readonly folder: string;
  readonly version: string;
  /** Asks on the terminal; absent when nobody can answer. */
  readonly ask?: (question: string, signal: AbortSignal) => Promise<string>;
  readonly signals: Signals;
}

/** Signals that arrive: by default they abort the operation; while a QEMU has the terminal they are its business. */
export interface Signals {
  readonly abort: AbortSignal;
  /** The signal that aborted, if one did. */
  readonly received: () => NodeJS.Signals | null;
  /**
   * From here on signals are passed on to the process with this pid; Ctrl-C only if it is in a session of its own, for else the terminal sends
   * it there too.
   */
  handOver(pid: number, ownSession?: boolean): void;
  /** The process has ended: signals abort again. */
  takeBack?(): void;
  /**
   * While held, the first Ctrl-C only has its meaning explained; the next one, and any other signal, abort as ever. @returns ends it
   */
  hold?(explain: () => void): () => void;
}

export const signalNumbers: Readonly<Record<string, number>> = {
  SIGHUP: 1,
  SIGINT: 2,
  SIGQUIT: 3,
  SIGILL: 4,
  SIGTRAP: 5,
  SIGABRT: 6,
  SIGBUS: 7,
  SIGFPE: 8,
  SIGKILL: 9,
  SIGSEGV: 11,
  SIGPIPE: 13,
  SIGALRM: 14,
  SIGTERM: 15,
};

/** A shell's way to say that a process was ended by a signal: 130 for SIGINT. */
export function signalExitCode(name: string): number {
  return 128 + (signalNumbers[name] ?? 0);
}

const fallbackColumns = 78;

/** Characters in a line of this output; of a pipe, 78, so that its text does not depend on the window beside it. */
export function columnsOf(output: Output): number {
  return output.isTTY === true && output.columns !== undefined && output.columns > 0 ? output.columns : fallbackColumns;
}

/** NO_COLOR wins, then FORCE_COLOR, then whether a terminal reads it (https://no-color.org). */
export function wantsColor(output: Output, env: Surroundings["env"]): boolean {
  if ((env.NO_COLOR ?? "") !== "") return false;
  const forced = env.FORCE_COLOR;
  if (forced !== undefined) return forced !== "0" && forced !== "false";
  return output.isTTY === true && env.TERM !== "dumb";
}
