/** Instant resume: `fixedram resume --lazy` against the same QEMU's eager resume of the same guest (`fixedram resume`, which reads the file's fixed places where QEMU can). */
import { execFileSync } from "node:child_process";
import { existsSync, mkdirSync, readFileSync, rmSync } from "node:fs";
import { join } from "node:path";
import type { LazyResumeResult } from "../src/operations/resume-lazy.ts";
import type { GuestOptions } from "../test/qemu/harness/argv.ts";
import type { Qemu } from "../test/qemu/harness/qemus.ts";
import { Serial } from "../test/qemu/harness/serial.ts";
import { fixedram } from "./fixedram.ts";
import { BenchGuest, commandOf } from "./guest.ts";
import type { Contest, Sample } from "./measure.ts";
import { running } from "./resume.ts";
import { save } from "./save.ts";

/** A guest that was saved, and is left on disk for all the runs. */
export interface LazyGuest {
  readonly options: GuestOptions;
  readonly file: string;
}

/** How the guest is asked something, and what it answers. */
const questions = {
  boot: { ask: "?", answer: /^(?:alive|BAD) / },
  linux: { ask: "status\n", answer: /^status / },
} as const;

/** A guest that holds data in four fifths of its memory, of random bytes if it is Linux. */
export function fullGuest(qemu: Qemu, kind: "boot" | "linux", mib: number): GuestOptions {
  // A Linux guest needs room for itself and its programs.
  const still = kind === "boot" ? Math.floor(mib * 0.8) - 4 : Math.floor(mib * 0.8) - 80;
  const common = { qemu, kind, memory: mib, still } as const;
  return kind === "boot" ? { ...common, dirty: 4, dirtyRate: 4 } : { ...common, machine: "q35", disk: false };
}

/** Boots and saves it, unless `folder` has it from an earlier run. */
export async function savedGuest(qemu: Qemu, kind: "boot" | "linux", mib: number, folder: string): Promise<LazyGuest> {
  const options = fullGuest(qemu, kind, mib);
  const file = join(folder, `${kind}-${mib}-${qemu.version}.fram`);
  if (existsSync(file)) return { options, file };
  mkdirSync(folder, { recursive: true });
  const guest = await BenchGuest.start(options, folder, `source-${kind}-${mib}-${qemu.label}`);
  try {
    await guest.serial.ask(questions[kind].ask, questions[kind].answer, 300_000);
    await save(guest, file, folder);
  } finally {
    await guest.end();
  }
  return { options, file };
}

/** From QEMU's answer to the guest running, as the two commands tell it. */
export function runningContest(guest: LazyGuest, qemu: string, folder: string): Contest {
  return {
    name: `lazy: running, ${guest.options.memory} MiB`,
    qemu,
    ours: {
      text: "resume --lazy, from QEMU ready to the guest running",
      run: async () => {
        const { answer } = await resume(guest, folder, ["--lazy", "--prefetch", "none"], async () => null);
        const { running: ran, complete, ready } = (answer as LazyResumeResult).times;
        return { wall: ran, more: { ready, complete } };
      },
    },
    peer: {
      text: "resume, from QEMU ready to the guest running",
      run: async () => {
        const { answer } = await resume(guest, folder, [], async () => null);
        return { wall: (answer as { readonly times: { readonly load: number } }).times.load };
      },
    },
  };
}

/** From the start of node to the guest's answer on its serial line, the file not in the page cache. */
export function outputContest(guest: LazyGuest, qemu: string, folder: string, recorded: boolean): Contest {
  const events = join(folder, "events");
  const workset = join(folder, "recorded.workset");
  const { ask, answer: pattern } = questions[guest.options.kind];
  const asked = (serialPath: string) => answered(serialPath, ask, pattern);
  const lazily = async (): Promise<Sample> => {
    evict(guest.file);
    const choice = recorded ? workset : "none";
    const words = ["--lazy", "--prefetch", choice, "--events", events];
    const { seen, epoch } = await resume(guest, folder, words, asked);
    const lines = readFileSync(events, "utf8").trim().split("\n");
    const faults = lines.filter((line) => {
      const { kind, time } = JSON.parse(line) as { readonly kind: string; readonly time: number };
      return kind === "fault" && time < epoch;
    });
    return { wall: seen, more: { "faults before": faults.length } };
  };
  return {
    name: `lazy: first output, ${guest.options.memory} MiB, cold file${recorded ? ", recorded working set" : ""}`,
    qemu,
    ours: {
      text: "resume --lazy, start of node to the guest's answer",
      run: async (index) => {
        if (index === 0) rmSync(workset, { force: true });
        return lazily();
      },
    },
    peer: {
      text: "resume, start of node to the guest's answer",
      run: async () => {
        evict(guest.file);
        return { wall: (await resume(guest, folder, [], asked)).seen };
      },
    },
  };
}

/** From the start of node to the guest's word that every byte of its memory is right; the file in the page cache. */
export function checksumContest(guest: LazyGuest, qemu: string, folder: string): Contest {
  const verified = (serialPath: string) => answered(serialPath, "!", /^(?:verified|BAD) /);
  return {
    name: `lazy: checksum of all memory, ${guest.options.memory} MiB`,
    qemu,
    ours: {
      text: "resume --lazy, start of node to the guest's verdict",
      run: async () => {
        const { seen, answer } = await resume(guest, folder, ["--lazy", "--prefetch", "none"], verified);
        const { faults, times } = answer as LazyResumeResult;
        const { p50, p99 } = faults.latency;
        return { wall: seen, more: { faults: faults.served, "p50 us": p50, "p99 us": p99, complete: times.complete } };
      },
    },
    peer: {
      text: "resume, start of node to the guest's verdict",
      run: async () => ({ wall: (await resume(guest, folder, [], verified)).seen }),
    },
  };
}

let number = 0;

interface Resumed {
  readonly answer: unknown;
  /** Milliseconds from the start of node until `look` was through, and that moment since 1970. */
  readonly seen: number;
  readonly epoch: number;
}

/** Resumes, looks at the guest once it runs, and ends it. */
async function resume(
  { options, file }: LazyGuest,
  folder: string,
  words: readonly string[],
  look: (serialPath: string) => Promise<unknown>,
): Promise<Resumed> {
  number++;
  const own = join(folder, `lazy-${number}`);
  const { argv, sockets, log } = commandOf(options, folder, `lazy-${number}`);
  const began = performance.now();
  const command = fixedram(["resume", file, "--json", "--quiet", ...words, "--", ...argv], folder);
  await running(sockets.testQmpPath, command.child, log, began);
  await look(sockets.serialPath);
  const seen = performance.now() - began;
  const epoch = Date.now();
  await command.answered;
  await command.child.kill("SIGTERM");
  const text = await command.answer;
  command.usage();
  rmSync(own, { recursive: true, force: true });
  return { answer: JSON.parse(text), seen, epoch };
}

async function answered(serialPath: string, ask: string, pattern: RegExp): Promise<void> {
  const serial = await Serial.connect(serialPath);
  const { line } = await serial.ask(ask, pattern, 120_000);
  serial.close();
  if (line.startsWith("BAD")) throw new Error(`the guest is damaged: ${line}`);
}

/** Takes the file out of the page cache: posix_fadvise(DONTNEED), as dd does it. */
export function evict(file: string): void {
  execFileSync("dd", [`if=${file}`, "iflag=nocache", "count=0", "status=none"]);
}
