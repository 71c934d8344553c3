import type { Cpu } from "../../machine/cpu.ts";
import { type InsideOptions, withInside } from "./with.ts";

export interface CpusOptions extends Omit<InsideOptions, "map"> {
  /** Only this one. */
  readonly cpu?: number;
}

export interface CpusResult {
  readonly path: string;
  readonly machine: string;
  readonly cpus: readonly Cpu[];
}

/** The CPUs as they were saved. @throws `stream.no-cpu`, `stream.unknown-cpu`, `usage.no-such-cpu`, those of {@link openSnapshot} */
export async function cpus(options: CpusOptions): Promise<CpusResult> {
  const { file, cpu } = options;
  return await withInside(options, async (inside) => ({
    path: file,
    machine: inside.snapshot.configuration.machine,
    cpus: cpu === undefined ? inside.cpus : [inside.cpu(cpu)],
  }));
}
