import { type ChildProcess, spawn } from "node:child_process";
import { closeSync, constants, fstatSync, openSync, statSync } from "node:fs";
import { entryArguments, entryFile } from "../../installation.ts";

/** Descriptor under which the server finds the snapshot: behind the three usual ones and the IPC channel. */
export const inheritedFile = 4;

let spare: { readonly child: ChildProcess; readonly dev: bigint; readonly ino: bigint } | null = null;

/**
 * Starts a page server for a file that is about to be asked for: a Node takes longer to start than everything else up to where the server is
 * needed, so it had better begin first. Without a resume it ends when this process does. What is no regular file, or cannot be opened, is
 * left to whoever opens it in earnest.
 */
export function startSpareServer(path: string): void {
  if (spare !== null) return;
  let fd = -1;
  try {
    // Opening a pipe or a device can wait, or do something.
    if (!statSync(path).isFile()) return;
    fd = openSync(path, constants.O_RDONLY | constants.O_NONBLOCK);
    const { dev, ino } = fstatSync(fd, { bigint: true });
    const child = spawnServer(fd);
    // Whoever takes it listens for itself; until then an error is nobody's.
    child.on("error", () => {});
    child.unref();
    child.channel?.unref();
    spare = { child, dev, ino };
  } catch {
    // Said when the file is opened.
  } finally {
    if (fd >= 0) closeSync(fd);
  }
}

/**
 * A page server process that has been told nothing yet: the spare one, or a new one.
 *
 * @param fd the file, held open: the server has that very file, whatever has its name by then
 */
export function takeServer(fd: number): ChildProcess {
  const taken = spare;
  spare = null;
  if (taken === null) return spawnServer(fd);
  const { dev, ino } = fstatSync(fd, { bigint: true });
  const { child } = taken;
  if (taken.dev === dev && taken.ino === ino && isThere(child)) {
    child.ref();
    child.channel?.ref();
    return child;
  }
  // Another file has taken the name meanwhile.
  child.kill("SIGKILL");
  return spawnServer(fd);
}

function isThere({ pid, connected, exitCode, signalCode }: ChildProcess): boolean {
  return pid !== undefined && connected && exitCode === null && signalCode === null;
}

function spawnServer(fd: number): ChildProcess {
  // In a session of its own: what a terminal sends is for the supervisor, and the guest's pages come all the same.
  return spawn(process.execPath, [...entryArguments(), entryFile("operations/lazy/server")], {
    detached: true,
    // A cold read holds one of these threads, and several guests may have one each.
    env: { UV_THREADPOOL_SIZE: "16", ...process.env },
    stdio: ["ignore", "ignore", "ignore", "ipc", fd],
  });
}
