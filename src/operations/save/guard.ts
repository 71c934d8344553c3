/**
 * The process that outlives a saver. `done` from the saver means that all is as it was; the end of the channel without that
 * word means that the saver died (kill -9, out of memory), and then the guard does what the saver would have done. It runs in
 * a session of its own, and signals meant for the saver do not end it: its channel does.
 *
 *     node guard.js JOURNAL          (with an IPC channel)
 *
 * QEMU before 8.1 freezes its guest for ever when the connection of a background snapshot breaks (docs/decisions/0004): then
 * the guard listens for that connection, gives the saver a copy, and reads the stream to its end should the saver die.
 *
 * It starts beside every save and is hardly ever needed, on a machine that has better things to do just then. So what stands
 * here only listens, and loads the rest (guard-work.ts) when there is something to do. Should that not load any more, for
 * somebody replaced the installation meanwhile, the note remains and the next save puts things back.
 */

function listen(journal: string): void {
  const early: unknown[] = [];
  let awake = false;
  const wake = () => {
    if (awake) return;
    awake = true;
    void import("./guard-work.ts").then(({ work }) => {
      process.off("message", onMessage);
      return work(journal, early);
    });
  };
  const onMessage = (message: unknown) => {
    if (message === "done") process.exit(0);
    early.push(message);
    wake();
  };
  for (const signal of ["SIGINT", "SIGHUP", "SIGTERM"] as const) process.on(signal, () => {});
  process.on("message", onMessage);
  process.once("disconnect", wake);
  if (!process.connected) wake();
  // Nothing of the guest is changed before the saver has read this.
  else process.send?.({ reply: "ready" }, undefined, {}, () => {});
}

const path = process.argv[2];
if (path !== undefined) listen(path);

// A module, though it imports nothing at its start.
export {};
