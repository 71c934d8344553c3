/** What QEMU's own monitor says of a stopped guest, and what was saved of it held against that. */
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { expect } from "vitest";
import type { X86Cpu } from "../../../src/machine/cpu-x86.ts";
import type { Inside } from "../../../src/operations/inside/open.ts";
import type { QmpClient } from "../../../src/qmp/client.ts";

export interface Monitor {
  registers(cpu: number): Promise<string>;
  /** Where a virtual address leads; null where nothing is mapped. */
  physical(virtual: bigint, cpu: number): Promise<bigint | null>;
  tlb(cpu: number): Promise<string>;
  /** Virtual memory of a CPU, or physical memory. */
  memory(from: bigint, size: number, cpu?: number): Promise<Uint8Array>;
}

/** The stopped guest's own monitor; everything it says is of before the save. */
export function monitorOf(qmp: QmpClient, folder: string): Monitor {
  const human = async (line: string, cpu: number) =>
    (await qmp.execute("human-monitor-command", { "command-line": line, "cpu-index": cpu })) as string;
  let files = 0;
  return {
    registers: (cpu) => human("info registers", cpu),
    async physical(virtual, cpu) {
      const [, found] = /^gpa: (?:0x)?([0-9a-f]+)/.exec(await human(`gva2gpa 0x${virtual.toString(16)}`, cpu)) ?? [];
      return found === undefined ? null : BigInt(`0x${found}`);
    },
    tlb: (cpu) => human("info tlb", cpu),
    async memory(from, size, cpu) {
      const filename = join(folder, `memory-${files++}`);
      const where = { val: Number(from), size, filename };
      await (cpu === undefined
        ? qmp.execute("pmemsave", where)
        : qmp.execute("memsave", { ...where, "cpu-index": cpu }));
      return new Uint8Array(readFileSync(filename));
    },
  };
}

/** `info registers` as names and numbers; of segments selector, base, limit, flags. */
export function parseRegisters(text: string): Map<string, readonly bigint[]> {
  const found = new Map<string, readonly bigint[]>();
  for (const [, name = "", values = ""] of text.matchAll(/\b([A-Z][A-Z0-9]*) ?= *([0-9a-f]+(?: [0-9a-f]+)*)/g)) {
    found.set(
      name,
      values.split(" ").map((value) => BigInt(`0x${value}`)),
    );
  }
  return found;
}

export function compareRegisters(cpu: X86Cpu, text: string): void {
  const theirs = parseRegisters(text);
  const one = (name: string) => theirs.get(name)?.[0];
  // Of a CPU that is not in long mode it shows the lower halves, and eight registers.
  const wide = one("RAX") !== undefined;
  const shown = (name: string) => one(wide ? name : name.replace(/^R/, "E"));
  for (const [name, value] of Object.entries(cpu.registers)) {
    if (wide || !/\d/.test(name)) expect([name, value]).toEqual([name, shown(name.toUpperCase())]);
  }
  for (const name of ["cr0", "cr2", "cr3", "cr4"] as const)
    expect([name, cpu[name]]).toEqual([name, one(name.toUpperCase())]);
  expect(cpu.rip).toBe(shown("RIP"));
  expect(cpu.rflags).toBe(shown("RFL"));
  expect(cpu.msrs.efer).toBe(one("EFER"));
  expect(BigInt(cpu.cpl)).toBe(one("CPL"));
  expect(cpu.halted).toBe(one("HLT") === 1n);
  for (const i of [0, 1, 2, 3, 6, 7]) expect(cpu.debug[i]).toBe(one(`DR${i}`));
  // The monitor leaves out the parts of the base that stand in the descriptor's second word.
  for (const [name, { selector, base: at, limit, flags }] of Object.entries(cpu.segments)) {
    const [theirSelector, theirBase, theirLimit, theirFlags] = theirs.get(name.toUpperCase()) ?? [];
    expect([name, BigInt(selector), at, BigInt(limit), BigInt(flags) & 0xffff00n]).toEqual([
      name,
      theirSelector,
      theirBase,
      theirLimit,
      theirFlags,
    ]);
  }
  for (const name of ["gdt", "idt"] as const) {
    expect([cpu[name].base, BigInt(cpu[name].limit)]).toEqual(theirs.get(name.toUpperCase())?.slice(0, 2));
  }
  expect(BigInt(cpu.fpu.control)).toBe(one("FCW"));
  expect(BigInt(cpu.fpu.mxcsr)).toBe(one("MXCSR"));
  cpu.fpu.vectors.slice(0, wide ? 16 : 8).forEach((vector, i) => {
    const number = String(i).padStart(2, "0");
    const upper = theirs.get(`YMM${number}`);
    const all = upper ?? theirs.get(`XMM${number}`);
    expect([...vector].slice(0, upper === undefined ? 2 : 4).reverse()).toEqual(all);
  });
}

/** Every mapping that the monitor lists is where it says, with the leaf's marks; few of many. */
export async function compareMappings(inside: Inside, cpu: number, text: string): Promise<void> {
  const lines = [...text.matchAll(/^([0-9a-f]{16}): ([0-9a-f]{16}) (\S{9})/gm)];
  expect(lines.length).toBeGreaterThan(20);
  const step = Math.max(1, Math.floor(lines.length / 300));
  for (let i = 0; i < lines.length; i += step) {
    const [line, virtual, physical, flags = ""] = lines[i] ?? [];
    const found = await inside.translate(BigInt(`0x${virtual}`), cpu);
    if (!found.mapped) throw new Error(`${line}: ${found.reason}`);
    // With PAE it leaves the entry's NX bit in the address.
    expect([line, BigInt(found.physical)]).toEqual([line, BigInt.asUintN(52, BigInt(`0x${physical}`))]);
    expect([line, found.marks.includes("dirty"), found.marks.includes("accessed")]).toEqual([
      line,
      flags.includes("D"),
      flags.includes("A"),
    ]);
    // The leaf says less than all levels together.
    if (flags.startsWith("X")) expect([line, found.rights.execute]).toEqual([line, false]);
    if (!flags.includes("W")) expect([line, found.rights.write]).toEqual([line, false]);
  }
}

export async function readAll(read: (target: Uint8Array) => Promise<void>, size: number): Promise<Uint8Array> {
  const target = new Uint8Array(size);
  await read(target);
  return target;
}
