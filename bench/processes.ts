/** Child processes and folders of one run of the benchmark: gone when it ends, however it ends. */
import { type ChildProcess, type SpawnOptions, spawn } from "node:child_process";
import { mkdtempSync, rmSync } from "node:fs";
import { join } from "node:path";
import { onPath } from "../test/qemu/harness/qemus.ts";

const setpriv = onPath("setpriv");
const children = new Set<ChildProcess>();
const folders = new Set<string>();

process.on("exit", () => {
  for (const child of children) child.kill("SIGKILL");
  for (const folder of folders) rmSync(folder, { recursive: true, force: true });
});
for (const signal of ["SIGINT", "SIGTERM", "SIGHUP"] as const) process.once(signal, () => process.exit(130));

/** A new folder inside `parent`, removed at the end. */
export function temporaryFolder(parent: string): string {
  const folder = mkdtempSync(join(parent, "fixedram-bench-"));
  folders.add(folder);
  return folder;
}

export interface Exit {
  readonly code: number | null;
  readonly signal: NodeJS.Signals | null;
}

export interface Child {
  readonly process: ChildProcess;
  readonly exited: Promise<Exit>;
  kill(signal?: NodeJS.Signals): Promise<Exit>;
}

/** Starts a program that ends with us, even when we are killed. */
export function start(argv: readonly string[], options: SpawnOptions): Child {
  const [program = "", ...words] = setpriv === undefined ? argv : [setpriv, "--pdeathsig", "KILL", "--", ...argv];
  const child = spawn(program, words, options);
  children.add(child);
  const exited = new Promise<Exit>((resolve, reject) => {
    child.once("error", reject);
    child.once("exit", (code, signal) => {
      children.delete(child);
      resolve({ code, signal });
    });
  });
  exited.catch(() => {});
  return {
    process: child,
    exited,
    kill: (signal = "SIGKILL") => {
      child.kill(signal);
      return exited;
    },
  };
}
