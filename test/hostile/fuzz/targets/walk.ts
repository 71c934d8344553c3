/** Page tables of any content: a walk ends, and leads where a plain one does. */

import type { ArmCpu } from "../../../../src/machine/cpu-arm.ts";
import type { X86Cpu } from "../../../../src/machine/cpu-x86.ts";
import type { PhysicalReader } from "../../../../src/machine/physical.ts";
import type { Translation } from "../../../../src/machine/translation.ts";
import { x86 } from "../../../machine/sample.ts";
import type { Target } from "../engine.ts";
import type { FuzzLib } from "../fuzz-lib.ts";
import { Choices, codeOf } from "./shared.ts";

const memoryBytes = 2 ** 15;
const memory = new Uint8Array(memoryBytes);
const view = new DataView(memory.buffer);
const pagings: readonly X86Cpu["paging"][] = ["4-level", "5-level", "PAE", "32-bit", "none"];
const levels = { "4-level": 4, "5-level": 5, PAE: 3, "32-bit": 2, none: 0 } as const;
const frameMask = 0xf_ffff_ffff_f000n;

/** Where a linear address leads, or null: Intel's manual, volume 3, chapter 5. */
function plainX86(cpu: X86Cpu, virtual: bigint): bigint | null {
  const top = levels[cpu.paging];
  if (top < 4 && virtual >= 2n ** 32n) return null;
  if (top === 0) return virtual;
  const narrow = cpu.paging === "32-bit";
  const step = narrow ? 10n : 9n;
  if (top > 3) {
    const reach = 12 + 9 * top;
    if (BigInt.asUintN(64, BigInt.asIntN(reach, virtual)) !== virtual) return null;
  }
  let table = top === 3 ? cpu.cr3 & 0xffff_ffe0n : narrow ? cpu.cr3 & 0xffff_f000n : cpu.cr3 & frameMask;
  for (let level = top; level > 0; level--) {
    const shift = 12n + step * BigInt(level - 1);
    const at = Number(table + ((virtual >> shift) % 2n ** step) * (narrow ? 4n : 8n));
    if (at + (narrow ? 4 : 8) > memoryBytes) return null;
    const entry = narrow ? BigInt(view.getUint32(at, true)) : view.getBigUint64(at, true);
    if (entry % 2n === 0n) return null;
    const frame = narrow ? entry & 0xffff_f000n : entry & frameMask;
    const large =
      (entry & 0x80n) !== 0n && (level === 2 || (level === 3 && top > 3)) && (!narrow || (cpu.cr4 & 16n) !== 0n);
    // What every CPU reserves: a large page above 1 GiB, and what lies between PAT and a large page's address.
    if (level > 3 && (entry & 0x80n) !== 0n) return null;
    if (large && !narrow && (entry % 2n ** shift) >> 13n !== 0n) return null;
    if (large && narrow && (entry >> 21n) % 2n === 1n) return null;
    // And NX where it is switched off; PAE's top entries are looked at elsewhere.
    const noNx = cpu.msrs.efer !== undefined && (cpu.msrs.efer >> 11n) % 2n === 0n;
    if (!narrow && noNx && !(level === 3 && top === 3) && entry >> 63n === 1n) return null;
    if (level > 1 && !large) {
      table = frame;
      continue;
    }
    const size = 1n << shift;
    const high = narrow && level === 2 ? ((entry >> 13n) % 256n) << 32n : 0n;
    return frame - (frame % size) + high + (virtual % size);
  }
  return null;
}

/** Tables: entries that the input chooses, most of them leading to other tables. */
function fill(choices: Choices): void {
  memory.fill(0);
  for (let count = 1 + choices.below(24); count > 0; count--) {
    const at = (choices.word() * 4) % (memoryBytes - 8);
    const flags = BigInt(choices.byte());
    const frame = BigInt(choices.below(10)) * 4096n;
    const high = choices.below(8) === 0 ? BigInt(choices.byte()) << 32n : 0n;
    const top = choices.below(8) === 0 ? BigInt(choices.byte()) << 56n : 0n;
    // The first entries of tables are those that small addresses take.
    const place = choices.below(4) === 0 ? at - (at % 8) : ((at % 8) * 4096 + choices.below(4) * 8) % (memoryBytes - 8);
    view.setBigUint64(place, frame | flags | high | top, true);
  }
}

const addresses = [
  0n,
  0xfffn,
  0x1000n,
  0x20_0000n,
  0x4000_0000n,
  0x80_0000_0000n,
  0xffff_8000_0000_0000n,
  2n ** 64n - 1n,
];

