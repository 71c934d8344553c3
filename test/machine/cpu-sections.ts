/** `cpu` sections as QEMU writes them, with what matters of their fields. */
import { type Made, type StateBuilder, section } from "../devices/sample.ts";

const segment = (flags: number) => (b: StateBuilder) =>
  b.uint("selector", 4, 8).uint("base", 8, 0).uint("limit", 4, 0xffff).uint("flags", 4, flags);

export interface X86Options {
  readonly version?: number;
  readonly cr0?: bigint;
  readonly cr4?: bigint;
  readonly efer?: bigint;
  readonly code?: number;
  readonly rflags?: bigint;
  readonly hflags?: number;
}

export function x86Section({
  version = 12,
  cr0 = 0x8000_0001n,
  cr4 = 0x20n,
  efer = 0x500n,
  code = 1 << 21,
  rflags = 2n,
  hflags = 0,
}: X86Options = {}): Made {
  return section("cpu", version, (b) => {
    b.uints(
      "env.regs",
      8,
      Array.from({ length: 16 }, (_, i) => BigInt(i) + 100n),
    );
    b.uint("env.eip", 8, 0xffff_ffff_8100_0000n).uint("env.eflags", 8, rflags).uint("env.hflags", 4, hflags);
    b.uint("env.fpuc", 2, 0x37f)
      .uint("env.fpus_vmstate", 2, 0)
      .uint("env.fptag_vmstate", 2, 0)
      .uint("env.fpregs_format_vmstate", 2, 0);
    b.structs("env.fpregs", "fpreg", 8, (inner, i) =>
      inner.struct("tmp", "fpreg_tmp", (tmp) => tmp.uint("tmp_mant", 8, i).uint("tmp_exp", 2, 0x3fff)),
    );
    b.structs("env.segs", "segment", 6, (inner, i) => segment(i === 1 ? code : i === 2 ? 3 << 13 : 0)(inner));
    for (const name of ["ldt", "tr", "gdt", "idt"]) b.struct(`env.${name}`, "segment", segment(0));
    for (const name of ["sysenter_cs", "sysenter_esp", "sysenter_eip"]) b.uint(`env.${name}`, 8, 0);
    b.uint("env.cr[0]", 8, cr0).uint("env.cr[2]", 8, 2).uint("env.cr[3]", 8, 0x1000).uint("env.cr[4]", 8, cr4);
    b.uints("env.dr", 8, [0, 0, 0, 0, 0, 0, 6, 7]).uint("env.a20_mask", 4, -1, "int32").uint("env.mxcsr", 4, 0x1f80);
    b.structs("env.xmm_regs[0]", "xmm_reg", 16, (inner, i) => inner.uint("q0", 8, i).uint("q1", 8, i + 1));
    b.uint("env.efer", 8, efer).uint("env.lstar", 8, 5);
    b.subsection("cpu/pkru", (sub) => sub.uint("env.pkru", 4, 0x55));
  });
}

export const sysreg = (op0: number, op1: number, crn: number, crm: number, op2: number) =>
  0x6030_0000_0013_0000n + BigInt(op0 * 16384 + op1 * 2048 + crn * 128 + crm * 8 + op2);

export function armSection(system: readonly (readonly [bigint, bigint])[], pstate = 5, version = 22): Made {
  return section("cpu", version, (b) => {
    b.uints(
      "env.xregs",
      8,
      Array.from({ length: 32 }, (_, i) => i),
    ).uint("env.pc", 8, 0x4000_0000);
    b.bytes("cpsr", "cpsr", Uint8Array.of(0, 0, 0, pstate));
    b.uints("env.banked_spsr", 8, [0, 9, 0, 0, 0, 0, 0, 0])
      .uints("env.elr_el", 8, [0, 1, 2, 3])
      .uints("env.sp_el", 8, [4, 5, 6, 7]);
    b.uint("cpreg_vmstate_array_len", 4, system.length, "int32");
    b.uints(
      "cpreg_vmstate_indexes",
      8,
      system.map(([number]) => number),
    );
    b.uints(
      "cpreg_vmstate_values",
      8,
      system.map(([, value]) => value),
    );
  });
}
