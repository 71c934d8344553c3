import { type ChildProcess, spawn } from "node:child_process";
import { entryArguments, entryFile } from "../../installation.ts";

let spare: ChildProcess | null = null;

/**
 * Starts a guard for a save that is about to be asked for: a Node takes as long to start as all of a save's preparations, so it
 * had better begin with them. Without a save it ends when this process does.
 */
export function startSpareGuard(): void {
  spare ??= spawnGuard();
}

/** A guard process that has not been told its note: the spare one, or a new one. It may not hear us yet. */
export function takeGuard(): ChildProcess {
  const taken = spare;
  spare = null;
  return taken !== null && isThere(taken) ? taken : spawnGuard();
}

function isThere({ pid, connected, exitCode, signalCode }: ChildProcess): boolean {
  return pid !== undefined && connected && exitCode === null && signalCode === null;
}

function spawnGuard(): ChildProcess {
  // Options of this process may hold a program (`--eval`) or listen at a port (`--inspect`): none is passed on.
  // In our folder, for the QMP socket's path may be a relative one.
  const guard = spawn(process.execPath, [...entryArguments(), entryFile("operations/save/guard")], {
    detached: true,
    stdio: ["ignore", "ignore", "ignore", "ipc"],
  });
  // Whoever takes it listens for itself; until then an error is nobody's.
  guard.on("error", () => {});
  guard.unref();
  guard.channel?.unref();
  return guard;
}
