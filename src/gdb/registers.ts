import type { Cpu } from "../machine/cpu.ts";
import { armDescription, armRegisters } from "./registers-arm.ts";
import { x86Description, x86Registers } from "./registers-x86.ts";

/** Long mode is active. */
const EFER_LMA = 1n << 10n;

/** What gdb is told of a CPU: every register's bytes, in the order of the description. */
export interface RegisterSet {
  /** Target description, XML. */
  readonly description: string;
  /** Little-endian bytes of each register. */
  readonly registers: readonly Uint8Array[];
}

/** The registers of every CPU; gdb wants those of one machine to be alike. */
export function registersOf(cpus: readonly Cpu[]): RegisterSet[] {
  const wide = cpus.some((cpu) => cpu.arch === "x86" && ((cpu.msrs["efer"] ?? 0n) & EFER_LMA) !== 0n);
  return cpus.map((cpu) =>
    cpu.arch === "x86"
      ? { description: x86Description(cpu, wide), registers: x86Registers(cpu, wide) }
      : { description: armDescription(), registers: armRegisters(cpu) },
  );
}
