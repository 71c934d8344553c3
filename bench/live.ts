/** A save of a guest that goes on writing: what it costs in time, bytes and in the guest's own work, against QEMU's own file. */
import { rmSync, statSync } from "node:fs";
import { join } from "node:path";
import { cont, setMigrateCapabilities, setMigrateParameters } from "../src/qmp/commands.ts";
import type { Qemu } from "../test/qemu/harness/qemus.ts";
import { BenchGuest } from "./guest.ts";
import { save } from "./save.ts";

const ROUNDS = 4;

export interface LiveUse {
  readonly qemu: string;
  readonly way: string;
  readonly memoryMiB: number;
  /** Milliseconds. */
  readonly wall: number;
  readonly rounds: number;
  /** MiB: the file, and its size as it is told. */
  readonly fileMiB: number;
  readonly apparentMiB: number;
  /** Pages that the guest wrote per second meanwhile, of what it writes when nothing is saved. */
  readonly throughput: number;
}

/** Ours, and QEMU's own mapped-ram, of the same guest with 512 MiB. QEMU that has no mapped-ram: nothing. */
export async function liveUse(qemu: Qemu, folder: string): Promise<readonly LiveUse[]> {
  const memory = 512;
  const options = { qemu, kind: "boot", memory, still: 256, dirty: 64, dirtyRate: Infinity } as const;
  const guest = await BenchGuest.start(options, folder, `live-${qemu.label}`);
  const path = join(folder, "live.fram");
  const result = (way: string, { rate, wall, rounds }: Busy, alone: number): LiveUse => {
    const { blocks, size } = statSync(path);
    rmSync(path);
    const mib = 2 ** 20;
    return {
      qemu: qemu.version,
      way,
      memoryMiB: memory,
      wall,
      rounds,
      fileMiB: (blocks * 512) / mib,
      apparentMiB: size / mib,
      throughput: rate / alone,
    };
  };
  try {
    const alone = (await busy(guest, () => new Promise((resolve) => setTimeout(() => resolve(0), 2000)))).rate;
    const limits = ["--mode", "live", "--max-rounds", String(ROUNDS)];
    const ours = await busy(guest, async () => {
      await save(guest, path, folder, limits);
      return ROUNDS;
    });
    const mine = result("fixedram", ours, alone);
    const theirs = await busy(guest, () => ownLive(guest, path));
    return [mine, result("mapped-ram", theirs, alone)];
  } finally {
    await guest.end();
  }
}

interface Busy {
  /** Steps of the guest a millisecond. */
  readonly rate: number;
  readonly wall: number;
  readonly rounds: number;
}

async function busy(guest: BenchGuest, run: () => Promise<number>): Promise<Busy> {
  const steps = async () => Number.parseInt((await guest.serial.ask("?", /^alive \w+ (\w+)/)).match[1] ?? "0", 16);
  const before = await steps();
  const began = performance.now();
  const rounds = await run();
  const after = await steps();
  const wall = performance.now() - began;
  return { rate: (after - before) / wall, wall, rounds };
}

/** QEMU's own, ended as ours is: after so many rounds it is made to stop the guest. */
async function ownLive(guest: BenchGuest, path: string): Promise<number> {
  const { qmp } = guest;
  await setMigrateCapabilities(qmp, { "mapped-ram": true, events: true });
  await setMigrateParameters(qmp, { "max-bandwidth": 0, "downtime-limit": 300 });
  const since = qmp.sequence;
  const pass = qmp.waitForEvent(({ event, data }) => event === "MIGRATION_PASS" && Number(data["pass"]) > ROUNDS, {
    since,
  });
  void pass.then(() => setMigrateParameters(qmp, { "downtime-limit": 2_000_000 })).catch(() => {});
  await qmp.execute("migrate", { uri: `file:${path}` });
  await qmp.waitForEvent(({ event, data }) => event === "MIGRATION" && data["status"] === "completed", { since });
  await setMigrateCapabilities(qmp, { "mapped-ram": false });
  await cont(qmp);
  return ROUNDS;
}
