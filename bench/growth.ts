/** How the time of a save grows: with the pages that are there, as they do; with RAM that nobody has touched, hardly. */
import { rmSync } from "node:fs";
import { join } from "node:path";
import type { Qemu } from "../test/qemu/harness/qemus.ts";
import { BenchGuest, loader, writeRandom } from "./guest.ts";
import { median } from "./measure.ts";
import { warmMemory } from "./peers.ts";
import { save } from "./save.ts";

export interface Growth {
  readonly qemu: string;
  /** MiB of data and of RAM, and the median of its saves, ms. */
  readonly guests: readonly { readonly dataMiB: number; readonly memoryMiB: number; readonly median: number }[];
  /** Of the time: twice the data in the same RAM; the same data, with 16 times as much RAM that is empty. */
  readonly twiceTheData: number;
  readonly sixteenTimesEmpty: number;
}

export async function growth(qemu: Qemu, mib: number, runs: number, folder: string): Promise<Growth> {
  const empty = mib / 2;
  const sizes = [
    { dataMiB: mib, memoryMiB: 2 * mib + empty },
    { dataMiB: 2 * mib, memoryMiB: 2 * mib + empty },
    { dataMiB: mib, memoryMiB: mib + empty },
    { dataMiB: mib, memoryMiB: mib + 16 * empty },
  ];
  const guests: Growth["guests"][number][] = [];
  for (const size of sizes)
    guests.push({ ...size, median: await saved(qemu, size.dataMiB, size.memoryMiB, runs, folder) });
  const of = (index: number) => guests[index]?.median ?? Number.NaN;
  return { qemu: qemu.version, guests, twiceTheData: of(1) / of(0), sixteenTimesEmpty: of(3) / of(2) };
}

async function saved(qemu: Qemu, data: number, memory: number, runs: number, folder: string): Promise<number> {
  const random = join(folder, "random");
  const out = join(folder, "growth.fram");
  writeRandom(random, data);
  const options = { qemu, kind: "boot", memory, dirtyRate: 4, extraArgs: loader(random) } as const;
  const guest = await BenchGuest.start(options, folder, `growth-${qemu.label}-${data}-${memory}`);
  rmSync(random);
  const walls: number[] = [];
  try {
    for (let run = 0; run <= runs; run++) {
      warmMemory(folder, data);
      const { wall } = await save(guest, out, folder);
      rmSync(out);
      if (run > 0) walls.push(wall);
    }
  } finally {
    await guest.end();
  }
  return median(walls);
}
