import { hexAddress } from "../bytes/text.ts";
import { FixedramError } from "../errors.ts";
import type { ArmCpu } from "./cpu-arm.ts";
import type { PhysicalReader } from "./physical.ts";
import type { Translation, WalkStep } from "./translation.ts";

const SCTLR_M = 1n;
const HCR_VM = 1n;
const HCR_E2H = 1n << 34n;
const VALID = 1n;
const TABLE = 1n << 1n;

/** Stage 1 of one half of the address space. */
interface Regime {
  readonly table: bigint;
  /** Bits of virtual address. */
  readonly bits: number;
  /** log2 of the granule's bytes: 12, 14 or 16. */
  readonly granule: number;
}

/**
 * Walks an aarch64 CPU's EL1&0 stage 1 tables: the Arm manual's VMSAv8-64, with output addresses of up to 48 bits (52 with the
 * 64 KiB granule).
 *
 * @throws `usage.not-supported-paging` in EL2 or EL3, under a stage 2, and with LPA2
 */
export async function walkArm(
  cpu: ArmCpu,
  memory: PhysicalReader,
  virtual: bigint,
  signal?: AbortSignal,
): Promise<Translation> {
  const steps: WalkStep[] = [];
  if (cpu.el > 1) throw unsupported(cpu, `it was in EL${cpu.el}`);
  const hcr = cpu.system.hcr_el2 ?? 0n;
  if ((hcr & HCR_VM) !== 0n) throw unsupported(cpu, "it was in a guest of its own (stage 2 on)");
  if ((hcr & HCR_E2H) !== 0n && (hcr & (1n << 27n)) !== 0n) throw unsupported(cpu, "EL0 belongs to a host in EL2");
  const sctlr = known(cpu, "sctlr_el1");
  if ((sctlr & SCTLR_M) === 0n) {
    const rights = { write: true, user: true, execute: true };
    if (virtual >= 2n ** 48n) return { mapped: false, virtual, reason: "the MMU is off", steps };
    return { mapped: true, virtual, physical: Number(virtual), pageSize: 0, rights, marks: [], steps };
  }
  const regime = regimeOf(cpu, virtual);
  if (typeof regime === "string") return { mapped: false, virtual, reason: regime, steps };
  return await walk(regime, virtual, memory, steps, signal);
}

function regimeOf(cpu: ArmCpu, virtual: bigint): Regime | string {
  const tcr = known(cpu, "tcr_el1");
  if ((tcr & (1n << 59n)) !== 0n) throw unsupported(cpu, "it has 52-bit addresses with small granules (TCR_EL1.DS)");
  const upper = (virtual & (1n << 55n)) !== 0n;
  // Top byte ignored: bits 56 and up are no part of the address.
  const tagged = (tcr & (upper ? 1n << 38n : 1n << 37n)) !== 0n;
  if ((tcr & (upper ? 1n << 23n : 1n << 7n)) !== 0n) return "walks for this half are off (TCR_EL1.EPD)";
  const bits = 64 - Number(upper ? (tcr >> 16n) & 0x3fn : tcr & 0x3fn);
  const code = Number(upper ? (tcr >> 30n) & 3n : (tcr >> 14n) & 3n);
  const granule = upper ? [0, 14, 12, 16][code] : [12, 16, 14, 0][code];
  if (granule === undefined || granule === 0) throw unsupported(cpu, "its granule is a reserved one");
  if (bits > 52 || bits <= granule || bits < 16 || (bits > 48 && granule !== 16))
    throw unsupported(cpu, `it has ${bits} address bits`);
  const above = BigInt.asUintN(tagged ? 56 - bits : 64 - bits, virtual >> BigInt(bits));
  const wanted = upper ? (1n << BigInt(tagged ? 56 - bits : 64 - bits)) - 1n : 0n;
  if (above !== wanted) return `it lies outside both halves: ${bits} bits are translated`;
  const ttbr = known(cpu, upper ? "ttbr1_el1" : "ttbr0_el1");
  return { table: tableBase(ttbr, bits, granule), bits, granule };
}

/** Where the first table begins: bits 1 to 47; with 64 KiB granules and 52 bits, 2 to 5 are bits 48 to 51. */
function tableBase(ttbr: bigint, bits: number, granule: number): bigint {
  const low = ttbr & 0xffff_ffff_fffen;
  if (bits <= 48 || granule !== 16) return low;
  return (low & ~0x3fn) | (((ttbr >> 2n) & 0xfn) << 48n);
}

