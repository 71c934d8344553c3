import type { Translation } from "../../machine/translation.ts";
import { type InsideOptions, type MapUsed, mapUsed, withInside } from "./with.ts";

export interface TranslateOptions extends InsideOptions {
  readonly virtual: bigint;
  /** Whose page tables; default 0. */
  readonly cpu?: number;
}

/** Addresses and entries are hexadecimal texts, `0x...`: JSON's numbers end at 2^53. */
export interface TranslateResult {
  readonly path: string;
  readonly cpu: number;
  /** How the CPU translates: `4-level`, `PAE`, ...; `stage 1` on ARM. */
  readonly paging: string;
  readonly virtual: string;
  readonly mapped: boolean;
  /** Why not; null when it is mapped. */
  readonly reason: string | null;
  readonly physical: string | null;
  /** Where that byte lies in the snapshot; null when there is no memory (a device, perhaps). */
  readonly place: { readonly block: string; readonly offset: number } | null;
  /** Bytes; 0: there is no paging; null: not mapped. */
  readonly pageSize: number | null;
  readonly rights: { readonly write: boolean; readonly user: boolean; readonly execute: boolean } | null;
  readonly marks: readonly string[];
  readonly steps: readonly {
    readonly level: number;
    readonly name: string;
    readonly index: number;
    readonly at: string;
    readonly entry: string;
  }[];
  readonly map: MapUsed;
}

/** Walks a CPU's page tables for one virtual address. @throws as {@link Inside} does; an address that is not mapped is an answer */
export async function translateAddress(options: TranslateOptions): Promise<TranslateResult> {
  const { file, virtual, cpu = 0, signal } = options;
  return await withInside(options, async (inside) => {
    const walked = inside.cpu(cpu);
    const found = await inside.translate(virtual, cpu, signal);
    const hex = (value: number | bigint) => `0x${value.toString(16)}`;
    const [run] = found.mapped && inside.physical.has(found.physical) ? inside.physical.resolve(found.physical, 1) : [];
    return {
      path: file,
      cpu,
      paging: walked.arch === "x86" ? walked.paging : "stage 1",
      virtual: hex(found.virtual),
      ...outcomeOf(found),
      place: run === undefined ? null : { block: run.block.name, offset: run.offset },
      steps: found.steps.map(({ level, name, index, at, entry }) => ({
        level,
        name,
        index,
        at: hex(at),
        entry: hex(entry),
      })),
      map: mapUsed(inside.memoryMap),
    };
  });
}

function outcomeOf(
  found: Translation,
): Pick<TranslateResult, "mapped" | "reason" | "physical" | "pageSize" | "rights" | "marks"> {
  if (!found.mapped) {
    return { mapped: false, reason: found.reason, physical: null, pageSize: null, rights: null, marks: [] };
  }
  const { physical, pageSize, rights, marks } = found;
  return { mapped: true, reason: null, physical: `0x${physical.toString(16)}`, pageSize, rights, marks };
}
