/**
 * The process that outlives a saver. `done` from the saver means that all is as it was; the end of the channel without that
 * word means that the saver died (kill -9, out of memory), and then the guard does what the saver would have done. It runs in
 * a session of its own, and signals meant for the saver do not end it: its channel does.
 *
 *     node guard.js          (with an IPC channel)
 *
 * QEMU before 8.1 freezes its guest for ever when the connection of a background snapshot breaks (docs/decisions/0004): then
 * the guard listens for that connection, gives the saver a copy, and reads the stream to its end should the saver die.
 *
 * It starts beside every save and is hardly ever needed, on a machine that has better things to do just then. So what stands
 * here only listens, and loads the rest (guard-work.ts) when there is something to do. Should that not load any more, for
 * somebody replaced the installation meanwhile, the note remains and the next save puts things back.
 */

import type { GuardReply, GuardTask } from "./relay.ts";

function listen(): void {
  const early: unknown[] = [];
  /** Where the note will be; null: no save has claimed this guard, and there is nothing to look after. */
  let journal: string | null = null;
  let awake = false;
  const wake = () => {
    if (awake) return;
    awake = true;
    if (journal === null) process.exit(0);
    const path = journal;
    void import("./guard-work.ts").then(({ work }) => {
      process.off("message", onMessage);
      return work(path, early);
    });
  };
  const onMessage = (message: unknown) => {
    if (message === "done") process.exit(0);
    if (journal === null) {
      journal = (message as GuardTask).note;
      // Nothing of the guest is changed before the saver has read this.
      process.send?.({ reply: "ready" } satisfies GuardReply, undefined, {}, () => {});
      return;
    }
    early.push(message);
    wake();
  };
  for (const signal of ["SIGINT", "SIGHUP", "SIGTERM"] as const) process.on(signal, () => {});
  process.on("message", onMessage);
  process.once("disconnect", wake);
  if (!process.connected) wake();
}

// Importing it runs nothing: only where there is somebody to hear.
if (process.send !== undefined) listen();
