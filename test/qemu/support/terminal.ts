/** `fixedram` on a terminal of its own. */
import { spawn } from "node:child_process";
import { join } from "node:path";
import { atTestEnd } from "../harness/index.ts";
import { processesWith } from "./processes.ts";

export interface OnTerminal {
  readonly ended: Promise<number | null>;
  /** All that has stood on it. */
  shown(): string;
  type(keys: string): void;
}

/**
 * script(1) gives it the terminal; what is typed goes through that terminal's line discipline, and so does Ctrl-C.
 *
 * @param mark in the command lines of what is ended with the test
 */
export function onTerminal(args: readonly string[], mark: string): OnTerminal {
  const words = [process.execPath, join(import.meta.dirname, "..", "..", "..", "bin", "fixedram"), ...args];
  const command = words.map((word) => `'${word.replaceAll("'", "'\\''")}'`).join(" ");
  const child = spawn("script", ["-qec", command, "/dev/null"], { stdio: ["pipe", "pipe", "inherit"] });
  const ended = new Promise<number | null>((resolve) => child.once("exit", resolve));
  atTestEnd(() => {
    for (const pid of processesWith(mark)) process.kill(pid, "SIGKILL");
  });
  let shown = "";
  child.stdout.on("data", (text: Buffer) => {
    shown += text.toString();
  });
  return { ended, shown: () => shown, type: (keys) => void child.stdin.write(keys) };
}
