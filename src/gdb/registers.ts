import type { Cpu } from "../machine/cpu.ts";
import { armDescription, armRegisters } from "./registers-arm.ts";
import { x86Description, x86Registers } from "./registers-x86.ts";

/** What gdb is told of a CPU: every register's bytes, in the order of the description. */
export interface RegisterSet {
  /** Target description, XML. */
  readonly description: string;
  /** Little-endian bytes of each register. */
  readonly registers: readonly Uint8Array[];
}

export function registersOf(cpu: Cpu): RegisterSet {
  return cpu.arch === "x86"
    ? { description: x86Description(cpu), registers: x86Registers(cpu) }
    : { description: armDescription(), registers: armRegisters(cpu) };
}
