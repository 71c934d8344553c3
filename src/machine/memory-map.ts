import { printable } from "../bytes/text.ts";
import { FixedramError } from "../errors.ts";
import type { RamBlock } from "../pages/block.ts";

/** Guest-physical addresses [start, start + length) are bytes [offset, offset + length) of a RAM block. */
export interface PhysicalRange {
  readonly start: number;
  readonly length: number;
  /** Name, bytes as latin1. */
  readonly block: string;
  readonly offset: number;
  /** The guest can't write there: ROM, or RAM that the chipset write-protects. */
  readonly readOnly: boolean;
}

/** Where a guest's RAM blocks lie in its physical addresses; ranges by address, none overlapping another. */
export interface MemoryMap {
  readonly ranges: readonly PhysicalRange[];
  /** `recorded` at the save; `given` by the user; `rules`: QEMU's documented layout of the machine type. */
  readonly from: "recorded" | "given" | "rules";
  /** What a person is told about it, one line. */
  readonly note: string;
}

/** What a memory map is chosen by. */
export interface MapSource {
  /** Machine type as the stream has it. */
  readonly machine: string;
  readonly blocks: readonly RamBlock[];
  /** From the seal; empty when nothing was recorded. */
  readonly recorded: readonly (Omit<PhysicalRange, "readOnly"> & { readonly readOnly?: unknown })[];
}

/**
 * Checks ranges against the blocks and orders them.
 *
 * @throws `file.memory-map` when they overlap, or name what the snapshot does not have
 */
export function checkRanges(ranges: readonly PhysicalRange[], blocks: readonly RamBlock[]): readonly PhysicalRange[] {
  const ordered = [...ranges].sort((a, b) => a.start - b.start);
  const named = new Map(blocks.map((block) => [block.name, block]));
  let before: PhysicalRange | null = null;
  for (const range of ordered) {
    const block = named.get(range.block);
    const end = range.start + range.length;
    if (![range.start, range.length, end].every(Number.isSafeInteger) || range.start < 0 || range.length <= 0) {
      throw wrongMap(range, "it is empty, no whole number, or passes 2^53");
    }
    if (block === undefined) throw wrongMap(range, "the snapshot has no RAM block of that name");
    if (!Number.isSafeInteger(range.offset) || range.offset < 0 || range.offset + range.length > block.length) {
      throw wrongMap(range, `the block has ${block.length} bytes`);
    }
    if (before !== null && before.start + before.length > range.start) {
      throw wrongMap(range, `it overlaps the range at 0x${before.start.toString(16)}`);
    }
    before = range;
  }
  return ordered;
}

function wrongMap({ start, length, block, offset }: PhysicalRange, said: string): FixedramError {
  return new FixedramError("file.memory-map", "the guest's physical memory map does not fit the snapshot", {
    block,
    found: `0x${start.toString(16)}+0x${length.toString(16)}=${printable(block)}@0x${offset.toString(16)}`,
    said,
    hint: "Give the map yourself: --map START+LENGTH=BLOCK@OFFSET,... fixedram info lists the blocks.",
  });
}

/** Neighbours that continue each other become one range; what may not be written stays apart. */
export function joinRanges(ranges: readonly PhysicalRange[]): readonly PhysicalRange[] {
  const joined: PhysicalRange[] = [];
  for (const range of ranges) {
    const last = joined.at(-1);
    const goesOn =
      last !== undefined &&
      last.block === range.block &&
      last.readOnly === range.readOnly &&
      last.start + last.length === range.start &&
      last.offset + last.length === range.offset;
    if (goesOn) joined[joined.length - 1] = { ...last, length: last.length + range.length };
    else joined.push(range);
  }
  return joined;
}
