import { type DeviceState, type DeviceTree, subsectionOf } from "../devices/tree.ts";
import { integer, integers, unknownCpu } from "./fields.ts";

/** An aarch64 CPU as it was saved: the `cpu` section, version 22, of QEMU's target/arm/machine.c. */
export interface ArmCpu {
  readonly arch: "aarch64";
  readonly index: number;
  readonly halted: boolean | null;
  /** Exception level, 0 to 3. */
  readonly el: number;
  /** x0 to x30, and x31: the stack pointer in use. */
  readonly registers: readonly bigint[];
  readonly pc: bigint;
  readonly pstate: bigint;
  /** sp_el0 to sp_el3, elr_el1 to elr_el3, spsr. */
  readonly banked: Readonly<Record<string, bigint>>;
  /** System registers by their names in the manual, of those that are known here: ttbr0_el1, tcr_el1, sctlr_el1, ... */
  readonly system: Readonly<Record<string, bigint>>;
}

/** op0, op1, CRn, CRm, op2 of the registers that matter for looking around. */
const systemRegisters: readonly (readonly [string, number, number, number, number, number])[] = [
  ["midr_el1", 3, 0, 0, 0, 0],
  ["mpidr_el1", 3, 0, 0, 0, 5],
  ["sctlr_el1", 3, 0, 1, 0, 0],
  ["cpacr_el1", 3, 0, 1, 0, 2],
  ["ttbr0_el1", 3, 0, 2, 0, 0],
  ["ttbr1_el1", 3, 0, 2, 0, 1],
  ["tcr_el1", 3, 0, 2, 0, 2],
  ["esr_el1", 3, 0, 5, 2, 0],
  ["far_el1", 3, 0, 6, 0, 0],
  ["par_el1", 3, 0, 7, 4, 0],
  ["mair_el1", 3, 0, 10, 2, 0],
  ["vbar_el1", 3, 0, 12, 0, 0],
  ["contextidr_el1", 3, 0, 13, 0, 1],
  ["tpidr_el1", 3, 0, 13, 0, 4],
  ["tpidr_el0", 3, 3, 13, 0, 2],
  ["tpidrro_el0", 3, 3, 13, 0, 3],
  ["hcr_el2", 3, 4, 1, 1, 0],
  ["scr_el3", 3, 6, 1, 1, 0],
];

/** KVM's number for a 64-bit system register, by which QEMU lists them: linux/arch/arm64/include/uapi/asm/kvm.h. */
function registerNumber(op0: number, op1: number, crn: number, crm: number, op2: number): bigint {
  const encoded = op0 * 2 ** 14 + op1 * 2 ** 11 + crn * 2 ** 7 + crm * 2 ** 3 + op2;
  return 0x6030_0000_0013_0000n + BigInt(encoded);
}

/** @throws `stream.unknown-cpu` */
export function armCpu(tree: DeviceTree, halted: boolean | null): ArmCpu {
  const { state, version } = tree;
  if (version !== 22) throw unknownCpu(`its version is ${version}; for ARM 22 is known`);
  if (subsectionOf(state, "cpu/m") !== null) throw unknownCpu("it is an ARM microcontroller (M profile)");
  const pstate = integer(state, "cpsr");
  // Bit 4, nRW: AArch32 state keeps its registers elsewhere.
  if ((pstate & 0x10n) !== 0n) throw unknownCpu("it is a 32-bit ARM CPU, or runs 32-bit code");
  const el = Number((pstate >> 2n) & 3n);
  const registers = integers(state, "env.xregs").slice(0, 32);
  return {
    arch: "aarch64",
    index: tree.instance,
    halted,
    el,
    registers,
    pc: integer(state, "env.pc"),
    pstate,
    // QEMU brings the one in use (PSTATE.SP: that of the level, else EL0's) up to date only when another is chosen.
    banked: { ...bankedOf(state), [`sp_el${(pstate & 1n) === 1n ? el : 0}`]: registers[31] ?? 0n },
    system: systemOf(state),
  };
}

function bankedOf(state: DeviceState): Record<string, bigint> {
  const named = (prefix: string, values: readonly bigint[], first: number) =>
    values.map((value, i): [string, bigint] => [`${prefix}${i + first}`, value]);
  const links = integers(state, "env.elr_el").slice(1, 4);
  return Object.fromEntries([
    ...named("sp_el", integers(state, "env.sp_el").slice(0, 4), 0),
    ...named("elr_el", links, 1),
    // QEMU keeps SPSR_EL1 at place 1 of the banked ones.
    ["spsr_el1", integers(state, "env.banked_spsr")[1] ?? 0n],
  ]);
}

function systemOf(state: DeviceState): Record<string, bigint> {
  const numbers = integers(state, "cpreg_vmstate_indexes");
  const values = integers(state, "cpreg_vmstate_values");
  if (numbers.length !== values.length) throw unknownCpu("its system registers and their numbers differ in count");
  const places = new Map(numbers.map((number, i) => [number, i]));
  const found: Record<string, bigint> = {};
  for (const [name, ...encoding] of systemRegisters) {
    const value = values[places.get(registerNumber(...encoding)) ?? -1];
    if (value !== undefined) found[name] = value;
  }
  return found;
}
