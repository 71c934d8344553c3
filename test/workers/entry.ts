/** A worker with tasks for the tests of the pool. */
import { FixedramError } from "../../src/errors.ts";
import type { TaskContext } from "../../src/workers/protocol.ts";
import { serve } from "../../src/workers/serve.ts";

export const tasks = {
  double: async () => ({ run: ({ value }: { value: number }) => value * 2 }),
  messages: async () => ({
    run: ({ count }: { count: number }, context: TaskContext) => {
      for (let i = 0; i < count; i++) context.send(i);
      return count;
    },
  }),
  /** Never awaits: only the flag can stop it. */
  spin: async () => ({
    run: (_: object, context: TaskContext) => {
      context.send("spinning");
      while (!context.cancelled());
      return "stopped";
    },
  }),
  fail: async () => ({
    run: ({ known }: { known: boolean }): never => {
      if (known) throw new FixedramError("file.truncated", "cut", { offset: 7 });
      throw new RangeError("a bug");
    },
  }),
  die: async () => ({
    run: (_: object): never => {
      process.exit(3);
    },
  }),
};

serve(tasks);
