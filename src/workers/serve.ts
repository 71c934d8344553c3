import { parentPort } from "node:worker_threads";
import { type Job, type Preparation, packError, type Reply, type TaskTable } from "./protocol.ts";

/** Makes this thread a worker that does `tasks` for its pool, one at a time. */
export function serve(tasks: TaskTable): void {
  const port = parentPort;
  if (port === null) throw new Error("a worker's entry is no program");
  const reply = (message: Reply, transfer: readonly ArrayBuffer[] = []) => port.postMessage(message, [...transfer]);
  port.on("message", async (message: Job | Preparation) => {
    if ("load" in message) {
      // What it fails with is told when the task is asked for.
      await tasks[message.load]?.().catch(() => {});
      return;
    }
    const { task, input, flag } = message;
    try {
      const load = tasks[task];
      if (load === undefined) throw new Error(`no task ${task}`);
      const { run } = await load();
      const output = await run(input, {
        cancelled: () => Atomics.load(flag, 0) !== 0,
        send: (message, transfer) => reply({ kind: "message", message }, transfer),
      });
      reply({ kind: "done", output });
    } catch (error) {
      reply({ kind: "failed", error: packError(error) });
    }
  });
}
