import { FixedramError, withPath } from "../../errors.ts";
import type { MemoryMap } from "../../machine/memory-map.ts";
import { type LookOptions, openOptions } from "../inspect.ts";
import { openSnapshot } from "../open.ts";
import { Inside } from "./open.ts";

/** What every look inside takes. */
export interface InsideOptions extends LookOptions {
  readonly file: string;
  /**
   * Physical memory map: ranges `START+LENGTH=BLOCK[@OFFSET],...`, or `pc`, `q35`, `microvm`, `virt` for QEMU's rules. Left out:
   * what was recorded at the save, else the rules for the machine type.
   */
  readonly map?: string;
}

/** Which memory map an answer stands on. */
export type MapUsed = Pick<MemoryMap, "from" | "note">;

export function mapUsed({ from, note }: MemoryMap): MapUsed {
  return { from, note };
}

/** Opens a snapshot, does something with it, closes it. Errors carry its path. */
export async function withInside<T>(options: InsideOptions, work: (inside: Inside) => Promise<T>): Promise<T> {
  const { file, map } = options;
  const snapshot = await openSnapshot(file, openOptions(options));
  try {
    return await work(new Inside(snapshot, map));
  } catch (error) {
    throw error instanceof FixedramError ? withPath(error, file) : error;
  } finally {
    await snapshot.close();
  }
}
