/** Many from one: `fixedram clone` against as many of the same QEMUs that are only started. */
import { closeSync, mkdirSync, openSync, readFileSync, rmSync } from "node:fs";
import { join } from "node:path";
import type { CloneResult } from "../src/operations/clone.ts";
import { guestArgv, serialArgs, settle } from "../test/qemu/harness/argv.ts";
import { fixedram } from "./fixedram.ts";
import { commandOf, observe } from "./guest.ts";
import { evict, type LazyGuest } from "./lazy.ts";
import type { Contest, Sample } from "./measure.ts";
import { type Child, start } from "./processes.ts";

export function cloneContest(guest: LazyGuest, qemu: string, folder: string, count: number): Contest {
  return {
    name: `${count} clones of ${guest.options.memory} MiB, all running`,
    qemu,
    ours: {
      text: `fixedram clone -n ${count}, start of node to the last guest running; the file in the page cache`,
      run: async () => {
        // Each in its turn: the cold one is for the faults alone.
        const cold = await clones(guest, folder, count, true);
        const warm = await clones(guest, folder, count, false);
        return {
          wall: warm.running,
          more: {
            "cold running": cold.running,
            "cold p99 us": Math.max(...cold.result.clones.map(({ latency }) => latency?.p99 ?? 0)),
            "warm p99 us": Math.max(...warm.result.clones.map(({ latency }) => latency?.p99 ?? 0)),
            "memory MiB": Math.max(cold.memory, warm.memory) / 2 ** 20,
            complete: warm.complete,
          },
        };
      },
    },
    peer: {
      text: `${count} QEMUs with -incoming defer, start of the first to the last one's QMP answer`,
      run: () => empty(guest, folder, count),
    },
  };
}

interface Cloned {
  readonly result: CloneResult;
  /** Milliseconds from the start of node. */
  readonly running: number;
  readonly complete: number;
  /** Bytes: the highest sum of what our processes had at one time. */
  readonly memory: number;
}

let number = 0;

async function clones({ options, file }: LazyGuest, folder: string, count: number, cold: boolean): Promise<Cloned> {
  number++;
  const own = join(folder, `clones-${number}`);
  mkdirSync(own);
  const argv = [...guestArgv(settle(options, own), undefined), ...serialArgs(join(own, "serial-{n}"))];
  if (cold) evict(file);
  const began = performance.now();
  const command = fixedram(
    ["clone", file, "-n", String(count), "--json", "--prefetch", "none", "--", ...argv],
    folder,
    "pipe",
  );
  const pid = command.child.process.pid ?? -1;
  let memory = 0;
  const watch = setInterval(() => {
    memory = Math.max(memory, memoryOf(pid));
  }, 50);
  let ran = 0;
  let running = 0;
  command.child.process.stderr?.setEncoding("utf8").on("data", (text: string) => {
    ran += text.split('"type":"clone"').filter((each) => /"state":"running"/.test(each.split("\n")[0] ?? "")).length;
    if (ran === count && running === 0) running = performance.now() - began;
  });
  await command.answered;
  clearInterval(watch);
  const complete = performance.now() - began;
  await command.child.kill("SIGTERM");
  const result = JSON.parse(await command.answer) as CloneResult;
  command.usage();
  const failed = result.clones.find(({ error }) => error !== null);
  if (failed !== undefined || running === 0) throw new Error(`a clone failed: ${JSON.stringify(failed?.error)}`);
  rmSync(own, { recursive: true });
  return { result, running, complete, memory };
}

/** Bytes of the command and its page server, shared libraries and the program included. */
function memoryOf(pid: number): number {
  try {
    const children = readFileSync(`/proc/${pid}/task/${pid}/children`, "utf8").trim().split(" ").filter(Boolean);
    const ours = [String(pid), ...children].filter(
      (each) => /node/.test(readFileSync(`/proc/${each}/comm`, "utf8")) || each === String(pid),
    );
    return ours.reduce((sum, each) => sum + residentOf(each), 0);
  } catch {
    return 0;
  }
}

function residentOf(pid: string): number {
  return Number(/^VmRSS:\s*(\d+)/m.exec(readFileSync(`/proc/${pid}/status`, "utf8"))?.[1] ?? 0) * 1024;
}

async function empty({ options }: LazyGuest, folder: string, count: number): Promise<Sample> {
  const children: Child[] = [];
  const began = performance.now();
  const ready = Array.from({ length: count }, async () => {
    number++;
    const { argv, sockets, log } = commandOf({ ...options, incoming: "defer" }, folder, `empty-${number}`);
    const output = openSync(log, "a");
    const child = start(argv, { stdio: ["ignore", output, output] });
    closeSync(output);
    children.push(child);
    (await observe(sockets.testQmpPath, child, log)).close();
  });
  await Promise.all(ready);
  const wall = performance.now() - began;
  await Promise.all(children.map((child) => child.kill()));
  return { wall };
}