async function walk(
  { table, bits, granule }: Regime,
  virtual: bigint,
  memory: PhysicalReader,
  steps: WalkStep[],
  signal: AbortSignal | undefined,
): Promise<Translation> {
  const stride = granule - 3;
  const levels = Math.ceil((bits - granule) / stride);
  let from = table;
  let [write, user] = [true, true];
  // Whether code may run: the kernel's and the user's have bits of their own.
  let [privileged, unprivileged] = [true, true];
  for (let level = 4 - levels; level <= 3; level++) {
    const shift = granule + stride * (3 - level);
    const width = Math.min(stride, bits - shift);
    const index = Number((virtual >> BigInt(shift)) & ((1n << BigInt(width)) - 1n));
    const at = Number(from) + index * 8;
    const entry = await entryAt(memory, at, signal);
    const no = (reason: string): Translation => ({ mapped: false, virtual, reason, steps });
    if (entry === null) return no(`the level ${level} table lies at ${hexAddress(at)}, where there is no memory`);
    steps.push({ level, name: `level ${level}`, at, index, entry });
    if ((entry & VALID) === 0n) return no(`the level ${level} entry is not valid`);
    const isTable = (entry & TABLE) !== 0n;
    if (level === 3 && !isTable) return no("the level 3 entry is a reserved one");
    if (level < 3 && isTable) {
      // Bits 59 to 62 take rights away from everything below.
      if ((entry & (1n << 62n)) !== 0n) write = false;
      if ((entry & (1n << 61n)) !== 0n) user = false;
      if ((entry & (1n << 60n)) !== 0n) unprivileged = false;
      if ((entry & (1n << 59n)) !== 0n) privileged = false;
      from = outputOf(entry, granule, granule);
      continue;
    }
    if (level < 3 && !mayBeBlock(level, granule)) return no(`the level ${level} entry is a reserved one`);
    if ((entry & (1n << 7n)) !== 0n) write = false;
    if ((entry & (1n << 6n)) === 0n) user = false;
    if ((entry & (1n << 54n)) !== 0n) unprivileged = false;
    if ((entry & (1n << 53n)) !== 0n) privileged = false;
    const inside = virtual & ((1n << BigInt(shift)) - 1n);
    return {
      mapped: true,
      virtual,
      physical: Number(outputOf(entry, shift, granule) + inside),
      pageSize: 2 ** shift,
      rights: { write, user, execute: user ? unprivileged : privileged },
      marks: marksOf(entry),
      steps,
    };
  }
  throw new RangeError("a walk ends at level 3");
}

function mayBeBlock(level: number, granule: number): boolean {
  return level === 2 || (level === 1 && granule === 12);
}

/** An entry's address from bit `low` on. */
function outputOf(entry: bigint, low: number, granule: number): bigint {
  const lower = ((entry & 0xffff_ffff_ffffn) >> BigInt(low)) << BigInt(low);
  return granule === 16 ? lower | (((entry >> 12n) & 0xfn) << 48n) : lower;
}

async function entryAt(memory: PhysicalReader, at: number, signal?: AbortSignal): Promise<bigint | null> {
  const bytes = new Uint8Array(8);
  try {
    await memory.read(at, bytes, signal);
  } catch (error) {
    if (error instanceof FixedramError && error.code === "usage.no-memory") return null;
    throw error;
  }
  return new DataView(bytes.buffer).getBigUint64(0, true);
}

function marksOf(entry: bigint): string[] {
  const marks: string[] = [];
  if ((entry & (1n << 11n)) === 0n) marks.push("global");
  if ((entry & (1n << 10n)) !== 0n) marks.push("accessed");
  if ((entry & (1n << 51n)) !== 0n) marks.push("dirty-managed");
  if ((entry & (1n << 52n)) !== 0n) marks.push("contiguous");
  return marks;
}

function known(cpu: ArmCpu, name: string): bigint {
  const value = cpu.system[name];
  if (value === undefined) throw unsupported(cpu, `its ${name.toUpperCase()} was not saved`);
  return value;
}

function unsupported(cpu: ArmCpu, said: string): FixedramError {
  return new FixedramError("usage.not-supported-paging", "this CPU's virtual addresses can't be translated here", {
    found: `CPU ${cpu.index}`,
    said,
    hint: "Choose another CPU with --cpu, or read by physical address.",
  });
}
