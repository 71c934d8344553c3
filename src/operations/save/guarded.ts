import { type ChildProcess, type SendHandle, spawn } from "node:child_process";
import type { Socket } from "node:net";
import { fileURLToPath } from "node:url";
import type { QmpClient } from "../../qmp/client.ts";
import { isAlive, type Journal, journalPath, readJournal, removeJournal, writeJournal } from "./journal.ts";
import { putBack, removeLeftOvers } from "./put-back.ts";

/** A save's note and its guard process. */
export interface Guarded {
  /** Adds what has come to exist since the note was written. */
  note(more: Partial<Pick<Journal, "partial" | "folder">>): void;
  /** Gives the guard a copy of the migration socket, to be read to its end should we die. Resolves when it is under way. */
  hold(connection: Socket): Promise<void>;
  /** All is as it was: ends the guard and removes the note. */
  done(): Promise<void>;
}

/** Writes the note and starts the guard. Nothing of the guest may be changed before this returns. */
export function guardSave(journal: Omit<Journal, "guardPid">): Guarded {
  const path = journalPath(journal.qmp);
  let current: Journal = { ...journal, guardPid: null };
  writeJournal(path, current);
  const guard = startGuard(path);
  current = { ...current, guardPid: guard.pid ?? null };
  try {
    writeJournal(path, current);
  } catch (error) {
    guard.kill("SIGKILL");
    removeJournal(path);
    throw error;
  }
  return {
    note: (more) => {
      current = { ...current, ...more };
      writeJournal(path, current);
    },
    hold: (connection) => handOver(guard, connection),
    done: async () => {
      removeJournal(path);
      await dismiss(guard);
    },
  };
}

function startGuard(journal: string): ChildProcess {
  // Beside this file, compiled or not.
  const compiled = !import.meta.url.endsWith(".ts");
  const entry = fileURLToPath(new URL(compiled ? "./guard.js" : "./guard.ts", import.meta.url));
  // Options of this process may hold a program (`--eval`) or listen at a port (`--inspect`): only what loads .ts is passed on.
  const options = compiled ? [] : process.execArgv;
  // In our folder, for the QMP socket's path may be a relative one.
  const guard = spawn(process.execPath, [...options, entry, journal], {
    detached: true,
    stdio: ["ignore", "ignore", "ignore", "ipc"],
  });
  guard.on("error", () => {});
  guard.unref();
  guard.channel?.unref();
  return guard;
}

/**
 * The handle itself is sent, not the Socket: a Socket would begin to read as soon as it arrives, and take bytes from us. The
 * handle is private to Node; without it (another Node) the guard cannot help, and says so by the rejection.
 */
function handOver(guard: ChildProcess, connection: Socket): Promise<void> {
  const handle = (connection as unknown as { _handle?: SendHandle | null })._handle ?? undefined;
  return new Promise((resolve, reject) => {
    if (handle === undefined) return reject(new Error("the socket has no handle"));
    guard.send("migration-socket", handle, {}, (error) => (error === null ? resolve() : reject(error)));
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
 * @returns what was found: null, or a sentence for the user
 */
export async function settleEarlierSave(
  qmp: string,
  connect: () => Promise<QmpClient>,
  signal?: AbortSignal,
): Promise<{ readonly client: QmpClient; readonly found: string | null }> {
  const path = journalPath(qmp);
  const deadline = performance.now() + GUARD_TIME;
  let journal = readJournal(path);
  const before = journal;
  while (journal !== null && !isAlive(journal.saver) && guardLives(journal) && performance.now() < deadline) {
    signal?.throwIfAborted();
    await new Promise((resolve) => setTimeout(resolve, 50));
    journal = readJournal(path);
  }
  const client = await connect();
  if (journal === null) {
    return {
      client,
      found: before === null ? null : "An earlier save of this guest was cut off; its guard has put the guest back.",
    };
  }
  if (isAlive(journal.saver)) return { client, found: null };
  try {
    if (journal.qemu === null || isAlive(journal.qemu)) await putBack(client, journal);
  } catch (error) {
    client.close();
    throw error;
  }
  removeLeftOvers(journal);
  removeJournal(path);
  return {
    client,
    found: "An earlier save of this guest was cut off and had no guard left; the guest was put back first.",
  };
}

/** Milliseconds a new save waits for the guard of a dead one. */
const GUARD_TIME = 15_000;

/** Milliseconds a guard gets to end after `done`. */
const DISMISS_TIME = 5000;

function guardLives(journal: Journal): boolean {
  if (journal.guardPid === null) return false;
  try {
    process.kill(journal.guardPid, 0);
    return true;
  } catch {
    return false;
  }
}
