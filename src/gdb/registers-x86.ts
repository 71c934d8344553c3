import type { X86Cpu, X86General } from "../machine/cpu-x86.ts";
import { descriptionXml, type Feature, littleEndian, type RegisterDescription } from "./description.ts";

/** gdb's order, which is neither the processor's nor QEMU's. */
const general: readonly X86General[] = [
  ...(["rax", "rbx", "rcx", "rdx", "rsi", "rdi", "rbp", "rsp"] as const),
  ...(["r8", "r9", "r10", "r11", "r12", "r13", "r14", "r15"] as const),
];
const segments = ["cs", "ss", "ds", "es", "fs", "gs"] as const;
const control = ["fctrl", "fstat", "ftag", "fiseg", "fioff", "foseg", "fooff", "fop"] as const;
const system = ["cr0", "cr2", "cr3", "cr4"] as const;

const flags: readonly (readonly [string, number])[] = [
  ...([
    ["CF", 0],
    ["PF", 2],
    ["AF", 4],
    ["ZF", 6],
    ["SF", 7],
    ["TF", 8],
    ["IF", 9],
    ["DF", 10],
    ["OF", 11],
  ] as const),
  ...([
    ["NT", 14],
    ["RF", 16],
    ["VM", 17],
    ["AC", 18],
    ["VIF", 19],
    ["VIP", 20],
    ["ID", 21],
  ] as const),
];

const flagsType = `<flags id="i386_eflags" size="4"><field name="" start="1" end="1"/>${flags
  .map(([name, bit]) => `<field name="${name}" start="${bit}" end="${bit}"/>`)
  .join("")}</flags>`;

const vectorTypes = [
  ["v4f", "ieee_single", 4],
  ["v2d", "ieee_double", 2],
  ["v16i8", "int8", 16],
  ["v8i16", "int16", 8],
  ["v4i32", "int32", 4],
  ["v2i64", "int64", 2],
]
  .map(([id, type, count]) => `<vector id="${id}" type="${type}" count="${count}"/>`)
  .join("");
const vectorUnion = `<union id="vec128">${[
  ["v4_float", "v4f"],
  ["v2_double", "v2d"],
  ["v16_int8", "v16i8"],
  ["v8_int16", "v8i16"],
  ["v4_int32", "v4i32"],
  ["v2_int64", "v2i64"],
  ["uint128", "uint128"],
]
  .map(([name, type]) => `<field name="${name}" type="${type}"/>`)
  .join("")}</union>`;

/** gdb's order for a 32-bit machine. */
const general32: readonly X86General[] = ["rax", "rcx", "rdx", "rbx", "rsp", "rbp", "rsi", "rdi"];
const name32 = (name: string) => name.replace(/^r/, "e");

/** Registers of a machine that was not in long mode, with which gdb reads 32-bit programs. */
function description32(): string {
  const eight = Array.from({ length: 8 }, (_, i) => i);
  const core: RegisterDescription[] = [
    ...general32.map((name) => ({
      name: name32(name),
      bits: 32,
      ...(/^r[sb]p$/.test(name) ? { type: "data_ptr" } : {}),
    })),
    { name: "eip", bits: 32, type: "code_ptr" },
    { name: "eflags", bits: 32, type: "i386_eflags" },
    ...segments.map((name) => ({ name, bits: 32 })),
    ...stackAndControl(eight),
  ];
  const own = ["fs_base", "gs_base", ...system].map((name) => ({ name, bits: 32, group: "system" }));
  return descriptionXml("i386", [
    { name: "org.gnu.gdb.i386.core", types: flagsType, registers: core },
    { name: "org.gnu.gdb.i386.sse", types: vectorTypes + vectorUnion, registers: sseOf(eight) },
    { name: "fixedram.x86.system", registers: own },
  ]);
}

const stackAndControl = (eight: readonly number[]): RegisterDescription[] => [
  ...eight.map((i) => ({ name: `st${i}`, bits: 80, type: "i387_ext" })),
  ...control.map((name) => ({ name, bits: 32, group: "float" })),
];

const sseOf = (vectors: readonly number[]): RegisterDescription[] => [
  ...vectors.map((i) => ({ name: `xmm${i}`, bits: 128, type: "vec128" })),
  { name: "mxcsr", bits: 32, group: "vector" },
];

