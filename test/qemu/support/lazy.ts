/** Lazy resumes: whole ones, and ones that something happens to while pages are outstanding. */
import { readFileSync } from "node:fs";
import { expect } from "vitest";
import type { LazyResumeResult } from "../../../src/operations/resume-lazy.ts";
import { QmpClient } from "../../../src/qmp/client.ts";
import { type CliRun, type Guest, type Qemu, Serial, startFixedram } from "../harness/index.ts";
import { type ResumeChoices, type Resumed, resume, resumeCommand } from "./steps.ts";

type Result = Omit<LazyResumeResult, "process"> & { readonly process: { readonly pid: number; readonly qmp: string } };

export type LazilyResumed = Omit<Resumed, "result"> & { readonly result: Result };

/** `fixedram resume --lazy FILE -- QEMU like the guest's`, until all RAM is in. */
export async function lazily(
  guest: Pick<Guest, "options">,
  file: string,
  on: Qemu,
  { args = [], qemuArgs = [] }: ResumeChoices = {},
): Promise<LazilyResumed> {
  const resumed: unknown = await resume(guest, file, on, { args: ["--lazy", ...args], qemuArgs });
  return resumed as LazilyResumed;
}

/** A lazy resume under way: the guest runs, and much of its memory is not there yet. */
export interface UnderWay {
  readonly pid: number;
  readonly serial: Serial;
  /** Of the page server that is at work now; null when none is seen. */
  server(): number | null;
  readonly ended: Promise<CliRun>;
  /** What fixedram has said on standard error. */
  stderr(): string;
  signal(name: NodeJS.Signals): void;
  /** Its answer; fails with what it said instead. */
  answer(): Promise<Result>;
  quit(result: Result): Promise<CliRun>;
}

/** Slow enough that there is time to do something to it. */
export const slowly = ["--push-rate", "20M", "--around", "1", "--prefetch", "none"];

/** Starts a lazy resume and waits until the guest runs. */
export async function beginLazily(
  guest: Pick<Guest, "options">,
  file: string,
  on: Qemu,
  { args = slowly, qemuArgs = [] }: ResumeChoices = {},
): Promise<UnderWay> {
  const { argv, serialPath } = resumeCommand({ ...guest.options, qemu: on }, qemuArgs);
  const { child, ended } = startFixedram(["resume", file, "--lazy", "--json", ...args, "--", ...argv]);
  let stderr = "";
  let stdout = "";
  child.stdout.on("data", (text: string) => {
    stdout += text;
  });
  await new Promise<void>((resolve, reject) => {
    child.stderr.on("data", (text: string) => {
      stderr += text;
      if (stderr.includes('"code":"running"')) resolve();
    });
    ended.then((run) => reject(new Error(`fixedram ended with ${run.code}: ${run.stdout}${run.stderr}`)), reject);
  });
  const serial = await Serial.connect(serialPath, 10_000);
  const pid = child.pid ?? -1;
  return {
    pid,
    serial,
    ended,
    server: () => childrenOf(pid).find((each) => commandOf(each).includes("lazy/server")) ?? null,
    stderr: () => stderr,
    signal: (name) => void process.kill(pid, name),
    answer: async () => {
      await new Promise<void>((resolve) => {
        const look = () => stdout.includes("\n") && resolve();
        child.stdout.on("data", look);
        ended.then(() => resolve());
        look();
      });
      const result = JSON.parse(stdout || "{}") as Result;
      expect(result, stdout + stderr).not.toHaveProperty("error");
      return result;
    },
    quit: async (result) => {
      const client = await QmpClient.connect(result.process.qmp);
      await client.execute("quit").catch(() => {});
      client.close();
      return await ended;
    },
  };
}

export function childrenOf(pid: number): number[] {
  try {
    return readFileSync(`/proc/${pid}/task/${pid}/children`, "utf8").trim().split(" ").filter(Boolean).map(Number);
  } catch {
    return [];
  }
}

export function commandOf(pid: number): string {
  try {
    return readFileSync(`/proc/${pid}/cmdline`, "utf8").replaceAll("\0", " ");
  } catch {
    return "";
  }
}
