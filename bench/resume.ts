/** Resuming: `fixedram resume FILE -- QEMU` against the same QEMU with `-incoming "exec:cat FILE"`. */
import { closeSync, openSync } from "node:fs";
import { queryStatus } from "../src/qmp/commands.ts";
import type { GuestOptions } from "../test/qemu/harness/argv.ts";
import { Serial } from "../test/qemu/harness/serial.ts";
import { type Command, fixedram, type Usage } from "./fixedram.ts";
import { commandOf, observe } from "./guest.ts";
import type { Contest, Sample } from "./measure.ts";
import { type Child, start } from "./processes.ts";

export interface Saved {
  readonly fixedram: string;
  readonly stream: string;
  /** The guest's own, to know it again. */
  readonly bootId: string;
}

export function resumeContest(guest: GuestOptions, saved: Saved, qemu: string, place: string, folder: string): Contest {
  return {
    name: `resume, ${place}`,
    qemu,
    ours: {
      text: "fixedram resume FILE -- QEMU, start of node to the guest running",
      run: async () => {
        const { wall, answer, usage } = await resume(guest, saved.fixedram, saved.bootId, folder);
        const { ready, load } = answer.times;
        return { wall, more: { ready, load, "cpu s": usage.reduce((sum, { cpu }) => sum + cpu, 0) } };
      },
    },
    peer: {
      text: `QEMU -incoming "exec:cat FILE", start of QEMU to the guest running`,
      run: () => peerResume(guest, saved.stream, saved.bootId, folder),
    },
  };
}

interface ResumeAnswer {
  readonly transport: string;
  readonly times: { readonly ready: number; readonly load: number; readonly total: number };
}

let number = 0;

/** One resume of ours, timed from before the process is made until the guest runs. */
export async function resume(
  guest: GuestOptions,
  file: string,
  bootId: string,
  folder: string,
): Promise<{ readonly wall: number; readonly answer: ResumeAnswer; readonly usage: readonly Usage[] }> {
  number++;
  const { argv, sockets, log } = commandOf(guest, folder, `destination-${number}`);
  const began = performance.now();
  const command: Command = fixedram(["resume", file, "--json", "--quiet", "--", ...argv], folder);
  const wall = await running(sockets.testQmpPath, command.child, log, began);
  await known(sockets.serialPath, bootId);
  await command.answered;
  // Goes on to QEMU. A process that is killed could not say what it used.
  await command.child.kill("SIGTERM");
  const text = await command.answer;
  return { wall, answer: JSON.parse(text), usage: command.usage() };
}

async function peerResume(guest: GuestOptions, file: string, bootId: string, folder: string): Promise<Sample> {
  number++;
  const options = { ...guest, incoming: `exec:cat ${file}` };
  const { argv, sockets, log } = commandOf(options, folder, `destination-${number}`);
  const output = openSync(log, "a");
  const began = performance.now();
  const child = start(argv, { stdio: ["ignore", output, output] });
  const wall = await running(sockets.testQmpPath, child, log, began);
  closeSync(output);
  await known(sockets.serialPath, bootId);
  await child.kill();
  return { wall };
}

/** Milliseconds from `began` until the guest runs; the same onlooker for both sides. */
export async function running(qmpPath: string, child: Child, log: string, began: number): Promise<number> {
  const qmp = await observe(qmpPath, child, log);
  const runs = qmp.waitForEvent(({ event }) => event === "RESUME", { since: 0, timeout: 120_000 });
  const { status } = await queryStatus(qmp);
  if (status !== "running") await runs;
  else runs.catch(() => {});
  const wall = performance.now() - began;
  qmp.close();
  return wall;
}

/** Asks the guest itself. */
async function known(serialPath: string, bootId: string): Promise<void> {
  const serial = await Serial.connect(serialPath);
  const { match, line } = await serial.ask("?", /^(?:alive|BAD) (\w+) /);
  serial.close();
  if (match[1] !== bootId || line.startsWith("BAD")) throw new Error(`not the guest that was saved: ${line}`);
}
