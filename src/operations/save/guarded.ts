import type { ChildProcess } from "node:child_process";
import type { Socket } from "node:net";
import { FixedramError } from "../../errors.ts";
import { listenerOf, type MigrationListener, pausedSocket } from "../../qemu/migration-socket.ts";
import { startTimeOf } from "../../qemu/process.ts";
import type { QmpClient } from "../../qmp/client.ts";
import { takeGuard } from "./guard-process.ts";
import {
  isAlive,
  type Journal,
  type JournalEntry,
  journalPath,
  readJournal,
  removeJournal,
  writeJournal,
} from "./journal.ts";
import { formerState, putBack, removeLeftOvers } from "./put-back.ts";
import type { GuardReply, GuardRequest, GuardTask, Owner } from "./relay.ts";

/** A save's note and its guard process. */
export interface Guarded {
  /** Adds what has come to exist since the note was written. */
  note(more: Partial<Pick<Journal, "partial" | "folder">>): void;
  /**
   * Has the guard listen for QEMU's connection, and keep it beside us.
   *
   * @throws FixedramError `system.no-guard`
   */
  listen(path: string, owner: Owner | null): Promise<MigrationListener>;
  /** Has the guard read its connection to the end. False: the guard is gone. */
  drain(expected: boolean): Promise<boolean>;
  /** All is as it was: ends the guard and removes the note. */
  done(): Promise<void>;
  /** We could not put things back: the guard goes on trying, and the note stays until somebody has. */
  leave(): void;
}

/** A guard process that may not hear us yet. */
export interface Guard {
  readonly process: ChildProcess;
  /** Where its note will be. */
  readonly journal: string;
  /** Settles, and never fails: null, or why the guard cannot do its part. */
  readonly ready: Promise<string | null>;
}

/** Starts the guard of a save of the QEMU at this address; it takes as long as a Node takes to start, unless there is a spare one. */
export function startGuard(qmp: string): Guard {
  const journal = journalPath(qmp);
  const process = takeGuard();
  const ready = heard(process);
  // When it cannot be sent the guard is about to end, or never was: `ready` says so.
  process.send?.({ note: journal } satisfies GuardTask, () => {});
  return { process, journal, ready };
}

/** Ends a guard whose save has not come so far that there is a note. */
export function dropGuard({ process }: Guard): void {
  process.kill("SIGKILL");
}

/**
 * Writes the note, and waits until the guard hears us. Nothing of the guest may be changed before this returns.
 *
 * @throws FixedramError `system.no-guard`; `system.*` when the note cannot be written; the signal's reason
 */
export async function guardSave(
  entry: JournalEntry,
  { process: guard, journal: path, ready }: Guard = startGuard(entry.qmp),
  signal?: AbortSignal,
): Promise<Guarded> {
  const { breakFreezes = false, patient = false, cancelCrashes = false } = entry;
  const journal = { ...entry, breakFreezes, patient, cancelCrashes, abandoned: false };
  let current: Journal = { ...journal, guardPid: guard.pid ?? null };
  try {
    const why = await orAborted(ready, signal);
    if (why !== null) throw noGuard(path, why);
    writeJournal(path, current);
  } catch (error) {
    guard.kill("SIGKILL");
    throw error;
  }
  let finished = false;
  return {
    note: (more) => {
      current = { ...current, ...more };
      writeJournal(path, current);
    },
    listen: (socket, owner) => listenThrough(guard, socket, owner),
    drain: async (expected) => (await request(guard, { ask: "drain", expected })).reply === "drained",
    done: async () => {
      finished = true;
      removeJournal(path);
      await dismiss(guard);
    },
    leave: () => {
      if (finished) return;
      try {
        current = { ...current, abandoned: true };
        writeJournal(path, current);
      } catch {
        // The guard goes by the note as it is.
      }
      if (guard.connected) guard.disconnect();
    },
  };
}

/** Waits for the guard's `ready`. */
function heard(guard: ChildProcess): Promise<string | null> {
  return new Promise((resolve) => {
    const late = setTimeout(() => settle(`not ready after ${READY_TIME / 1000} s`), READY_TIME);
    const settle = (why: string | null) => {
      clearTimeout(late);
      guard.off("message", onMessage);
      guard.channel?.unref();
      resolve(why);
    };
    const onMessage = (message: unknown) => {
      if ((message as GuardReply).reply === "ready") settle(null);
    };
    guard.on("message", onMessage);
    guard.on("error", (error) => settle(error.message));
    guard.once("exit", (code, signal) => settle(`it ended at its start (${signal ?? `exit code ${code}`})`));
  });
}

function orAborted<T>(promise: Promise<T>, signal: AbortSignal | undefined): Promise<T> {
  if (signal === undefined) return promise;
  return new Promise((resolve, reject) => {
    const abort = () => reject(signal.reason);
    if (signal.aborted) return abort();
    signal.addEventListener("abort", abort, { once: true });
    void promise.then(resolve, reject).finally(() => signal.removeEventListener("abort", abort));
  });
}

function noGuard(path: string, said: string): FixedramError {
  return new FixedramError("system.no-guard", "the guard process of this save could not do its part", {
    path,
    said,
    hint: "Nothing of the guest was changed. Save again; should it stay so, look at the system's limits on processes and memory.",
  });
}

