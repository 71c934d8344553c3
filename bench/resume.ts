/** Resuming: `fixedram resume FILE -- QEMU` against the same QEMU with `-incoming "exec:cat FILE"`. */
import { closeSync, openSync } from "node:fs";
import { queryStatus, setMigrateCapabilities, setMigrateParameters } from "../src/qmp/commands.ts";
import type { GuestOptions } from "../test/qemu/harness/argv.ts";
import { Serial } from "../test/qemu/harness/serial.ts";
import { type Command, fixedram, type Usage } from "./fixedram.ts";
import { commandOf, observe } from "./guest.ts";
import type { Sample } from "./measure.ts";
import { type Child, start } from "./processes.ts";
import type { Side } from "./tournament.ts";

export interface Saved {
  readonly fixedram: string;
  readonly stream: string;
  /** The guest's own, to know it again. */
  readonly bootId: string;
}

/** Ours, and what the same QEMU can do by itself with a stream and, from 9.0 on, with our file. */
export function resumeSides(guest: GuestOptions, saved: Saved, modern: boolean, folder: string): readonly Side[] {
  const own: Side = {
    name: "mapped-ram, multifd",
    run: () => ownResume(guest, saved.fixedram, saved.bootId, folder),
  };
  return [
    {
      name: "fixedram",
      run: async () => {
        const { wall, answer, usage } = await resume(guest, saved.fixedram, saved.bootId, folder);
        const { ready, load } = answer.times;
        const sum = (of: (each: Usage) => number) => usage.reduce((total, each) => total + of(each), 0);
        return {
          wall,
          more: { ready, load, "own cpu s": sum(({ cpu }) => cpu), "peak MiB": sum(({ peak }) => peak) / 2 ** 20 },
        };
      },
    },
    { name: "exec:cat", run: () => peerResume(guest, saved.stream, saved.bootId, folder) },
    ...(modern ? [own] : []),
  ];
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

/** QEMU loads the file by itself, without any check of it, driven as quickly as it goes. */
async function ownResume(guest: GuestOptions, file: string, bootId: string, folder: string): Promise<Sample> {
  number++;
  const { argv, sockets, log } = commandOf({ ...guest, incoming: "defer" }, folder, `destination-${number}`);
  const output = openSync(log, "a");
  const began = performance.now();
  const child = start(argv, { stdio: ["ignore", output, output] });
  const qmp = await observe(sockets.qmpPath, child, log);
  await setMigrateCapabilities(qmp, { "mapped-ram": true, multifd: true });
  await setMigrateParameters(qmp, { "multifd-channels": 2 });
  const wall = running(sockets.testQmpPath, child, log, began);
  await qmp.execute("migrate-incoming", { uri: `file:${file}` });
  const taken = await wall;
  closeSync(output);
  qmp.close();
  await known(sockets.serialPath, bootId);
  await child.kill();
  return { wall: taken };
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