function address(choices: Choices): bigint {
  const base = addresses[choices.byte() % addresses.length] ?? 0n;
  return BigInt.asUintN(64, base + BigInt(choices.word()) * 16n);
}

function readerOf(lib: FuzzLib): PhysicalReader {
  return {
    async read(start, target) {
      if (start + target.length > memoryBytes) throw new lib.FixedramError("usage.no-memory", `none at ${start}`);
      target.set(memory.subarray(start, start + target.length));
    },
  };
}

async function translated(
  lib: FuzzLib,
  reader: PhysicalReader,
  cpu: X86Cpu | ArmCpu,
  virtual: bigint,
): Promise<Translation | null> {
  try {
    return await lib.translate(cpu, reader, virtual);
  } catch (error) {
    const code = codeOf(error);
    if (code !== "usage.nested-guest" && code !== "usage.not-supported-paging") throw new Error(`refused as ${code}`);
    return null;
  }
}

function arm(choices: Choices): ArmCpu {
  const granule = choices.below(4);
  const bits = 16 + choices.below(40);
  const tcr =
    BigInt(64 - Math.min(bits, 64)) |
    (BigInt(64 - Math.min(bits, 64)) << 16n) |
    (BigInt(granule) << 14n) |
    (BigInt(choices.below(4)) << 30n) |
    (BigInt(choices.below(4)) << 37n) |
    (choices.below(8) === 0 ? 1n << 7n : 0n) |
    (choices.below(32) === 0 ? 1n << 59n : 0n);
  return {
    arch: "aarch64",
    index: 0,
    halted: false,
    el: choices.below(16) === 0 ? 2 : 1,
    registers: [],
    pc: 0n,
    pstate: 0n,
    banked: {},
    system: {
      sctlr_el1: choices.below(16) === 0 ? 0n : 1n,
      tcr_el1: tcr,
      ttbr0_el1: BigInt(choices.below(8)) * 4096n,
      ttbr1_el1: BigInt(choices.below(8)) * 4096n,
      hcr_el2: choices.below(16) === 0 ? BigInt(choices.below(4)) | (1n << 34n) | (1n << 27n) : 0n,
    },
  };
}

export function walkTarget(lib: FuzzLib): Target {
  const reader = readerOf(lib);
  return {
    name: "page-tables",
    meant: /^machine\/(walk-x86|walk-arm|virtual)/,
    seeds: [
      Uint8Array.from({ length: 120 }, (_, i) => (i * 53 + 1) % 256),
      Uint8Array.from({ length: 120 }, (_, i) => (i % 5 === 2 ? 7 : i)),
      Uint8Array.from({ length: 120 }, (_, i) => (i % 7 === 0 ? 1 : 3)),
    ],
    words: [Uint8Array.of(0, 0, 7, 1), Uint8Array.of(0x87), Uint8Array.of(3)],
    most: 240,
    run: async (input) => {
      const choices = new Choices(input);
      const kind = choices.below(8);
      if (kind > 4) {
        const cpu = arm(choices);
        fill(choices);
        for (let i = 0; i < 3; i++) sensible(await translated(lib, reader, cpu, address(choices)));
        return;
      }
      const paging = pagings[kind] ?? "none";
      const cr3 = BigInt(choices.below(10)) * 4096n;
      const cpu = x86({ paging, cr3, cr4: choices.below(2) === 0 ? 0x30n : 0n, nested: choices.below(64) === 63 });
      fill(choices);
      for (let i = 0; i < 3; i++) {
        const virtual = address(choices);
        const found = await translated(lib, reader, cpu, virtual);
        sensible(found);
        if (found === null) continue;
        const model = plainX86(cpu, virtual);
        // The mask of the A20 line: 52 bits.
        const physical = found.mapped ? BigInt(found.physical) : null;
        if (physical !== (model === null ? null : BigInt.asUintN(52, model)))
          throw new Error(`${virtual.toString(16)} leads to ${physical}, the plain walk to ${model}`);
      }
    },
    thorough: async (input) => {
      const cpu = x86({ cr3: BigInt(input[0] ?? 0) * 4096n });
      try {
        await lib.readVirtual(cpu, reader, 0xffen, new Uint8Array(8192));
      } catch (error) {
        const code = codeOf(error);
        if (code !== "usage.not-mapped" && code !== "usage.no-memory") throw new Error(`refused as ${code}`);
      }
    },
  };
}

function sensible(found: Translation | null): void {
  if (found === null) return;
  if (found.steps.length > 5) throw new Error(`${found.steps.length} steps`);
  if (found.mapped && !(Number.isSafeInteger(found.physical) && found.physical >= 0))
    throw new Error(`physical address ${found.physical}`);
}
