/** What the figures were taken on. */
import { execFileSync } from "node:child_process";
import { cpus, release, totalmem } from "node:os";

export interface MachineFacts {
  readonly cpu: string;
  readonly cpus: number;
  /** GiB. */
  readonly memory: number;
  readonly kernel: string;
  readonly node: string;
}

export function machineFacts(): MachineFacts {
  const all = cpus();
  return {
    cpu: all[0]?.model ?? "unknown",
    cpus: all.length,
    memory: Math.round(totalmem() / 2 ** 30),
    kernel: release(),
    node: process.version,
  };
}

/** Type of the filesystem a folder lies in. */
export function filesystemOf(folder: string): string {
  return execFileSync("stat", ["-f", "-c", "%T", folder], { encoding: "utf8" }).trim();
}