/**
 * Registers of an x86 machine: the features that gdb knows, and one of our own for what only a system has.
 *
 * @param wide the machine has a CPU in long mode
 */
export function x86Description(cpu: X86Cpu, wide: boolean): string {
  if (!wide) return description32();
  const vectors = Array.from({ length: 16 }, (_, i) => i);
  const core: RegisterDescription[] = [
    ...general.map((name) => ({ name, bits: 64, ...(/^r[sb]p$/.test(name) ? { type: "data_ptr" } : {}) })),
    { name: "rip", bits: 64, type: "code_ptr" },
    { name: "eflags", bits: 32, type: "i386_eflags" },
    ...segments.map((name) => ({ name, bits: 32 })),
    ...stackAndControl(vectors.slice(0, 8)),
  ];
  const features: Feature[] = [
    { name: "org.gnu.gdb.i386.core", types: flagsType, registers: core },
    { name: "org.gnu.gdb.i386.sse", types: vectorTypes + vectorUnion, registers: sseOf(vectors) },
    { name: "org.gnu.gdb.i386.segments", registers: ["fs_base", "gs_base"].map((name) => ({ name, bits: 64 })) },
  ];
  if (hasUpper(cpu)) {
    const upper = vectors.map((i) => ({ name: `ymm${i}h`, bits: 128, type: "uint128" }));
    features.push({ name: "org.gnu.gdb.i386.avx", registers: upper });
  }
  const own = ["k_gs_base", ...system, "efer"].map((name) => ({ name, bits: 64, group: "system" }));
  return descriptionXml("i386:x86-64", [...features, { name: "fixedram.x86.system", registers: own }]);
}

/** The registers in the order of {@link x86Description}. */
export function x86Registers(cpu: X86Cpu, wide: boolean): Uint8Array[] {
  const { fpu, segments: s, msrs } = cpu;
  const long = (value: bigint | number) => littleEndian(value, 8);
  const narrow = (value: bigint | number) => littleEndian(value, 4);
  const vector = (i: number, from: number) => {
    const words = fpu.vectors[i] ?? [];
    return littleEndian((words[from] ?? 0n) + 2n ** 64n * (words[from + 1] ?? 0n), 16);
  };
  const sixteen = Array.from({ length: 16 }, (_, i) => i);
  // st(0) is the register that the top of the stack points at.
  const top = Math.floor(fpu.status / 2 ** 11) % 8;
  const stack = sixteen.slice(0, 8).map((i) => {
    const { mantissa = 0n, exponent = 0 } = fpu.registers[(top + i) % 8] ?? {};
    return littleEndian(mantissa + 2n ** 64n * BigInt(exponent), 10);
  });
  const floats = [...stack, ...[fpu.control, fpu.status, tagWord(fpu.tags), 0, 0, 0, 0, 0].map(narrow)];
  const selectors = segments.map((name) => narrow(s[name].selector));
  if (!wide) {
    return [
      ...general32.map((name) => narrow(cpu.registers[name])),
      ...[cpu.rip, cpu.rflags].map(narrow),
      ...selectors,
      ...floats,
      ...sixteen.slice(0, 8).map((i) => vector(i, 0)),
      ...[fpu.mxcsr, s.fs.base, s.gs.base, ...system.map((name) => cpu[name])].map(narrow),
    ];
  }
  return [
    ...general.map((name) => long(cpu.registers[name])),
    long(cpu.rip),
    narrow(cpu.rflags),
    ...selectors,
    ...floats,
    ...sixteen.map((i) => vector(i, 0)),
    narrow(fpu.mxcsr),
    long(s.fs.base),
    long(s.gs.base),
    ...(hasUpper(cpu) ? sixteen.map((i) => vector(i, 2)) : []),
    long(msrs["kernel_gs_base"] ?? 0n),
    ...system.map((name) => long(cpu[name])),
    long(msrs["efer"] ?? 0n),
  ];
}

function hasUpper({ fpu }: X86Cpu): boolean {
  return fpu.vectors.length >= 16 && fpu.vectors.every((words) => words.length >= 4);
}

/** Two bits a register: 0 in use, 3 empty. */
function tagWord(used: number): number {
  let word = 0;
  for (let i = 0; i < 8; i++) if (Math.floor(used / 2 ** i) % 2 === 0) word += 3 * 4 ** i;
  return word;
}
