import type { Cpu } from "./cpu.ts";
import type { PhysicalReader } from "./physical.ts";
import { translate } from "./virtual.ts";
import { symbolAddress, symbolPhysical, type Vmcoreinfo } from "./vmcoreinfo.ts";

/** Where the kernel's own code and data lie: one run of virtual addresses over one run of physical ones. */
export interface KernelImage {
  readonly virtual: bigint;
  /** Guest-physical address and length, bytes. */
  readonly start: number;
  readonly length: number;
}

/** x86-64 keeps the image in 1 GiB. */
const mostBytes = 2 ** 30;

/**
 * The kernel image of an x86-64 Linux: from _stext on, as far as the kernel's own page tables (init_top_pgt) lead straight on.
 * Null when the kernel does not tell enough.
 */
export async function kernelImage(
  vmcoreinfo: Vmcoreinfo,
  cpus: readonly Cpu[],
  memory: PhysicalReader,
  signal?: AbortSignal,
): Promise<KernelImage | null> {
  const cpu = cpus.find((each) => each.arch === "x86" && !each.nested && /^[45]-level$/.test(each.paging));
  const virtual = symbolAddress(vmcoreinfo, "_stext");
  const tables = symbolPhysical(vmcoreinfo, "init_top_pgt") ?? symbolPhysical(vmcoreinfo, "swapper_pg_dir");
  if (cpu?.arch !== "x86" || virtual === null || tables === null) return null;
  // In user mode, with page-table isolation, a CPU's own tables hardly know the kernel.
  const kernel: Cpu = { ...cpu, cr3: BigInt(tables) };
  let start: number | null = null;
  let length = 0;
  while (length < mostBytes) {
    const found = await translate(kernel, memory, virtual + BigInt(length), signal);
    if (!found.mapped || found.pageSize === 0) break;
    start ??= found.physical;
    if (found.physical !== start + length) break;
    length += found.pageSize - (found.physical % found.pageSize);
  }
  return start === null ? null : { virtual, start, length };
}
