import { FixedramError } from "../../errors.ts";
import type { Cpu } from "../../machine/cpu.ts";
import { integerOr } from "../../machine/fields.ts";
import {
  isCurrent,
  noteHeadBytes,
  noteLength,
  noteName,
  parseVmcoreinfo,
  type Vmcoreinfo,
} from "../../machine/vmcoreinfo.ts";
import type { RamBlock } from "../../pages/block.ts";
import { copyPages } from "../../pages/copy.ts";
import type { PageBatch } from "../../pages/sink.ts";
import type { Inside } from "../inside/open.ts";

export interface FoundVmcoreinfo extends Vmcoreinfo {
  /** `device`: QEMU's vmcoreinfo device was told by the guest; `search`: found in its memory. */
  readonly from: "device" | "search";
  /** Guest-physical address of the note. */
  readonly address: number;
}

/** More than these would be somebody's joke. */
const mostCandidates = 1000;

/**
 * Finds the running kernel's VMCOREINFO: by what the guest told QEMU's vmcoreinfo device, else by searching its memory. A note
 * counts only when it is that of the kernel that runs. Null when there is none.
 *
 * @throws what reading throws; the signal's reason
 */
export async function findVmcoreinfo(
  inside: Inside,
  cpus: readonly Cpu[],
  options: { readonly signal?: AbortSignal; readonly onPages?: (bytes: number) => void },
): Promise<FoundVmcoreinfo | null> {
  const told = toldByDevice(inside);
  const { signal } = options;
  if (told !== null) {
    const found = await candidate(inside, cpus, told, "device", signal);
    if (found !== null) return found;
  }
  for (const address of await search(inside, options)) {
    const found = await candidate(inside, cpus, address, "search", signal);
    if (found !== null) return found;
  }
  return null;
}

/** Address that the guest wrote to fw_cfg's etc/vmcoreinfo: QEMU's docs/specs/vmcoreinfo.rst, hw/misc/vmcoreinfo.c. */
function toldByDevice(inside: Inside): number | null {
  try {
    return addressTold(inside);
  } catch (error) {
    // No vmdesc, or not the fields that are known: then it is searched for.
    if (error instanceof FixedramError && error.code.startsWith("stream.")) return null;
    throw error;
  }
}

function addressTold({ sections }: Inside): number | null {
  const state = sections.find("vmcoreinfo")?.state ?? null;
  const [has, format] = ["has_vmcoreinfo", "vmcoreinfo.guest_format"].map((name) => integerOr(state, name, 0n));
  const address = integerOr(state, "vmcoreinfo.paddr", null);
  // Format 1: an ELF note.
  if (has !== 1n || format !== 1n || address === null || address >= 2n ** 52n) return null;
  return Number(address);
}

async function candidate(
  inside: Inside,
  cpus: readonly Cpu[],
  address: number,
  from: FoundVmcoreinfo["from"],
  signal: AbortSignal | undefined,
): Promise<FoundVmcoreinfo | null> {
  try {
    const head = new Uint8Array(noteHeadBytes + noteName.length + 1);
    await inside.readPhysical(address, head, signal);
    const length = noteLength(head);
    if (length === null) return null;
    const note = new Uint8Array(length);
    await inside.readPhysical(address, note, signal);
    const parsed = parseVmcoreinfo(note);
    if (parsed === null || !(await isCurrent(parsed, inside.physical, cpus, signal))) return null;
    return { ...parsed, from, address };
  } catch (error) {
    if (error instanceof FixedramError && error.code === "usage.no-memory") return null;
    throw error;
  }
}

/** Physical addresses where a note may begin, in the order in which they are found. */
async function search(
  inside: Inside,
  { signal, onPages }: { readonly signal?: AbortSignal; readonly onPages?: (bytes: number) => void },
): Promise<number[]> {
  const found: number[] = [];
  const needle = Buffer.from(noteName);
  const writePages = (batch: PageBatch): void => {
    const { block, chunk, count, offsets, pages } = batch;
    const bytes = Buffer.from(chunk.buffer, chunk.byteOffset, chunk.length);
    const end = (offsets[count - 1] ?? 0) + block.pageSize;
    let at = bytes.indexOf(needle, offsets[0] ?? 0);
    for (let k = 0; at >= 0 && at < end && found.length < mostCandidates; at = bytes.indexOf(needle, at + 1)) {
      while (k < count - 1 && (offsets[k + 1] ?? 0) <= at) k++;
      const inPage = at - (offsets[k] ?? 0) - noteHeadBytes;
      if (inPage < 0 || inPage >= block.pageSize) continue;
      found.push(...inside.physical.addressesOf(block.name, (pages[k] ?? 0) * block.pageSize + inPage));
    }
  };
  const zeroPages = (_block: RamBlock, _first: number, _count: number): void => {};
  await copyPages(
    inside.snapshot.map,
    { writePages, zeroPages },
    { ...(signal === undefined ? {} : { signal }), ...(onPages === undefined ? {} : { onPages }) },
  );
  return found;
}
