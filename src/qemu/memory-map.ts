/**
 * The guest's physical memory map, from the human monitor's `info mtree -f` and `info ramblock` (system/memory.c and
 * system/physmem.c in QEMU). QMP has nothing of the kind. The text is the same from 7.2 to 10.0 but for two more columns in
 * `info ramblock`.
 */
import { FixedramError } from "../errors.ts";
import type { ExecuteOptions, QmpClient } from "../qmp/client.ts";
import { humanMonitorCommand } from "../qmp/commands.ts";

export interface MemoryRange {
  /** Guest-physical address and length, bytes. */
  readonly start: number;
  readonly length: number;
  /** RAM block as the migration stream names it (latin1); null when more than one block could be meant. */
  readonly block: string | null;
  /** The memory region's own name: `vga.vram` where the block is `0000:00:02.0/vga.vram`. */
  readonly region: string;
  /** Offset in the block, bytes. */
  readonly offset: number;
  readonly readOnly: boolean;
}

export interface RamBlockInfo {
  /** idstr, as in the migration stream. */
  readonly name: string;
  /** Host page size, bytes. */
  readonly pageSize: number;
  /** used_length and max_length, bytes. */
  readonly used: number;
  readonly total: number;
}

/** RAM and ROM ranges of the first CPU's address space, by address. Errors: those of ask, and `qemu.memory-map`. */
export async function queryMemoryMap(client: QmpClient, options?: ExecuteOptions): Promise<readonly MemoryRange[]> {
  const blocks = parseRamblocks(await humanMonitorCommand(client, "info ramblock", options));
  return parseMtree(await humanMonitorCommand(client, "info mtree -f", options), blocks);
}

export async function queryRamblocks(client: QmpClient, options?: ExecuteOptions): Promise<readonly RamBlockInfo[]> {
  return parseRamblocks(await humanMonitorCommand(client, "info ramblock", options));
}

/** Reads the text of `info ramblock`. A name may hold blanks: it is what stands before the page size. */
export function parseRamblocks(text: string): readonly RamBlockInfo[] {
  const blocks: RamBlockInfo[] = [];
  for (const line of text.split(/\r?\n/)) {
    const match = /^\s*(.+?)\s+([0-9]+) ([KMGT]?)iB\s+0x[0-9a-f]+ 0x([0-9a-f]+) 0x([0-9a-f]+)(?:\s|$)/.exec(line);
    const [, name, size, unit, used, total] = match ?? [];
    if (name === undefined || used === undefined || total === undefined) continue;
    blocks.push({
      name,
      pageSize: Number(size) * 1024 ** " KMGT".indexOf(unit || " "),
      used: hex(used),
      total: hex(total),
    });
  }
  return blocks;
}

/** Reads the text of `info mtree -f`. Errors: `qemu.memory-map` when it has no flat view of a CPU's memory. */
export function parseMtree(text: string, blocks: readonly RamBlockInfo[]): readonly MemoryRange[] {
  const views = text.split(/^FlatView #/m).slice(1);
  const view =
    views.find((each) => /^ AS "cpu-memory-0"/m.test(each)) ?? views.find((each) => /^ AS "memory"/m.test(each));
  if (view === undefined) {
    throw new FixedramError("qemu.memory-map", "info mtree shows no flat view of a CPU's memory", {
      found: text.slice(0, 200),
    });
  }
  return view
    .split(/\r?\n/)
    .map((line) => parseRange(line, blocks))
    .filter((range) => range !== null)
    .sort((a, b) => a.start - b.start);
}

/**
 * `  START-END (prio N, KIND): NAME[ @OFFSET][ KVM]`, hexadecimal, END inclusive. Kinds: ram, rom, romd (flash, read like ROM);
 * not i/o, nor ramd (a device's memory, which no snapshot holds).
 */
function parseRange(line: string, blocks: readonly RamBlockInfo[]): MemoryRange | null {
  const match =
    /^\s+([0-9a-f]{16})-([0-9a-f]{16}) \(prio -?[0-9]+, (?:nv-)?(ram|rom|romd)\): (.+?)(?: @([0-9a-f]{16}))?(?: (?:KVM|HVF|accel))?$/.exec(
      line,
    );
  const [, first, last, kind, region, at] = match ?? [];
  if (first === undefined || last === undefined || region === undefined) return null;
  const start = hex(first);
  const length = hex(last) - start + 1;
  const offset = at === undefined ? 0 : hex(at);
  const block = blockOf(region, offset + length, blocks);
  return { start, length, block, region, offset, readOnly: kind !== "ram" };
}

/** A device's blocks are called `DEVICE-PATH/REGION`; two like devices cannot be told apart by the region's name. */
function blockOf(region: string, end: number, blocks: readonly RamBlockInfo[]): string | null {
  const exact = blocks.find((block) => block.name === region);
  if (exact !== undefined) return exact.name;
  const alike = blocks.filter((block) => block.name.endsWith(`/${region}`) && block.total >= end);
  const [only] = alike;
  return alike.length === 1 && only !== undefined ? only.name : null;
}

function hex(digits: string): number {
  const value = Number.parseInt(digits, 16);
  // The end of the 64-bit address space itself is shown for unbounded regions; no RAM lies past 2^53.
  if (Number.isSafeInteger(value)) return value;
  throw new FixedramError("qemu.memory-map", "a memory range lies past 2^53", { found: digits });
}
