import { hexAddress } from "../bytes/text.ts";
import { FixedramError } from "../errors.ts";
import type { X86Cpu } from "./cpu-x86.ts";
import type { PhysicalReader } from "./physical.ts";
import type { Translation, WalkStep } from "./translation.ts";

const PRESENT = 1n;
const WRITE = 1n << 1n;
const USER = 1n << 2n;
const WRITE_THROUGH = 1n << 3n;
const CACHE_DISABLE = 1n << 4n;
const ACCESSED = 1n << 5n;
const DIRTY = 1n << 6n;
const LARGE = 1n << 7n;
const GLOBAL = 1n << 8n;
const NO_EXECUTE = 1n << 63n;
/** Bits 12 to 51 of an entry. */
const FRAME = 0xf_ffff_ffff_f000n;
const CR4_PSE = 1n << 4n;
const EFER_NXE = 1n << 11n;

/** A table's name by level, and how many address bits lie below one entry. */
const names: Readonly<Record<number, string>> = { 5: "PML5", 4: "PML4", 3: "PDPT", 2: "PD", 1: "PT" };

interface Shape {
  readonly top: number;
  /** Bytes of an entry. */
  readonly entry: 4 | 8;
  /** Address bits that a table resolves; the PDPT of PAE has 2. */
  readonly bits: number;
  /** Levels at which an entry may be a page. */
  readonly large: readonly number[];
}

const shapes: Readonly<Record<Exclude<X86Cpu["paging"], "none">, Shape>> = {
  "32-bit": { top: 2, entry: 4, bits: 10, large: [2] },
  PAE: { top: 3, entry: 8, bits: 9, large: [2] },
  "4-level": { top: 4, entry: 8, bits: 9, large: [3, 2] },
  "5-level": { top: 5, entry: 8, bits: 9, large: [3, 2] },
};

/** Of a 4 MiB page: between the address bits that PSE-36 keeps below it and the others. */
const PSE36_RESERVED = 1n << 21n;

/**
 * Bits that are reserved on every CPU. Those above its physical address width are its own, and not known here; so is whether it
 * has pages of 1 GiB.
 *
 * @param efer null: the guest's state does not hold it
 */
function reservedBits(level: number, isPage: boolean, { entry, top }: Shape, efer: bigint | null): bigint {
  if (entry === 4) return isPage && level === 2 ? PSE36_RESERVED : 0n;
  // A CPU looks at PAE's top entries when CR3 is loaded, not when it walks.
  const rights = efer !== null && (efer & EFER_NXE) === 0n && !(level === 3 && top === 3) ? NO_EXECUTE : 0n;
  if (level > 3) return LARGE | rights;
  // Between PAT, bit 12, and the address.
  if (isPage && level > 1) return ((1n << BigInt(12 + 9 * (level - 1))) - (1n << 13n)) | rights;
  return rights;
}

/**
 * Walks an x86 CPU's page tables for one linear address (the segment's base is the caller's to add): Intel's manual, volume 3,
 * chapter 5 ("Paging"). Every table of the walk is at a level of its own, so tables that point at themselves end it like any other.
 *
 * @throws `usage.nested-guest`; what `memory` throws but `usage.no-memory`, which makes the address unmapped
 */
export async function walkX86(
  cpu: X86Cpu,
  memory: PhysicalReader,
  virtual: bigint,
  signal?: AbortSignal,
): Promise<Translation> {
  if (cpu.nested) throw nested(cpu.index);
  const walk = new Walk(cpu, memory, signal);
  return cpu.paging === "none" ? walk.unpaged(virtual) : await walk.run(virtual, shapes[cpu.paging]);
}

function nested(index: number): FixedramError {
  return new FixedramError(
    "usage.nested-guest",
    "the CPU was running a guest of its own, whose addresses these would be",
    {
      found: `CPU ${index}`,
      hint: "Choose another CPU with --cpu, or read by physical address.",
    },
  );
}

class Walk {
  readonly #cpu: X86Cpu;
  readonly #memory: PhysicalReader;
  readonly #signal: AbortSignal | undefined;
  readonly #steps: WalkStep[] = [];
  #write = true;
  #user = true;
  #execute = true;

  constructor(cpu: X86Cpu, memory: PhysicalReader, signal: AbortSignal | undefined) {
    this.#cpu = cpu;
    this.#memory = memory;
    this.#signal = signal;
  }

  unpaged(virtual: bigint): Translation {
    if (virtual >= 2n ** 32n) return this.#not(virtual, "the CPU does not page, and reaches 4 GiB");
    const rights = { write: true, user: true, execute: true };
    const physical = this.#masked(virtual);
    return { mapped: true, virtual, physical, pageSize: 0, rights, marks: [], steps: [] };
  }

