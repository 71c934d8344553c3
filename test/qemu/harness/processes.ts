/** Child processes that never outlive the tests, and folders that are removed with them. */
import { type ChildProcess, spawn } from "node:child_process";
import { closeSync, mkdtempSync, openSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { onTestFinished } from "vitest";
import { onPath } from "./qemus.ts";

export interface Exit {
  readonly code: number | null;
  readonly signal: NodeJS.Signals | null;
}

const running = new Set<ChildProcess>();
const folders = new Set<string>();

process.on("exit", () => {
  for (const child of running) child.kill("SIGKILL");
  for (const folder of folders) removeFolder(folder);
});

/** Runs `cleanup` when the current test ends; outside a test (in beforeAll) the end of the process has to do. */
export function atTestEnd(cleanup: () => Promise<void> | void): void {
  try {
    onTestFinished(async () => {
      await cleanup();
    });
  } catch {
    // Not inside a test.
  }
}

/** A folder under the system's temporary one, removed at the end of the test (kept with FIXEDRAM_KEEP=1, and its name printed). */
export function testFolder(): string {
  const folder = mkdtempSync(join(tmpdir(), "fixedram-test-"));
  folders.add(folder);
  atTestEnd(() => removeFolder(folder));
  return folder;
}

function removeFolder(folder: string): void {
  if (!folders.delete(folder)) return;
  if ((process.env.FIXEDRAM_KEEP ?? "") !== "") console.warn(`kept: ${folder}`);
  else rmSync(folder, { recursive: true, force: true });
}

export interface Started {
  readonly pid: number;
  readonly exited: Promise<Exit>;
  /** Exit, when it has happened. */
  readonly exit: () => Exit | undefined;
  /** SIGKILL (or another signal), then waits for its end. */
  readonly kill: (signal?: NodeJS.Signals) => Promise<Exit>;
}

/**
 * Starts a program with stdout and stderr going to the file `log`. It dies with us: at the end of the test, at our exit, and through
 * the parent-death signal even when we are killed with SIGKILL.
 */
export async function startProcess(argv: readonly string[], log: string): Promise<Started> {
  const guard = onPath("setpriv");
  const [program, ...rest] = guard === undefined ? argv : [guard, "--pdeathsig", "KILL", "--", ...argv];
  if (program === undefined) throw new Error("no program to start");
  const output = openSync(log, "a");
  const child = spawn(program, rest, { stdio: ["ignore", output, output] });
  closeSync(output);
  running.add(child);
  let exit: Exit | undefined;
  const exited = new Promise<Exit>((resolve) => {
    child.once("exit", (code, signal) => {
      running.delete(child);
      exit = { code, signal };
      resolve(exit);
    });
  });
  await new Promise<void>((resolve, reject) => {
    child.once("spawn", resolve);
    child.once("error", reject);
  });
  const kill = async (signal: NodeJS.Signals = "SIGKILL"): Promise<Exit> => {
    if (exit === undefined) child.kill(signal);
    return exited;
  };
  atTestEnd(async () => {
    await kill();
  });
  return { pid: child.pid ?? -1, exited, exit: () => exit, kill };
}
