/** What a guard does once there is something to do: see guard.ts. */
import type { SendHandle } from "node:child_process";
import { QmpClient } from "../../qmp/client.ts";
import { queryMigrate } from "../../qmp/commands.ts";
import { isAlive, readJournal, removeHalfWritten, removeJournal } from "./journal.ts";
import { formerState, putBack, removeLeftOvers, terminalStates } from "./put-back.ts";
import { type GuardReply, type GuardRequest, Relay } from "./relay.ts";

/** Milliseconds a guard goes on trying, unless the note says to be patient: QMP may serve somebody else just then. */
const PATIENCE = 60_000;

/** Milliseconds between two looks at whether the saver lives. */
const LOOK = 50;

/**
 * Serves the saver, and puts the guest back should it die; ends the process.
 *
 * @param path the note
 * @param early what the saver has asked already
 */
export async function work(path: string, early: readonly unknown[]): Promise<never> {
  const relay = new Relay();
  if (await serve(relay, early)) process.exit(0);
  removeHalfWritten(path);
  // None: nothing was changed yet. Another's: its own guard looks after it.
  if (readJournal(path)?.guardPid !== process.pid) process.exit(0);
  if (relay.connected) await relay.drain(true);
  const settled = await putBackInTime(path, relay);
  const journal = readJournal(path);
  if (journal !== null) removeLeftOvers(journal);
  // Else the note stays: the next save puts things back from it.
  if (settled) removeJournal(path);
  process.exit(0);
}

/** @returns whether all is as it was, or there is nothing any more to put back */
async function putBackInTime(path: string, relay: Relay): Promise<boolean> {
  const deadline = performance.now() + PATIENCE;
  for (;;) {
    const journal = readJournal(path);
    if (journal?.patient !== true && performance.now() > deadline) return false;
    if (journal === null || (journal.qemu !== null && !isAlive(journal.qemu))) return true;
    try {
      const client = await QmpClient.connect(journal.qmp, { greetingTimeout: 2000 });
      try {
        // Always: QEMU may have connected since we looked, and a stream that is not read to its end stops the guest.
        await relay.drain(!terminalStates.has((await queryMigrate(client)).status));
        await putBack(client, formerState(journal), { cancel: !journal.breakFreezes });
      } finally {
        // QMP serves one client: one that is left open would shut our own next try out.
        client.close();
      }
      return true;
    } catch {
      await new Promise((resolve) => setTimeout(resolve, 100));
    }
  }
}

/** Does what the saver asks, until `done` (true) or until the saver is gone. */
function serve(relay: Relay, early: readonly unknown[]): Promise<boolean> {
  const saver = process.ppid;
  return new Promise((resolve) => {
    const end = (done: boolean) => {
      clearInterval(watch);
      resolve(done);
    };
    // Node does not always say `disconnect` when the other side dies with a handle on its way to it; and a connection that
    // nobody reads keeps no process running.
    const watch = setInterval(() => {
      if (!process.connected || process.ppid !== saver) end(false);
    }, LOOK);
    process.on("message", (message) => {
      if (message === "done") end(true);
      else void answer(relay, message as GuardRequest);
    });
    for (const message of early) void answer(relay, message as GuardRequest);
    process.once("disconnect", () => end(false));
    if (!process.connected) end(false);
  });
}

async function answer(relay: Relay, request: GuardRequest): Promise<void> {
  try {
    if (request.ask === "drain") {
      await relay.drain(request.expected);
      say({ reply: "drained" });
      return;
    }
    await relay.listen(request.path, request.owner, (handle) => say({ reply: "connection" }, handle as SendHandle));
    say({ reply: "listening" });
  } catch (error) {
    say({ reply: "failed", said: String(error) });
  }
}

function say(reply: GuardReply, handle?: SendHandle): void {
  // A saver that is gone hears nothing; its end is noticed elsewhere.
  if (process.connected) process.send?.(reply, handle, {}, () => {});
}
