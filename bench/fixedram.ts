/** `bin/fixedram` as a user starts it, and what its processes used. */
import { readFileSync, rmSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { type Child, start } from "./processes.ts";

/** FIXEDRAM_BENCH_ROOT: another checkout, built, to be measured with this benchmark. */
const BENCH = fileURLToPath(new URL(".", import.meta.url));
const ROOT = process.env.FIXEDRAM_BENCH_ROOT ?? fileURLToPath(new URL("..", import.meta.url));

/** One process of ours: bytes of peak memory (its shared libraries and the node program included), seconds of CPU. */
export interface Usage {
  readonly program: string;
  readonly peak: number;
  readonly cpu: number;
  /** Bytes that were given to the system to write, to files, sockets and pipes. */
  readonly written?: number;
}

export interface Command {
  readonly child: Child;
  /** Standard output, once it has ended. */
  readonly answer: Promise<string>;
  /** It has said something: `resume` does when the guest is its QEMU's, and then stays. */
  readonly answered: Promise<void>;
  /** What every process of the command used; to be asked when all have ended. */
  usage(): readonly Usage[];
}

let number = 0;

/** Starts a command. @param folder for the note of what its processes use */
export function fixedram(args: readonly string[], folder: string, stderr: "inherit" | "pipe" = "inherit"): Command {
  number++;
  const note = join(folder, `usage-${number}`);
  const child = start([process.execPath, join(ROOT, "bin", "fixedram"), ...args], {
    stdio: ["ignore", "pipe", stderr],
    env: {
      ...process.env,
      FIXEDRAM_BENCH_USAGE: note,
      NODE_OPTIONS: `--require ${join(BENCH, "usage.cjs")} ${process.env.FIXEDRAM_BENCH_NODE_OPTIONS ?? ""}`,
    },
  });
  let text = "";
  child.process.stdout?.setEncoding("utf8").on("data", (more: string) => {
    text += more;
  });
  const answer = new Promise<string>((resolve) => child.process.once("close", () => resolve(text)));
  const answered = new Promise<void>((resolve) => {
    child.process.stdout?.once("data", () => resolve());
    child.process.once("close", () => resolve());
  });
  return {
    child,
    answer,
    answered,
    usage: () => {
      const lines = readFileSync(note, "utf8").trim().split("\n");
      rmSync(note, { force: true });
      return lines.map((line): Usage => JSON.parse(line));
    },
  };
}
