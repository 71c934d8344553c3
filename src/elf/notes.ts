import { LittleEndian } from "../bytes/little-endian.ts";
import { alignUp } from "../bytes/numbers.ts";
import { fromLatin1 } from "../bytes/text.ts";
import type { Cpu } from "../machine/cpu.ts";
import type { ArmCpu } from "../machine/cpu-arm.ts";
import type { DescriptorTable, Segment, X86Cpu } from "../machine/cpu-x86.ts";

const NT_PRSTATUS = 1;

/** An ELF note: name, descriptor and their lengths, each padded to 4 bytes. */
export function note(name: string, type: number, descriptor: Uint8Array): Uint8Array {
  const bytes = fromLatin1(`${name}\0`);
  return new LittleEndian(12 + alignUp(bytes.length, 4) + alignUp(descriptor.length, 4))
    .u32(bytes.length)
    .u32(descriptor.length)
    .u32(type)
    .put(bytes)
    .skip(alignUp(bytes.length, 4) - bytes.length)
    .put(descriptor).bytes;
}

/**
 * The notes of a vmcore in QEMU's order (target/i386/arch_dump.c, target/arm/arch_dump.c): NT_PRSTATUS of every CPU; then, on
 * x86, QEMU's own note of every CPU, which holds what page tables and KASLR are found by.
 */
export function cpuNotes(cpus: readonly Cpu[]): Uint8Array[] {
  const status = cpus.map((cpu) => note("CORE", NT_PRSTATUS, cpu.arch === "x86" ? statusX86(cpu) : statusArm(cpu)));
  const own = cpus.flatMap((cpu) => (cpu.arch === "x86" ? [note("QEMU", 0, stateX86(cpu))] : []));
  return [...status, ...own];
}

/** Linux's struct elf_prstatus for x86-64; all that QEMU fills in of it. 336 bytes. */
function statusX86(cpu: X86Cpu): Uint8Array {
  const { registers: r, segments: s } = cpu;
  const out = new LittleEndian(336)
    .skip(32)
    .u32(cpu.index + 1)
    .skip(76);
  const general = [
    r.r15,
    r.r14,
    r.r13,
    r.r12,
    r.rbp,
    r.rbx,
    r.r11,
    r.r10,
    r.r9,
    r.r8,
    r.rax,
    r.rcx,
    r.rdx,
    r.rsi,
    r.rdi,
  ];
  for (const value of general) out.u64(value);
  // orig_rax: whether it is in a system call is not known.
  out.u64(0).u64(cpu.rip).u64(s.cs.selector).u64(cpu.rflags).u64(r.rsp).u64(s.ss.selector);
  out.u64(s.fs.base).u64(s.gs.base);
  for (const { selector } of [s.ds, s.es, s.fs, s.gs]) out.u64(selector);
  return out.bytes;
}

/** QEMU's struct QEMUCPUState, version 1. 440 bytes. */
function stateX86(cpu: X86Cpu): Uint8Array {
  const { registers: r, segments: s } = cpu;
  const out = new LittleEndian(440).u32(1).u32(440);
  const general = [r.rax, r.rbx, r.rcx, r.rdx, r.rsi, r.rdi, r.rsp, r.rbp];
  const more = [r.r8, r.r9, r.r10, r.r11, r.r12, r.r13, r.r14, r.r15];
  for (const value of [...general, ...more, cpu.rip, cpu.rflags]) out.u64(value);
  for (const segment of [s.cs, s.ds, s.es, s.fs, s.gs, s.ss, s.ldt, s.tr]) putSegment(out, segment);
  for (const table of [cpu.gdt, cpu.idt]) putTable(out, table);
  for (const value of [cpu.cr0, 0n, cpu.cr2, cpu.cr3, cpu.cr4]) out.u64(value);
  return out.u64(cpu.msrs["kernel_gs_base"] ?? 0n).bytes;
}

function putSegment(out: LittleEndian, { selector, limit, flags, base }: Segment): void {
  out.u32(selector).u32(limit).u32(flags).u32(0).u64(base);
}

function putTable(out: LittleEndian, { limit, base }: DescriptorTable): void {
  out.u32(0).u32(limit).u32(0).u32(0).u64(base);
}

/** Linux's struct elf_prstatus for arm64: x0 to x30, sp, pc, pstate. 392 bytes. */
function statusArm(cpu: ArmCpu): Uint8Array {
  const out = new LittleEndian(392)
    .skip(32)
    .u32(cpu.index + 1)
    .skip(76);
  for (let i = 0; i < 32; i++) out.u64(cpu.registers[i] ?? 0n);
  return out.u64(cpu.pc).u64(cpu.pstate).bytes;
}
