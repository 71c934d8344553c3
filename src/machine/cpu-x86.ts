import { type DeviceState, type DeviceTree, fieldOf, isArray, isState, subsectionOf } from "../devices/tree.ts";
import { integer, integerOr, integers, structOf, structsOf, unknownCpu } from "./fields.ts";

/** A segment register with its hidden part. */
export interface Segment {
  readonly selector: number;
  readonly base: bigint;
  /** Bytes, as the CPU holds it (granularity applied). */
  readonly limit: number;
  /** The descriptor's second word: type, S, DPL, P, AVL, L, D/B, G from bit 8 on. */
  readonly flags: number;
}

export interface DescriptorTable {
  readonly base: bigint;
  readonly limit: number;
}

export type X86Mode = "real" | "virtual-8086" | "protected-16" | "protected-32" | "compatibility" | "long";
export type X86Paging = "none" | "32-bit" | "PAE" | "4-level" | "5-level";

export const x86GeneralNames = [
  ...["rax", "rcx", "rdx", "rbx", "rsp", "rbp", "rsi", "rdi"],
  ...["r8", "r9", "r10", "r11", "r12", "r13", "r14", "r15"],
] as const;
export type X86General = (typeof x86GeneralNames)[number];
export const x86SegmentNames = ["es", "cs", "ss", "ds", "fs", "gs"] as const;
export type X86SegmentName = (typeof x86SegmentNames)[number] | "ldt" | "tr";

/** An x86 CPU as it was saved: the `cpu` section, version 11 or 12, of QEMU's target/i386/machine.c. */
export interface X86Cpu {
  readonly arch: "x86";
  /** QEMU's number of it. */
  readonly index: number;
  /** In hlt, or waiting to be started; null when the snapshot does not say. */
  readonly halted: boolean | null;
  readonly mode: X86Mode;
  readonly paging: X86Paging;
  /** Privilege level, 0 to 3. */
  readonly cpl: number;
  /** In system management mode. */
  readonly smm: boolean;
  /** Runs a guest of its own (nested virtualization): its virtual addresses are that guest's. */
  readonly nested: boolean;
  readonly registers: Readonly<Record<X86General, bigint>>;
  readonly rip: bigint;
  readonly rflags: bigint;
  readonly segments: Readonly<Record<X86SegmentName, Segment>>;
  readonly gdt: DescriptorTable;
  readonly idt: DescriptorTable;
  readonly cr0: bigint;
  readonly cr2: bigint;
  readonly cr3: bigint;
  readonly cr4: bigint;
  /** dr0 to dr7. */
  readonly debug: readonly bigint[];
  /** ANDed to every physical address: bit 20 is clear while the A20 line is off. */
  readonly a20Mask: number;
  readonly fpu: X86Fpu;
  /** By their names in the manuals, lower case: efer, star, lstar, kernel_gs_base, tsc_aux, ... Only those that were saved. */
  readonly msrs: Readonly<Record<string, bigint>>;
}

export interface X86Fpu {
  readonly control: number;
  readonly status: number;
  /** One bit a register: in use. */
  readonly tags: number;
  /** st(0) to st(7) by place, not by stack top: significand and sign with exponent. */
  readonly registers: readonly { readonly mantissa: bigint; readonly exponent: number }[];
  readonly mxcsr: number;
  /** xmm0 to xmm15, low half first; with their upper halves (ymm) 4 words. */
  readonly vectors: readonly (readonly bigint[])[];
}

/** target/i386/cpu.h, hflags. */
const HF_SMM = 1n << 19n;
const HF_GUEST = 1n << 21n;
const CR0_PE = 1n;
const CR0_PG = 1n << 31n;
const CR4_PAE = 1n << 5n;
const CR4_LA57 = 1n << 12n;
const EFER_LMA = 1n << 10n;
const FLAG_VM = 1n << 17n;
const DESC_B = 1 << 22;
const DESC_L = 1 << 21;

