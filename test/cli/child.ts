/** The command line as a process of its own, with operations that need no QEMU. `file` and `out` say what happens: see below. */

import { spawn } from "node:child_process";
import { once } from "node:events";
import { setTimeout as after } from "node:timers/promises";
import { runHere } from "../../src/cli/main.ts";
import { FixedramError } from "../../src/errors.ts";
import type { OperationContext } from "../../src/operations/progress.ts";
import { inspected } from "./answers/files.ts";
import { MiB, resumed, saved } from "./answers/guests.ts";
import { fakes } from "./fakes.ts";

/** Says that it is under way, then waits for its signal; with "stubborn" it does not listen. */
async function untilAborted(context: OperationContext, name: string): Promise<never> {
  process.stderr.write("under way\n");
  const forever = setInterval(() => undefined, 1000);
  if (name !== "stubborn") await new Promise((resolve) => context.signal?.addEventListener("abort", resolve));
  else await new Promise(() => undefined);
  clearInterval(forever);
  throw new FixedramError("guest.unhurt", "the save was given up; the guest runs on");
}

/** Moves 512 MiB in two seconds, as the progress bar sees it. */
async function slowly(context: OperationContext): Promise<void> {
  const total = 512 * MiB;
  for (let step = 0; step <= 40; step++) {
    context.onProgress?.({
      phase: "ram",
      bytes: (total / 40) * step,
      total,
      round: step > 30 ? 2 : 1,
      elapsed: step * 50,
    });
    if (step === 10) context.onNotice?.({ level: "warning", code: "x.y", message: "there is little free space" });
    await after(50);
  }
}

process.exitCode = await runHere(process.argv.slice(2), {
  ...fakes,
  save: async (options) => {
    if (["waits", "stubborn"].includes(options.out)) return await untilAborted(options, options.out);
    if (options.out === "slow") await slowly(options);
    return saved;
  },
  resume: async (options) => {
    if (options.file === "asks") {
      const yes = await options.confirm?.([
        "qemu-system-x86_64",
        "-m",
        "512",
        "-netdev",
        "tap,fd=7",
        "-append",
        "root=/dev/vda quiet",
      ]);
      if (yes !== true) throw new FixedramError("usage.declined", "the recorded command was not run");
    }
    const [program, ...rest] = options.command ?? [];
    if (program === undefined) return resumed;
    const child = spawn(program, rest, { stdio: "inherit" });
    await once(child, "spawn");
    const ended = once(child, "exit").then(([code, signal]) => ({ code, signal }));
    return { ...resumed, process: { pid: child.pid ?? 0, qmp: "/tmp/x/qmp", ended } };
  },
  info: async (path, context) => ({
    ...(path === "waits" ? await untilAborted(context, path) : inspected),
    path,
    devices: Array.from({ length: path === "long" ? 20_000 : 30 }, (_, i) => ({
      name: `0000:00:${i}.0/virtio`,
      instance: 0,
      version: 1,
      size: i * 100,
    })),
  }),
});
