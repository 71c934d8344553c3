/** How the time of a save grows: with the pages that are there, as they do; with RAM that nobody has touched, hardly. */
import { rmSync } from "node:fs";
import { join } from "node:path";
import { cont, stop } from "../src/qmp/commands.ts";
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
  const guests = [
    ...(await savedByTurns(qemu, sizes.slice(0, 2), runs, folder)),
    ...(await savedByTurns(qemu, sizes.slice(2), runs, folder)),
  ];
  const of = (index: number) => guests[index]?.median ?? Number.NaN;
  return { qemu: qemu.version, guests, twiceTheData: of(1) / of(0), sixteenTimesEmpty: of(3) / of(2) };
}

type Size = Omit<Growth["guests"][number], "median">;

/** Guests that are compared with each other, by turns; the others stand still meanwhile. */
async function savedByTurns(
  qemu: Qemu,
  sizes: readonly Size[],
  runs: number,
  folder: string,
): Promise<readonly Growth["guests"][number][]> {
  const out = join(folder, "growth.fram");
  const sides: { readonly size: Size; readonly guest: BenchGuest; readonly walls: number[] }[] = [];
  try {
    for (const size of sizes) {
      const guest = await started(qemu, size, folder);
      sides.push({ size, guest, walls: [] });
      await stop(guest.qmp);
    }
    for (let turn = 0; turn <= runs * sides.length + 1; turn++) {
      // Who begins changes from round to round.
      const round = Math.floor(turn / sides.length);
      const side = sides[(turn + round) % sides.length];
      if (side === undefined) continue;
      warmMemory(folder, side.size.dataMiB);
      await cont(side.guest.qmp);
      const { wall } = await save(side.guest, out, folder);
      await stop(side.guest.qmp);
      rmSync(out);
      if (round > 0) side.walls.push(wall);
    }
  } finally {
    for (const { guest } of sides) await guest.end();
  }
  return sides.map(({ size, walls }) => ({ ...size, median: median(walls) }));
}

async function started(qemu: Qemu, { dataMiB, memoryMiB }: Size, folder: string): Promise<BenchGuest> {
  const random = join(folder, "random");
  writeRandom(random, dataMiB);
  const options = { qemu, kind: "boot", memory: memoryMiB, dirtyRate: 4, extraArgs: loader(random) } as const;
  try {
    return await BenchGuest.start(options, folder, `growth-${qemu.label}-${dataMiB}-${memoryMiB}`);
  } finally {
    rmSync(random);
  }
}