/** @throws `stream.unknown-cpu` */
export function x86Cpu(tree: DeviceTree, halted: boolean | null): X86Cpu {
  const { state, version } = tree;
  if (version < 11 || version > 12) throw unknownCpu(`its version is ${version}; 11 and 12 are known`);
  const general = integers(state, "env.regs");
  const [segments, cpl] = segmentsOf(state);
  const hflags = integer(state, "env.hflags");
  const control = {
    cr0: integer(state, "env.cr[0]"),
    cr2: integer(state, "env.cr[2]"),
    cr3: integer(state, "env.cr[3]"),
    cr4: integer(state, "env.cr[4]"),
  };
  const msrs = msrsOf(state);
  const rflags = integer(state, "env.eflags");
  const efer = msrs.efer ?? 0n;
  return {
    arch: "x86",
    index: tree.instance,
    halted,
    mode: modeOf(control.cr0, rflags, efer, segments.cs.flags),
    paging: pagingOf(control.cr0, control.cr4, efer),
    cpl,
    smm: (hflags & HF_SMM) !== 0n,
    nested: (hflags & HF_GUEST) !== 0n,
    registers: Object.fromEntries(x86GeneralNames.map((name, i) => [name, general[i] ?? 0n])) as Record<
      X86General,
      bigint
    >,
    rip: integer(state, "env.eip"),
    rflags,
    segments,
    gdt: tableOf(structOf(state, "env.gdt")),
    idt: tableOf(structOf(state, "env.idt")),
    ...control,
    debug: integers(state, "env.dr"),
    a20Mask: Number(integer(state, "env.a20_mask")),
    fpu: fpuOf(state),
    msrs,
  };
}

function segmentsOf(state: DeviceState): [Record<X86SegmentName, Segment>, number] {
  const six = structsOf(state, "env.segs").map(segmentOf);
  const [es, cs, ss, ds, fs, gs] = six;
  if (!es || !cs || !ss || !ds || !fs || !gs) throw unknownCpu(`it has ${six.length} segment registers`);
  const all = {
    es,
    cs,
    ss,
    ds,
    fs,
    gs,
    ldt: segmentOf(structOf(state, "env.ldt")),
    tr: segmentOf(structOf(state, "env.tr")),
  };
  // QEMU's rule: the stack segment's DPL is the privilege level.
  return [all, (ss.flags >>> 13) & 3];
}

function segmentOf(state: DeviceState): Segment {
  return {
    selector: Number(integer(state, "selector")),
    base: integer(state, "base"),
    limit: Number(integer(state, "limit")),
    flags: Number(integer(state, "flags")),
  };
}

function tableOf(state: DeviceState): DescriptorTable {
  return { base: integer(state, "base"), limit: Number(integer(state, "limit")) };
}

function modeOf(cr0: bigint, rflags: bigint, efer: bigint, code: number): X86Mode {
  if ((cr0 & CR0_PE) === 0n) return "real";
  if ((efer & EFER_LMA) !== 0n) return (code & DESC_L) !== 0 ? "long" : "compatibility";
  if ((rflags & FLAG_VM) !== 0n) return "virtual-8086";
  return (code & DESC_B) !== 0 ? "protected-32" : "protected-16";
}

function pagingOf(cr0: bigint, cr4: bigint, efer: bigint): X86Paging {
  if ((cr0 & CR0_PG) === 0n) return "none";
  if ((cr4 & CR4_PAE) === 0n) return "32-bit";
  if ((efer & EFER_LMA) === 0n) return "PAE";
  return (cr4 & CR4_LA57) === 0n ? "4-level" : "5-level";
}

