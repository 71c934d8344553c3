import { FixedramError } from "../errors.ts";
import type { RamBlock } from "../pages/block.ts";
import type { PhysicalRange } from "./memory-map.ts";

/**
 * Where QEMU's machine types put their RAM: hw/i386/pc_piix.c (pc_init1), hw/i386/pc_q35.c, hw/i386/microvm.c
 * (microvm_memory_init), hw/arm/virt.c (base_memmap). The x86 ones leave a hole below 4 GiB, and what does not fit
 * under it lies from 4 GiB on.
 */
export type MachineKind = "pc" | "q35" | "microvm" | "virt";
export const machineKinds: readonly MachineKind[] = ["pc", "q35", "microvm", "virt"];

const GiB = 2 ** 30;
const below4G = 4 * GiB;
/**
 * From here on AMD CPUs have their HyperTransport range, and QEMU moves RAM to 1 TiB; what counts is the end of everything
 * that could be plugged in, which a snapshot does not say.
 */
const amdHole = 0xfd_0000_0000 - 64 * GiB;

/** What `machine` (`pc-q35-10.0`) is; null for a type whose layout is not known here. */
export function machineKind(machine: string): MachineKind | null {
  if (/^pc-q35-|^q35$/.test(machine)) return "q35";
  if (/^pc-i440fx-|^pc$/.test(machine)) return "pc";
  if (machine === "microvm") return "microvm";
  return /^virt-[0-9]|^virt$/.test(machine) ? "virt" : null;
}

/** The name of the RAM that the machine itself makes. */
const ownRam: Readonly<Record<MachineKind, string>> = {
  pc: "pc.ram",
  q35: "pc.ram",
  microvm: "microvm.ram",
  virt: "mach-virt.ram",
};

/** Bytes of RAM below the hole, of `total`. */
function lowMemory(kind: MachineKind, machine: string, total: number): number {
  switch (kind) {
    case "pc": {
      // Types up to 1.7 (gigabyte_align off) split at 3.5 GiB.
      const [, minor] = /^pc-i440fx-1\.([0-7])$/.exec(machine) ?? [];
      const low = minor === undefined ? 3 * GiB : 0xe000_0000;
      return total >= 0xe000_0000 ? low : total;
    }
    case "q35":
      return total >= 0xb000_0000 ? 2 * GiB : total;
    case "microvm":
      return Math.min(total, 3 * GiB);
    case "virt":
      return total;
  }
}

/**
 * The ranges of a machine by QEMU's rules.
 *
 * On a PC the 128 KiB of the VGA window are left out where the guest has a VGA, and what lies between 768 KiB and 1 MiB is taken
 * for the RAM that firmware copies itself to.
 *
 * @throws `file.memory-map-unknown` when the rules don't say
 */
export function rulesOf(kind: MachineKind, machine: string, blocks: readonly RamBlock[]): PhysicalRange[] {
  const ram = mainRam(kind, blocks);
  if (kind === "virt") return virtRanges(ram, blocks);
  const low = lowMemory(kind, machine, ram.length);
  const range = (start: number, end: number, offset = start) => ({
    start,
    length: end - start,
    block: ram.name,
    offset,
    readOnly: false,
  });
  const vga = blocks.some(({ name }) => /(?:^|\/)(?:vga|qxl|vmsvga|cirrus)[^/]*vram$/.test(name));
  const ranges = vga && low > 0xc0000 ? [range(0, 0xa0000), range(0xc0000, low)] : [range(0, low)];
  if (ram.length > low) {
    const end = below4G + ram.length - low;
    if (end > amdHole) throw unknown(`of ${ram.length} bytes of RAM the CPU's vendor decides where they lie`);
    ranges.push(range(below4G, end, low));
  }
  const bios = blocks.find(({ name }) => name === "pc.bios");
  if (bios !== undefined) ranges.push(rom(bios, below4G - bios.length));
  return ranges;
}

function virtRanges(ram: RamBlock, blocks: readonly RamBlock[]): PhysicalRange[] {
  const flash = [0, 1].flatMap((index) => {
    const block = blocks.find(({ name }) => name === `virt.flash${index}`);
    return block === undefined ? [] : [rom(block, index * 0x0400_0000)];
  });
  return [...flash, { start: GiB, length: ram.length, block: ram.name, offset: 0, readOnly: false }];
}

function rom(block: RamBlock, start: number): PhysicalRange {
  return { start, length: block.length, block: block.name, offset: 0, readOnly: true };
}

/** The machine's own RAM, or the one memory backend that stands in for it. */
function mainRam(kind: MachineKind, blocks: readonly RamBlock[]): RamBlock {
  const own = blocks.find(({ name }) => name === ownRam[kind]);
  // Blocks of devices have a path of theirs in front; these are what is left of a machine without any RAM of its own name.
  const others = blocks.filter(
    ({ name }) =>
      (!name.includes("/") || name.startsWith("/objects/")) && !/^(?:pc\.bios|pc\.rom|virt\.flash[01])$/.test(name),
  );
  if (own !== undefined) return own;
  const [only] = others;
  if (only !== undefined && others.length === 1) return only;
  throw unknown(`it has no block ${ownRam[kind]}, and ${others.length} that could be its RAM`);
}

function unknown(said: string): FixedramError {
  return new FixedramError(
    "file.memory-map-unknown",
    "where the guest's RAM lies in its physical addresses is not known",
    {
      said,
      hint: "Give the map: --map START+LENGTH=BLOCK@OFFSET,... fixedram info lists the blocks; info mtree -f in QEMU's monitor shows a running guest's map.",
    },
  );
}

/** @throws `file.memory-map-unknown` */
export function unknownMachine(machine: string): FixedramError {
  return unknown(`the rules for machine type "${machine}" are not known here`);
}