async function listenThrough(guard: ChildProcess, path: string, owner: Owner | null): Promise<MigrationListener> {
  const first = new Promise<Socket>((resolve) => {
    guard.on("message", (message, handle) => {
      if ((message as GuardReply).reply === "connection" && handle) resolve(pausedSocket(handle));
    });
  });
  const { reply, ...more } = await request(guard, { ask: "listen", path, owner });
  if (reply !== "listening") {
    throw noGuard(path, "said" in more ? more.said : "an answer of another kind");
  }
  // The guard stops listening by itself.
  return listenerOf(path, first, () => {});
}

/** The guard's answer; `failed` when it is gone. */
function request(guard: ChildProcess, asked: GuardRequest): Promise<GuardReply> {
  return new Promise((resolve) => {
    const onMessage = (message: unknown) => {
      const reply = message as GuardReply;
      if (reply.reply !== "connection" && reply.reply !== "ready") settle(reply);
    };
    const onGone = () => settle({ reply: "failed", said: "it has ended" });
    // Else this process could end while it waits, when nothing but the guard is left to wait for.
    guard.channel?.ref();
    const settle = (reply: GuardReply) => {
      guard.channel?.unref();
      guard.off("message", onMessage);
      guard.off("disconnect", onGone);
      resolve(reply);
    };
    guard.on("message", onMessage);
    guard.on("disconnect", onGone);
    if (!guard.connected) return onGone();
    guard.send(asked, (error) => {
      if (error) onGone();
    });
  });
}

function dismiss(guard: ChildProcess): Promise<void> {
  return new Promise((resolve) => {
    if (guard.exitCode !== null || guard.signalCode !== null || !guard.connected) return resolve();
    // A guard that was stopped (SIGSTOP) would keep us waiting for ever.
    const late = setTimeout(() => guard.kill("SIGKILL"), DISMISS_TIME);
    guard.once("exit", () => {
      clearTimeout(late);
      resolve();
    });
    guard.ref();
    guard.send("done", (error) => {
      // The channel is broken: it is about to end, or has.
      if (error) guard.kill("SIGKILL");
    });
  });
}

/**
 * Deals with an earlier save of the same QEMU that did not come to its end: waits for its guard, or, when the guard is gone
 * too, puts the guest back from the note. To be called before the state of the guest is read.
 *
 * @param patience milliseconds to wait for that guard
 * @returns what was found: null, or a sentence for the user
 * @throws FixedramError `guest.being-put-back` while that guard is still at work; what `connect` and putBack throw
 */
export async function settleEarlierSave(
  qmp: string,
  connect: () => Promise<QmpClient>,
  signal?: AbortSignal,
  patience = GUARD_TIME,
): Promise<{ readonly client: QmpClient; readonly found: string | null }> {
  const path = journalPath(qmp);
  const deadline = performance.now() + patience;
  let journal = readJournal(path);
  const before = journal;
  while (journal !== null && isLeft(journal) && guardLives(journal)) {
    signal?.throwIfAborted();
    // Not past it: a migration that the guard reads to its end must not be cancelled under it.
    if (performance.now() > deadline) throw beingPutBack(qmp, patience);
    await new Promise((resolve) => setTimeout(resolve, 50));
    journal = readJournal(path);
  }
  const client = await connect();
  if (journal === null) {
    return {
      client,
      found: before === null ? null : "an earlier save of this guest was cut off; its guard has put the guest back",
    };
  }
  if (!isLeft(journal)) return { client, found: null };
  const same = journal.qemu === null || isAlive(journal.qemu);
  try {
    if (same) await putBack(client, formerState(journal), { cancel: !journal.breakFreezes });
  } catch (error) {
    client.close();
    throw error;
  }
  removeLeftOvers(journal);
  removeJournal(path);
  return {
    client,
    found: same
      ? "an earlier save of this guest was cut off and had no guard left; the guest was put back first"
      : "an earlier save was cut off; the QEMU it was of has ended since, so there was nothing to put back",
  };
}

/** Nobody is at work on it any more: the saver is gone, or has given up. */
function isLeft(journal: Journal): boolean {
  return journal.abandoned || !isAlive(journal.saver);
}

function beingPutBack(qmp: string, patience: number): FixedramError {
  return new FixedramError(
    "guest.being-put-back",
    "an earlier save of this guest was cut off, and its guard is still at work",
    {
      path: qmp,
      found: `not done after ${patience / 1000} s`,
      hint: "Wait until it has ended: it waits for QEMU's stream to end, so that the guest goes on. Then save again.",
    },
  );
}

/** Milliseconds a new save waits for the guard of a dead one. */
const GUARD_TIME = 15_000;

/** Milliseconds a guard gets to start: a Node, on a machine that may have other things to do. */
const READY_TIME = 30_000;

/** Milliseconds a guard gets to end after `done`. */
const DISMISS_TIME = 5000;

function guardLives({ guardPid }: Journal): boolean {
  // A zombie has no start time: nobody may have waited for it.
  return guardPid !== null && startTimeOf(guardPid) !== null;
}
