/** Peak memory of all processes of ours while a guest is saved and resumed. */
import { rmSync } from "node:fs";
import { join } from "node:path";
import type { GuestOptions } from "../test/qemu/harness/argv.ts";
import type { Qemu } from "../test/qemu/harness/qemus.ts";
import type { Usage } from "./fixedram.ts";
import { BenchGuest } from "./guest.ts";
import { resume } from "./resume.ts";
import { save } from "./save.ts";

export interface MemoryUse {
  readonly qemu: string;
  /** MiB. */
  readonly guestMiB: number;
  readonly dataMiB: number;
  /** Bytes: the peaks of all processes of ours, added up. */
  readonly save: number;
  readonly resume: number;
  readonly processes: { readonly save: readonly Usage[]; readonly resume: readonly Usage[] };
}

/** A guest whose data is scattered over all of its memory; over 2 GiB of it in a guest of 8 GiB. */
export async function memoryUse(qemu: Qemu, mib: number, folder: string): Promise<MemoryUse> {
  const data = mib >= 8192 ? 2200 : Math.floor(mib / 2);
  const options: GuestOptions = { qemu, kind: "boot", memory: mib, still: data, dirtyRate: 4, spread: true };
  const guest = await BenchGuest.start(options, folder, `memory-${qemu.label}-${mib}`);
  const out = join(folder, `memory-${mib}.fram`);
  try {
    const { match } = await guest.serial.ask("?", /^alive (\w+) /, 60_000);
    const saved = await save(guest, out, folder);
    await guest.end();
    const resumed = await resume(options, out, match[1] ?? "", folder);
    const processes = { save: saved.usage.map(named), resume: resumed.usage.map(named) };
    return {
      qemu: qemu.version,
      guestMiB: mib,
      dataMiB: data,
      save: peak(saved.usage),
      resume: peak(resumed.usage),
      processes,
    };
  } finally {
    await guest.end();
    rmSync(out, { force: true });
  }
}

function peak(usage: readonly Usage[]): number {
  return usage.reduce((sum, each) => sum + each.peak, 0);
}

/** The program's name without the folders it lies in. */
function named(usage: Usage): Usage {
  return { ...usage, program: usage.program.slice(usage.program.lastIndexOf("/") + 1) };
}
