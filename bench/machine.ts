/** What the figures were taken on. */
import { execFileSync } from "node:child_process";
import { cpus, loadavg, release, totalmem } from "node:os";

export interface MachineFacts {
  readonly cpu: string;
  readonly cpus: number;
  /** GiB. */
  readonly memory: number;
  readonly kernel: string;
  readonly node: string;
  /** Processes that ran or wanted to, over 1, 5 and 15 minutes, at the end; this benchmark itself is about 2. */
  readonly load: readonly number[];
}

export function machineFacts(): MachineFacts {
  const all = cpus();
  return {
    cpu: all[0]?.model ?? "unknown",
    cpus: all.length,
    memory: Math.round(totalmem() / 2 ** 30),
    kernel: release(),
    node: process.version,
    load: loadavg(),
  };
}

/** Type of the filesystem a folder lies in. */
export function filesystemOf(folder: string): string {
  return execFileSync("stat", ["-f", "-c", "%T", folder], { encoding: "utf8" }).trim();
}
