import { hexAddress, hexWord } from "../../bytes/text.ts";
import type { Cpu } from "../../machine/cpu.ts";
import type { ArmCpu } from "../../machine/cpu-arm.ts";
import { type Segment, type X86Cpu, x86GeneralNames } from "../../machine/cpu-x86.ts";
import type { CpusResult } from "../../operations/inside/cpus.ts";
import type { Colors } from "./colors.ts";

export function cpusText({ cpus }: CpusResult, colors: Colors): string {
  return cpus.map((cpu) => (cpu.arch === "x86" ? x86Text(cpu, colors) : armText(cpu, colors))).join("\n");
}

/** Names and values, `columns` pairs a line. */
function grid(pairs: readonly (readonly [string, bigint])[], columns: number, colors: Colors): string[] {
  const width = Math.max(...pairs.map(([name]) => name.length));
  const cells = pairs.map(([name, value]) => `${colors.dim(name.padEnd(width))} ${hexWord(value)}`);
  const lines: string[] = [];
  for (let at = 0; at < cells.length; at += columns) lines.push(`  ${cells.slice(at, at + columns).join("  ")}`);
  return lines;
}

function headOf(cpu: Cpu, what: readonly string[], colors: Colors): string {
  const halted = cpu.halted === true ? ["halted"] : [];
  return `${colors.bold(`CPU ${cpu.index}`)}  ${[...what, ...halted].join(", ")}`;
}

function x86Text(cpu: X86Cpu, colors: Colors): string {
  const { registers, rip, rflags, segments, gdt, idt, cr0, cr2, cr3, cr4, debug, msrs } = cpu;
  const what = [
    `${cpu.mode.replace(/^protected-(\d+)$/, "$1-bit protected")} mode`,
    cpu.paging === "none" ? "no paging" : `${cpu.paging} paging`,
    `privilege level ${cpu.cpl}`,
    ...(cpu.smm ? ["system management mode"] : []),
    ...(cpu.nested ? ["in a nested guest"] : []),
    ...(cpu.a20Mask === 0xffff_ffff ? [] : ["A20 off"]),
  ];
  const general = x86GeneralNames.map((name): [string, bigint] => [name, registers[name] ?? 0n]);
  const tables: [string, { base: bigint; limit: number }][] = [
    ["gdt", gdt],
    ["idt", idt],
  ];
  return [
    headOf(cpu, what, colors),
    ...grid([...general, ["rip", rip], ["rflags", rflags]], 3, colors),
    `  ${colors.dim("flags")}  ${flagsText(rflags)}`,
    ...Object.entries(segments).map(([name, each]) => segmentText(name, each, colors)),
    ...tables.map(
      ([name, { base, limit }]) => `  ${colors.dim(name)}       ${hexWord(base)}  limit ${hexAddress(limit)}`,
    ),
    ...grid([["cr0", cr0], ["cr2", cr2], ["cr3", cr3], ["cr4", cr4], ...debugPairs(debug)], 3, colors),
    ...grid(Object.entries(msrs), 2, colors),
    "",
  ].join("\n");
}

/** dr4 and dr5 are other names of dr6 and dr7. */
function debugPairs(debug: readonly bigint[]): [string, bigint][] {
  return debug.map((value, i): [string, bigint] => [`dr${i}`, value]).filter((_, i) => i !== 4 && i !== 5);
}

const flagNames: readonly (readonly [number, string])[] = [
  ...([
    [0, "CF"],
    [2, "PF"],
    [4, "AF"],
    [6, "ZF"],
    [7, "SF"],
    [8, "TF"],
    [9, "IF"],
    [10, "DF"],
    [11, "OF"],
  ] as const),
  ...([
    [14, "NT"],
    [16, "RF"],
    [17, "VM"],
    [18, "AC"],
    [21, "ID"],
  ] as const),
];

function flagsText(rflags: bigint): string {
  return (
    flagNames
      .filter(([bit]) => ((rflags >> BigInt(bit)) & 1n) !== 0n)
      .map(([, name]) => name)
      .join(" ") || "none"
  );
}

function segmentText(name: string, { selector, base, limit, flags }: Segment, colors: Colors): string {
  const parts = [
    selector.toString(16).padStart(4, "0"),
    hexWord(base),
    `limit ${hexAddress(limit)}`,
    `flags 0x${(flags >>> 0).toString(16)}`,
  ];
  return `  ${colors.dim(name.padEnd(3))}  ${parts.join("  ")}`;
}

function armText(cpu: ArmCpu, colors: Colors): string {
  const general = cpu.registers.map((value, i): [string, bigint] => [i === 31 ? "sp" : `x${i}`, value]);
  return [
    headOf(cpu, [`EL${cpu.el}`], colors),
    ...grid([...general, ["pc", cpu.pc], ["pstate", cpu.pstate]], 3, colors),
    ...grid(Object.entries(cpu.banked), 3, colors),
    ...grid(Object.entries(cpu.system), 2, colors),
    "",
  ].join("\n");
}

/** Every register as a text `0x...`: JSON's numbers end at 2^53. */
export function cpusJson(result: CpusResult): object {
  return JSON.parse(
    JSON.stringify(result, (_, value) => (typeof value === "bigint" ? `0x${value.toString(16)}` : value)),
  );
}
