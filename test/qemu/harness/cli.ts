/** Running `bin/fixedram` as a user would. */
import { type ChildProcessByStdio, spawn } from "node:child_process";
import { join } from "node:path";
import type { Readable } from "node:stream";
import { atTestEnd } from "./processes.ts";
import { ROOT } from "./qemus.ts";

export interface CliRun {
  readonly code: number | null;
  readonly signal: NodeJS.Signals | null;
  readonly stdout: string;
  readonly stderr: string;
}

const running = new Set<() => void>();
process.once("exit", () => {
  for (const kill of running) kill();
});

/** Starts `bin/fixedram` (the build: script/setup first); it ends with the test at the latest. */
export function startFixedram(
  args: readonly string[],
  env: Record<string, string> = {},
): { readonly child: ChildProcessByStdio<null, Readable, Readable>; readonly ended: Promise<CliRun> } {
  const child = spawn(process.execPath, [join(ROOT, "bin", "fixedram"), ...args], {
    stdio: ["ignore", "pipe", "pipe"],
    env: { ...process.env, ...env },
    // A group of its own, together with the QEMU of a resume, which outlives our program by design.
    detached: true,
  });
  const killGroup = () => {
    try {
      if (child.pid !== undefined) process.kill(-child.pid, "SIGKILL");
    } catch {
      // All of it has ended.
    }
  };
  running.add(killGroup);
  let stdout = "";
  let stderr = "";
  child.stdout.setEncoding("utf8").on("data", (text: string) => {
    stdout += text;
  });
  child.stderr.setEncoding("utf8").on("data", (text: string) => {
    stderr += text;
  });
  const ended = new Promise<CliRun>((resolve, reject) => {
    child.once("error", reject);
    child.once("close", (code, signal) => resolve({ code, signal, stdout, stderr }));
  });
  atTestEnd(() => {
    killGroup();
  });
  return { child, ended };
}

/** Runs `bin/fixedram` to its end. */
export async function fixedram(args: readonly string[], env: Record<string, string> = {}): Promise<CliRun> {
  return await startFixedram(args, env).ended;
}
