import type { Container } from "../containers/snapshot.ts";
import type { MemoryMap, PhysicalRange } from "../machine/memory-map.ts";
import { ExportRun } from "./export/run.ts";
import type { LookOptions } from "./inspect.ts";
import type { Notice } from "./progress.ts";

export type ExportFormat = "elf" | "raw" | "lime" | "kdump";

export interface ExportOptions extends LookOptions {
  /** Path of the snapshot. */
  readonly file: string;
  /** Path to write. */
  readonly output: string;
  /** Default `elf`. */
  readonly format?: ExportFormat;
  /** The guest's physical memory map, in place of what was recorded or what QEMU's rules say. */
  readonly map?: string;
  /** Take the file although it is not as it was sealed. */
  readonly force?: boolean;
}

export interface ExportResult {
  readonly input: { readonly path: string; readonly container: Container };
  readonly path: string;
  readonly format: ExportFormat;
  readonly machine: string;
  /** What was written of the guest's physical memory, by address; lengths in bytes. */
  readonly ranges: readonly PhysicalRange[];
  /** Where the memory map is from. */
  readonly memoryMap: MemoryMap["from"];
  /** The pages were compared with the snapshot's seal; false: it has none, or `force` was given. */
  readonly checked: boolean;
  /** CPUs whose registers are in the file; 0 for raw and lime, which have no place for them. */
  readonly cpus: number;
  /** The kernel's own note; null where none was found, or the format has no place for it. */
  readonly vmcoreinfo: {
    readonly from: "device" | "search";
    /** Guest-physical address. */
    readonly address: number;
    readonly release: string;
    /** How far KASLR moved the kernel, `0x...`; null where the kernel does not tell. For gdb: symbol-file vmlinux -o OFFSET. */
    readonly kernelOffset: string | null;
  } | null;
  /** Bytes: physical memory, and the file with and without its holes. */
  readonly sizes: { readonly memory: number; readonly apparent: number; readonly allocated: number };
  /** Milliseconds. */
  readonly time: number;
  readonly notices: readonly Notice[];
}

/**
 * Writes a guest's physical memory in a format that debuggers read. The snapshot is only read; an older file of the output's name
 * stays until the new one is complete and on disk. Pages of a sealed snapshot are compared with their digests on the way. Memory: a few
 * fixed buffers.
 *
 * @throws FixedramError `file.*`, `stream.*`, `seal.*` for the snapshot; `usage.*`, `system.*` for the output; the signal's reason
 */
export async function exportSnapshot(options: ExportOptions): Promise<ExportResult> {
  return new ExportRun(options).go();
}
