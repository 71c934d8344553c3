/**
 * The process that outlives a saver. `done` from the saver means that all is as it was; the end of the channel without that
 * word means that the saver died (kill -9, out of memory), and then the guard does what the saver would have done. It runs in
 * a session of its own, so that a terminal's Ctrl-C does not reach it.
 *
 *     node guard.js JOURNAL          (with an IPC channel)
 *
 * For a background save the saver also hands over a copy of the migration socket. QEMU before 9 freezes its guest for ever
 * when that socket breaks (docs/decisions/0003), so the guard then reads the stream to its end, into nothing.
 */
import { Socket } from "node:net";
import { QmpClient } from "../../qmp/client.ts";
import { isAlive, readJournal, removeJournal } from "./journal.ts";
import { putBack, removeLeftOvers } from "./put-back.ts";

/** Milliseconds a guard goes on trying: QMP may serve somebody else just then. */
const PATIENCE = 60_000;

async function main(path: string): Promise<void> {
  process.on("SIGINT", () => {});
  process.on("SIGHUP", () => {});
  const { done, handle } = await lastWord();
  if (done) process.exit(0);
  const journal = readJournal(path);
  if (journal === null) process.exit(0);
  if (handle !== null) await drain(handle);
  const deadline = performance.now() + PATIENCE;
  while (performance.now() < deadline) {
    if (journal.qemu !== null && !isAlive(journal.qemu)) break;
    try {
      const client = await QmpClient.connect(journal.qmp, { greetingTimeout: 2000 });
      try {
        await putBack(client, journal);
      } finally {
        // QMP serves one client: one that is left open would shut our own next try out.
        client.close();
      }
      break;
    } catch {
      await new Promise((resolve) => setTimeout(resolve, 100));
    }
  }
  removeLeftOvers(journal);
  removeJournal(path);
  process.exit(0);
}

/** Waits for `done` or for the saver's death; a handle that came in between is kept, unread. */
function lastWord(): Promise<{ readonly done: boolean; readonly handle: unknown }> {
  return new Promise((resolve) => {
    let handle: unknown = null;
    process.on("message", (message, sent) => {
      if (message === "done") resolve({ done: true, handle });
      else if (message === "migration-socket") handle = sent ?? null;
    });
    process.once("disconnect", () => resolve({ done: false, handle }));
    if (!process.connected) resolve({ done: false, handle });
  });
}

function drain(handle: unknown): Promise<void> {
  return new Promise((resolve) => {
    const socket = new Socket({ handle } as unknown as ConstructorParameters<typeof Socket>[0]);
    socket.on("error", () => {});
    socket.once("close", () => resolve());
    socket.resume();
  });
}

const path = process.argv[2];
if (path !== undefined) await main(path);
