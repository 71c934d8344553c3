import { describe, expect, test } from "vitest";
import { DeviceSections } from "../../src/devices/sections.ts";
import { decodeCpus } from "../../src/machine/cpu.ts";
import { translate } from "../../src/machine/virtual.ts";
import { asSnapshot, type Made, section } from "../devices/sample.ts";
import { armSection, sysreg, type X86Options, x86Section } from "./cpu-sections.ts";
import { flatMemory } from "./sample.ts";

const cpus = (...all: readonly Made[]) => decodeCpus(new DeviceSections(asSnapshot(...all)));

describe("x86", () => {
  test("registers, segments, control registers, MSRs, and whether it was halted", () => {
    const common = section("cpu_common", 1, (b) => b.uint("halted", 4, 1).uint("interrupt_request", 4, 0));
    const [cpu] = cpus(x86Section(), common);
    expect(cpu).toMatchObject({
      arch: "x86",
      index: 0,
      halted: true,
      mode: "long",
      paging: "4-level",
      cpl: 3,
      rip: 0xffff_ffff_8100_0000n,
      cr3: 0x1000n,
      a20Mask: 0xffff_ffff,
      registers: { rax: 100n, rsp: 104n, r15: 115n },
      segments: { cs: { selector: 8, limit: 0xffff, flags: 1 << 21 } },
      debug: [0n, 0n, 0n, 0n, 0n, 0n, 6n, 7n],
      msrs: { efer: 0x500n, lstar: 5n, pkru: 0x55n },
    });
    expect(cpu).toMatchObject({
      fpu: { control: 0x37f, registers: expect.arrayContaining([{ mantissa: 3n, exponent: 0x3fff }]) },
    });
  });

  test.each<[X86Options, string, string]>([
    [{ cr0: 0n }, "real", "none"],
    [{ cr0: 1n, efer: 0n, code: 1 << 22 }, "protected-32", "none"],
    [{ cr0: 1n, efer: 0n, code: 0 }, "protected-16", "none"],
    [{ efer: 0n, cr4: 0n, rflags: 1n << 17n }, "virtual-8086", "32-bit"],
    [{ efer: 0n, code: 1 << 22 }, "protected-32", "PAE"],
    [{ code: 1 << 22 }, "compatibility", "4-level"],
    [{ cr4: 0x1020n }, "long", "5-level"],
  ])("%o is %s with paging %s", (options, mode, paging) => {
    expect(cpus(x86Section(options))[0]).toMatchObject({ mode, paging });
  });

  test("a section of another version is not read", () => {
    expect(() => cpus(x86Section({ version: 13 }))).toThrow(expect.objectContaining({ code: "stream.unknown-cpu" }));
    expect(() => cpus(section("cpu", 12, (b) => b.uint("env.something", 8, 0)))).toThrow(
      expect.objectContaining({ code: "stream.unknown-cpu" }),
    );
    expect(() => cpus(section("timer", 1, (b) => b.uint("x", 8, 0)))).toThrow(
      expect.objectContaining({ code: "stream.no-cpu" }),
    );
  });
});

describe("aarch64", () => {
  const SCTLR = sysreg(3, 0, 1, 0, 0);
  const TTBR0 = sysreg(3, 0, 2, 0, 0);
  const TTBR1 = sysreg(3, 0, 2, 0, 1);
  const TCR = sysreg(3, 0, 2, 0, 2);
  const HCR = sysreg(3, 4, 1, 1, 0);
  /** 4 KiB granule, 39 bits below, 48 above. */
  const tcr = 25n | (16n << 16n) | (2n << 30n);
  const paging: [bigint, bigint][] = [
    [SCTLR, 1n],
    [TTBR0, 0x1000n],
    [TTBR1, 0x2000n],
    [TCR, tcr],
  ];

  test("registers, exception level, system registers by name", () => {
    const [cpu] = cpus(armSection(paging));
    expect(cpu).toMatchObject({
      arch: "aarch64",
      el: 1,
      pc: 0x4000_0000n,
      // The stack pointer in use stands among the general registers; the saved one of its level is an old one.
      banked: { sp_el0: 4n, sp_el1: 31n, sp_el2: 6n, elr_el1: 1n, spsr_el1: 9n },
      system: { ttbr1_el1: 0x2000n, tcr_el1: tcr },
    });
    const [withUserStack] = cpus(armSection(paging, 4));
    expect(withUserStack).toMatchObject({ el: 1, banked: { sp_el0: 31n, sp_el1: 5n } });
  });

  const bytes = new Uint8Array(0x10000);
  const view = new DataView(bytes.buffer);
  // Below: level 1 to 3; above: level 0 to a block at level 2.
  view.setBigUint64(0x1000 + 8 * 1, 0x3003n, true);
  view.setBigUint64(0x3000 + 8 * 2, 0x4003n, true);
  view.setBigUint64(0x4000 + 8 * 3, 0x9000n | 0x4c3n | (1n << 53n), true);
  view.setBigUint64(0x2000 + 8 * 0x100, 0x5003n, true);
  view.setBigUint64(0x5000, 0x6003n, true);
  view.setBigUint64(0x6000 + 8 * 7, 0x4020_0000n | 0x401n | (1n << 54n), true);
  const memory = flatMemory(bytes);
  const walk = (system: [bigint, bigint][], virtual: bigint, pstate = 5) => {
    const [cpu] = cpus(armSection(system, pstate));
    if (cpu === undefined) throw new Error("none");
    return translate(cpu, memory, virtual);
  };

  test("both halves are walked", async () => {
    const low = (1n << 30n) | (2n << 21n) | (3n << 12n) | 0x123n;
    expect(await walk(paging, low)).toMatchObject({
      physical: 0x9123,
      pageSize: 4096,
      rights: { write: false, user: true, execute: true },
      steps: [{ level: 1 }, { level: 2 }, { level: 3 }],
    });
    const high = 0xffff_8000_0000_0000n + (7n << 21n) + 0x1234n;
    expect(await walk(paging, high)).toMatchObject({
      physical: 0x4020_1234,
      pageSize: 2 ** 21,
      rights: { write: true, user: false, execute: true },
    });
    expect(await walk(paging, 1n << 40n)).toMatchObject({
      mapped: false,
      reason: expect.stringContaining("outside both halves"),
    });
    expect(await walk(paging, low + 4096n)).toMatchObject({ mapped: false, reason: "the level 3 entry is not valid" });
    expect(await walk([[SCTLR, 0n]], 0x4000_0000n)).toMatchObject({ physical: 0x4000_0000, pageSize: 0 });
  });

  test.each<[string, [bigint, bigint][], number]>([
    ["EL2", paging, 9],
    ["a second stage", [...paging, [HCR, 1n]], 5],
    ["LPA2", [...paging.slice(0, 3), [TCR, tcr | (1n << 59n)]], 5],
    ["no TCR", paging.slice(0, 3), 5],
    // TG0 = 64 KiB, T0SZ = 48: no table is left to walk.
    ["fewer address bits than a page has", [...paging.slice(0, 3), [TCR, (1n << 14n) | 48n]], 5],
  ])("refused: %s", async (_, system, pstate) => {
    await expect(walk(system, 0n, pstate)).rejects.toMatchObject({ code: "usage.not-supported-paging" });
  });

  test("other versions, and 32-bit state, are not read", () => {
    expect(() => cpus(armSection(paging, 5, 23))).toThrow(expect.objectContaining({ code: "stream.unknown-cpu" }));
    expect(() => cpus(armSection(paging, 0x10))).toThrow(expect.objectContaining({ code: "stream.unknown-cpu" }));
  });
});