  async run(virtual: bigint, shape: Shape): Promise<Translation> {
    const { top, bits, entry: entryBytes } = shape;
    const wide = top > 3;
    const reach = BigInt(12 + bits * top);
    if (wide ? BigInt.asIntN(Number(reach), virtual) !== BigInt.asIntN(64, virtual) : virtual >= 2n ** 32n) {
      const said = wide ? `it is not canonical: its bits from ${reach - 1n} on differ` : "it has more than 32 bits";
      return this.#not(virtual, said);
    }
    let table = this.#cpu.cr3 & (top === 3 ? 0xffff_ffe0n : wide ? FRAME : 0xffff_f000n);
    for (let level = top; level >= 1; level--) {
      const shift = BigInt(12 + bits * (level - 1));
      const index = Number((virtual >> shift) & BigInt(2 ** bits - 1));
      const at = this.#masked(table) + index * entryBytes;
      const entry = await this.#entry(at, entryBytes);
      if (entry === null)
        return this.#not(virtual, `${names[level]} lies at ${hexAddress(at)}, where there is no memory`);
      this.#steps.push({ level, name: names[level] ?? "", at, index, entry });
      if ((entry & PRESENT) === 0n) return this.#not(virtual, `the ${names[level]} entry is not present`);
      this.#restrict(entry, level === 3 && top === 3);
      const isPage = level === 1 || ((entry & LARGE) !== 0n && this.#mayBeLarge(level, shape));
      const reserved = entry & reservedBits(level, isPage, shape, this.#cpu.msrs.efer ?? null);
      if (reserved !== 0n) {
        return this.#not(
          virtual,
          `the ${names[level]} entry has reserved bits set (${hexAddress(reserved)}): a CPU faults`,
        );
      }
      if (isPage) {
        return this.#leaf(virtual, entry, shift, level, shape);
      }
      table = entry & (entryBytes === 4 ? 0xffff_f000n : FRAME);
    }
    throw new RangeError("a walk ends at level 1");
  }

  #mayBeLarge(level: number, shape: Shape): boolean {
    if (!shape.large.includes(level)) return false;
    return shape.entry === 8 || (this.#cpu.cr4 & CR4_PSE) !== 0n;
  }

  /** PAE's top entries have no rights of their own. */
  #restrict(entry: bigint, isPaeTop: boolean): void {
    if (isPaeTop) return;
    if ((entry & WRITE) === 0n) this.#write = false;
    if ((entry & USER) === 0n) this.#user = false;
    if ((entry & NO_EXECUTE) !== 0n && ((this.#cpu.msrs.efer ?? 0n) & EFER_NXE) !== 0n) this.#execute = false;
  }

  #leaf(virtual: bigint, entry: bigint, shift: bigint, level: number, shape: Shape): Translation {
    const inside = virtual & ((1n << shift) - 1n);
    const frame = entry & (shape.entry === 4 ? 0xffff_f000n : FRAME);
    // 4 MiB pages keep address bits 32 to 39 in bits 13 to 20 (PSE-36).
    const high = shape.entry === 4 && level === 2 ? ((entry >> 13n) & 0xffn) << 32n : 0n;
    const start = ((frame >> shift) << shift) + high;
    return {
      mapped: true,
      virtual,
      physical: this.#masked(start + inside),
      pageSize: Number(1n << shift),
      rights: { write: this.#write, user: this.#user, execute: this.#execute },
      marks: marksOf(entry),
      steps: this.#steps,
    };
  }

  async #entry(at: number, size: 4 | 8): Promise<bigint | null> {
    const bytes = new Uint8Array(size);
    try {
      await this.#memory.read(at, bytes, this.#signal);
    } catch (error) {
      if (error instanceof FixedramError && error.code === "usage.no-memory") return null;
      throw error;
    }
    const view = new DataView(bytes.buffer);
    return size === 4 ? BigInt(view.getUint32(0, true)) : view.getBigUint64(0, true);
  }

  /** With the A20 line off, bit 20 is 0. */
  #masked(physical: bigint): number {
    return Number(BigInt.asUintN(52, physical & BigInt.asUintN(64, BigInt.asIntN(32, BigInt(this.#cpu.a20Mask)))));
  }

  #not(virtual: bigint, reason: string): Translation {
    return { mapped: false, virtual, reason, steps: this.#steps };
  }
}

function marksOf(entry: bigint): string[] {
  const marks: readonly (readonly [bigint, string])[] = [
    [GLOBAL, "global"],
    [ACCESSED, "accessed"],
    [DIRTY, "dirty"],
    [WRITE_THROUGH, "write-through"],
    [CACHE_DISABLE, "cache-disable"],
  ];
  return marks.filter(([bit]) => (entry & bit) !== 0n).map(([, name]) => name);
}
