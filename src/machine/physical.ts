import { hexAddress } from "../bytes/text.ts";
import { FixedramError } from "../errors.ts";
import type { RamBlock } from "../pages/block.ts";
import type { PageMap } from "../pages/map.ts";
import { readBlock } from "../pages/read.ts";
import { type ByOffset, byBlock } from "./by-offset.ts";
import type { MemoryMap, PhysicalRange } from "./memory-map.ts";

/** Bytes [offset, offset + length) of a block that stand for the guest-physical address `start`. */
export interface BlockRun {
  readonly start: number;
  readonly length: number;
  readonly block: RamBlock;
  readonly offset: number;
}

/** Anything that physical memory can be read from: what page tables are walked in. */
export interface PhysicalReader {
  /** Fills `target` from guest-physical `start` on. @throws `usage.no-memory` where there is neither RAM nor ROM */
  read(start: number, target: Uint8Array, signal?: AbortSignal): Promise<void>;
}

/** A snapshot's memory by guest-physical address. */
export class PhysicalMemory implements PhysicalReader {
  readonly map: MemoryMap;
  readonly #pages: PageMap;
  readonly #blocks: ReadonlyMap<string, RamBlock>;
  readonly #ranges: ReadonlyMap<string, ByOffset<PhysicalRange>>;

  constructor(pages: PageMap, map: MemoryMap) {
    this.map = map;
    this.#pages = pages;
    this.#blocks = new Map(pages.blocks.map((block) => [block.name, block]));
    this.#ranges = byBlock(map.ranges, (range) => range);
  }

  /**
   * The block runs of [start, start + length), in order.
   *
   * @throws `usage.no-memory` when one of its bytes is neither RAM nor ROM
   */
  resolve(start: number, length: number): readonly BlockRun[] {
    const runs: BlockRun[] = [];
    for (let at = start; at < start + length; ) {
      const range = this.#rangeAt(at);
      if (range === null) throw this.#nothing(at, start, length);
      const inside = at - range.start;
      const count = Math.min(start + length - at, range.length - inside);
      runs.push({ start: at, length: count, block: this.#block(range), offset: range.offset + inside });
      at += count;
    }
    return runs;
  }

  async read(start: number, target: Uint8Array, signal?: AbortSignal): Promise<void> {
    for (const run of this.resolve(start, target.length)) {
      const at = run.start - start;
      await readBlock(this.#pages, run.block, run.offset, target.subarray(at, at + run.length), signal);
    }
  }

  /** Whether RAM or ROM lies at an address. */
  has(address: number): boolean {
    return this.#rangeAt(address) !== null;
  }

  /** Guest-physical addresses that stand for a byte of a block, lowest first; more than one where the guest sees it twice. */
  addressesOf(block: string, offset: number): readonly number[] {
    const ranges = this.#ranges.get(block)?.meeting(offset, offset + 1) ?? [];
    return ranges.map((range) => range.start + offset - range.offset).sort((a, b) => a - b);
  }

  #rangeAt(address: number): PhysicalRange | null {
    const { ranges } = this.map;
    let low = 0;
    let high = ranges.length;
    while (low < high) {
      const middle = Math.floor((low + high) / 2);
      if ((ranges[middle]?.start ?? 0) <= address) low = middle + 1;
      else high = middle;
    }
    const range = ranges[low - 1];
    return range !== undefined && address < range.start + range.length ? range : null;
  }

  #block(range: PhysicalRange): RamBlock {
    const block = this.#blocks.get(range.block);
    if (block === undefined) throw new RangeError(`no block ${range.block}`);
    return block;
  }

  #nothing(at: number, start: number, length: number): FixedramError {
    const next = this.map.ranges.find((range) => range.start > at);

    return new FixedramError("usage.no-memory", `no memory of the guest lies at physical address ${hexAddress(at)}`, {
      found: `${hexAddress(start)} and ${length} bytes`,
      said: this.map.note,
      hint:
        next === undefined
          ? "It lies past the end of the guest's memory. --map overrides the memory map."
          : `The next memory begins at ${hexAddress(next.start)}. What lies between are devices, or nothing. --map overrides the memory map.`,
    });
  }
}
