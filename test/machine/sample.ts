/** Memory, CPUs and page tables made for tests. */

import { isZero } from "../../src/bytes/zero.ts";
import { FixedramError } from "../../src/errors.ts";
import type { X86Cpu } from "../../src/machine/cpu-x86.ts";
import { type Segment, type X86General, x86GeneralNames } from "../../src/machine/cpu-x86.ts";
import type { PhysicalReader } from "../../src/machine/physical.ts";
import type { RamBlock } from "../../src/pages/block.ts";
import { ExtentKind, type ExtentList } from "../../src/pages/extents.ts";
import type { PageMap } from "../../src/pages/map.ts";

export const PAGE = 4096;

export function blocksOf(...named: readonly (readonly [name: string, length: number])[]): RamBlock[] {
  return named.map(([name, length], index) => ({ index, name, length, pageSize: PAGE, pages: length / PAGE }));
}

/** A page map over memory. Data pages lie `gap` bytes apart in the store; pages of zeros are zero, those of `absent` absent. */
export function mapOf(
  blocks: readonly (readonly [name: string, bytes: Uint8Array])[],
  gap = 0,
  absent: readonly number[] = [],
): PageMap {
  const made = blocksOf(...blocks.map(([name, bytes]) => [name, bytes.length] as const));
  const stride = PAGE + gap;
  const stores = blocks.map(([name, bytes], i) => {
    const pages = made[i]?.pages ?? 0;
    const file = new Uint8Array(pages * stride);
    for (let page = 0; page < pages; page++) file.set(bytes.subarray(page * PAGE, (page + 1) * PAGE), page * stride);
    return {
      name,
      size: file.length,
      async read(target: Uint8Array, position: number) {
        const part = file.subarray(position, position + target.length);
        target.set(part);
        return part.length;
      },
      async close() {},
    };
  });
  const kinds = blocks.map(([, bytes], i) =>
    Array.from({ length: made[i]?.pages ?? 0 }, (_, page) => {
      if (absent.includes(page)) return ExtentKind.absent;
      return isZero(bytes, page * PAGE, (page + 1) * PAGE) ? ExtentKind.zero : ExtentKind.data;
    }),
  );
  const kindOf = (block: number, page: number) => kinds[block]?.[page] ?? ExtentKind.absent;
  return {
    blocks: made,
    stores,
    extents(block: number, first: number, count: number, into: ExtentList): number {
      let done = 0;
      while (done < count) {
        const kind = kindOf(block, first + done);
        let run = 1;
        while (gap === 0 && done + run < count && kindOf(block, first + done + run) === kind) run++;
        if (!into.push(kind, first + done, run, block, (first + done) * stride)) break;
        done += run;
      }
      return done;
    },
  };
}

/** Physical memory of so many bytes from 0 on. */
export function flatMemory(bytes: Uint8Array): PhysicalReader {
  return {
    async read(start, target) {
      if (start + target.length > bytes.length) throw new FixedramError("usage.no-memory", `none at ${start}`);
      target.set(bytes.subarray(start, start + target.length));
    },
  };
}

const segment: Segment = { selector: 0, base: 0n, limit: 0, flags: 0 };

/** A CPU in long mode with 4-level paging, tables at 4096. */
export function x86(changes: Partial<X86Cpu> = {}): X86Cpu {
  return {
    arch: "x86",
    index: 0,
    halted: false,
    mode: "long",
    paging: "4-level",
    cpl: 0,
    smm: false,
    nested: false,
    registers: Object.fromEntries(x86GeneralNames.map((name) => [name, 0n])) as Record<X86General, bigint>,
    rip: 0n,
    rflags: 2n,
    segments: {
      es: segment,
      cs: segment,
      ss: segment,
      ds: segment,
      fs: segment,
      gs: segment,
      ldt: segment,
      tr: segment,
    },
    gdt: { base: 0n, limit: 0 },
    idt: { base: 0n, limit: 0 },
    cr0: 0x8000_0001n,
    cr2: 0n,
    cr3: 0x1000n,
    cr4: 0x30n,
    debug: [],
    a20Mask: 0xffff_ffff,
    fpu: { control: 0, status: 0, tags: 0, registers: [], mxcsr: 0, vectors: [] },
    msrs: { efer: 0xd01n },
    ...changes,
  };
}

export interface Mapping {
  readonly virtual: bigint;
  readonly physical: bigint;
  /** 1 a 4 KiB page, 2 a 2 MiB page, 3 a 1 GiB page. */
  readonly level: 1 | 2 | 3;
  readonly flags: bigint;
}

/** Long-mode page tables in memory, built the plain way: the model that walks are held against. */
export class Tables {
  readonly bytes: Uint8Array;
  readonly #view: DataView;
  readonly #levels: number;
  #free = 0x2000;

  constructor(levels: 4 | 5, size = 4 * 1024 * 1024) {
    this.bytes = new Uint8Array(size);
    this.#view = new DataView(this.bytes.buffer);
    this.#levels = levels;
  }

  /** False when a page is mapped there already. */
  map({ virtual, physical, level, flags }: Mapping): boolean {
    let table = 0x1000;
    for (let at = this.#levels; ; at--) {
      const place = table + Number((virtual >> BigInt(12 + 9 * (at - 1))) & 511n) * 8;
      const entry = this.#view.getBigUint64(place, true);
      if (at === level) {
        if (entry !== 0n) return false;
        this.#view.setBigUint64(place, physical | flags | (level > 1 ? 0x80n : 0n), true);
        return true;
      }
      if (entry === 0n) {
        this.#view.setBigUint64(place, BigInt(this.#free) | 7n, true);
        table = this.#free;
        this.#free += PAGE;
      } else {
        if ((entry & 0x80n) !== 0n) return false;
        table = Number(entry & 0xf_ffff_ffff_f000n);
      }
    }
  }
}