function fpuOf(state: DeviceState): X86Fpu {
  const low = structsOf(state, "env.xmm_regs[0]").map((each) => words(each));
  const high =
    fieldOf(state, "env.xmm_regs[1]") === null ? [] : structsOf(state, "env.xmm_regs[1]").map((each) => words(each));
  return {
    control: Number(integer(state, "env.fpuc")),
    status: Number(integer(state, "env.fpus_vmstate")),
    tags: Number(integer(state, "env.fptag_vmstate")),
    registers: structsOf(state, "env.fpregs").map(stackRegister),
    mxcsr: Number(integer(state, "env.mxcsr")),
    vectors: low.map((two, i) => [...two, ...(high[i] ?? [])]),
  };
}

function stackRegister(state: DeviceState): { mantissa: bigint; exponent: number } {
  const [first] = state.fields;
  const inner = first !== undefined && isState(first.value) ? first.value : state;
  return { mantissa: integer(inner, "tmp_mant"), exponent: Number(integer(inner, "tmp_exp")) };
}

function words(state: DeviceState): bigint[] {
  return state.fields.flatMap(({ value }) => (isArray(value) ? value : [value])).map((each) => BigInt(each as bigint));
}

/** Name -> subsection that holds it ("" the section itself), field. */
const msrFields: readonly (readonly [string, string, string])[] = [
  ["efer", "", "env.efer"],
  ["efer", "cpu/efer32", "env.efer"],
  ["star", "", "env.star"],
  ["lstar", "", "env.lstar"],
  ["cstar", "", "env.cstar"],
  ["sfmask", "", "env.fmask"],
  ["kernel_gs_base", "", "env.kernelgsbase"],
  ["sysenter_cs", "", "env.sysenter_cs"],
  ["sysenter_esp", "", "env.sysenter_esp"],
  ["sysenter_eip", "", "env.sysenter_eip"],
  ["pat", "", "env.pat"],
  ["tsc", "", "env.tsc"],
  ["tsc_aux", "", "env.tsc_aux"],
  ["tsc_adjust", "cpu/msr_tsc_adjust", "env.tsc_adjust"],
  ["tsc_deadline", "cpu/msr_tscdeadline", "env.tsc_deadline"],
  ["smbase", "", "env.smbase"],
  ["misc_enable", "cpu/msr_ia32_misc_enable", "env.msr_ia32_misc_enable"],
  ["feature_control", "cpu/msr_ia32_feature_control", "env.msr_ia32_feature_control"],
  ["spec_ctrl", "cpu/spec_ctrl", "env.spec_ctrl"],
  ["virt_ssbd", "cpu/virt_ssbd", "env.virt_ssbd"],
  ["mtrr_def_type", "", "env.mtrr_deftype"],
  ["vm_hsave_pa", "", "env.vm_hsave"],
  ["mcg_cap", "", "env.mcg_cap"],
  ["mcg_status", "", "env.mcg_status"],
  ["mcg_ctl", "", "env.mcg_ctl"],
  ["xss", "cpu/xss", "env.xss"],
  ["kvm_system_time", "", "env.system_time_msr"],
  ["kvm_wall_clock", "", "env.wall_clock_msr"],
  ["kvm_async_pf_en", "cpu/async_pf_msr", "env.async_pf_en_msr"],
  ["kvm_steal_time", "cpu/steal_time_msr", "env.steal_time_msr"],
  ["kvm_pv_eoi_en", "cpu/async_pv_eoi_msr", "env.pv_eoi_en_msr"],
  ["hv_guest_os_id", "cpu/msr_hyperv_hypercall", "env.msr_hv_guest_os_id"],
  ["hv_hypercall", "cpu/msr_hyperv_hypercall", "env.msr_hv_hypercall"],
  // No MSRs, but kept beside them.
  ["xcr0", "", "env.xcr0"],
  ["pkru", "cpu/pkru", "env.pkru"],
];

function msrsOf(state: DeviceState): Record<string, bigint> {
  const msrs: Record<string, bigint> = {};
  for (const [name, place, field] of msrFields) {
    const value = integerOr(place === "" ? state : subsectionOf(state, place), field, null);
    if (value !== null) msrs[name] = value;
  }
  return msrs;
}
