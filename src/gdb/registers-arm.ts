import type { ArmCpu } from "../machine/cpu-arm.ts";
import { descriptionXml, littleEndian } from "./description.ts";

const system = ["sctlr_el1", "ttbr0_el1", "ttbr1_el1", "tcr_el1", "vbar_el1", "esr_el1", "far_el1"] as const;

export function armDescription(): string {
  const general = Array.from({ length: 31 }, (_, i) => ({ name: `x${i}`, bits: 64 }));
  const core = [
    ...general,
    { name: "sp", bits: 64, type: "data_ptr" },
    { name: "pc", bits: 64, type: "code_ptr" },
    { name: "cpsr", bits: 32 },
  ];
  return descriptionXml("aarch64", [
    { name: "org.gnu.gdb.aarch64.core", registers: core },
    { name: "fixedram.aarch64.system", registers: system.map((name) => ({ name, bits: 64, group: "system" })) },
  ]);
}

/** The registers in the order of {@link armDescription}. */
export function armRegisters(cpu: ArmCpu): Uint8Array[] {
  const general = Array.from({ length: 32 }, (_, i) => littleEndian(cpu.registers[i] ?? 0n, 8));
  return [
    ...general,
    littleEndian(cpu.pc, 8),
    littleEndian(cpu.pstate, 4),
    ...system.map((name) => littleEndian(cpu.system[name] ?? 0n, 8)),
  ];
}
