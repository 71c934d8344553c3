/**
 * CPUs besides 64-bit x86, looked into and held against what QEMU's own monitor and gdb stub say of the same stopped guest:
 * aarch64 with every granule, 32-bit x86 with both kinds of tables. The guests are a few instructions: support/bare.ts.
 */
import { execFileSync } from "node:child_process";
import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { describe, expect, test } from "vitest";
import { Inside } from "../../src/operations/inside/open.ts";
import { openSnapshot } from "../../src/operations/open.ts";
import { QmpClient } from "../../src/qmp/client.ts";
import { fixedram, type Qemu, qemus, ROOT, startProcess, testFolder } from "./harness/index.ts";
import { otherQemu } from "./harness/qemus.ts";
import {
  type ArmPaging,
  armGuest,
  armRegister,
  armStack,
  type Bare,
  type Mapping,
  type X86Tables,
  x86Guest,
  x86Registers,
} from "./support/bare.ts";
import { limeRanges } from "./support/lime.ts";
import { compareMappings, compareRegisters, type Monitor, monitorOf, readAll } from "./support/monitor.ts";

interface Machine {
  readonly folder: string;
  readonly qmp: QmpClient;
  readonly monitor: Monitor;
  /** Another QMP socket, for fixedram. */
  readonly socket: string;
  /** QEMU's own gdb stub. */
  readonly gdb: string;
}

/** A guest that has come to where it stays, stopped. `at` finds its program counter in `info registers`. */
async function machine(one: Qemu, argv: readonly string[], guest: Bare, at: RegExp): Promise<Machine> {
  const folder = testFolder();
  const [own, socket, gdb] = ["own", "qmp", "gdb"].map((name) => join(folder, name)) as [string, string, string];
  const started = await startProcess(
    [
      ...[one.path, "-nodefaults", "-display", "none", "-m", "64", ...argv],
      ...["-qmp", `unix:${own},server=on,wait=off`, "-qmp", `unix:${socket},server=on,wait=off`],
      ...["-gdb", `unix:${gdb},server=on,wait=off`],
    ],
    join(folder, "log"),
  );
  for (;;) {
    const qmp = await QmpClient.connect(own).catch(() => null);
    if (qmp === null) {
      if (started.exit() !== undefined) throw new Error(readFileSync(join(folder, "log"), "utf8"));
      await sleep(20);
      continue;
    }
    const monitor = monitorOf(qmp, folder);
    // Nothing tells when it is there.
    for (let said = ""; ; ) {
      said = await monitor.registers(0);
      const [, pc = ""] = at.exec(said) ?? [];
      if (BigInt(`0x${pc}`) === guest.home) break;
      if (started.exit() !== undefined) throw new Error(readFileSync(join(folder, "log"), "utf8"));
      await sleep(50);
    }
    await qmp.execute("stop");
    return { folder, qmp, monitor, socket, gdb };
  }
}

/** The snapshot, saved by the command line. */
async function saved({ folder, socket }: Machine): Promise<string> {
  const path = join(folder, "guest.fram");
  const { code, stdout, stderr } = await fixedram(["save", path, "--qmp", socket, "--json"]);
  expect(code, stdout + stderr).toBe(0);
  return path;
}

/** Every mapping leads where it was made to, and where QEMU says; what lies beside them is not mapped for either. */
async function compareTranslations(inside: Inside, monitor: Monitor, mappings: readonly Mapping[]): Promise<void> {
  const places = mappings.flatMap(({ virtual, physical, size }): [bigint, bigint | null][] => [
    [virtual, BigInt(physical)],
    [virtual + 0x7f8n, BigInt(physical) + 0x7f8n],
    [virtual + BigInt(size) - 1n, BigInt(physical + size) - 1n],
  ]);
  for (const [virtual, physical] of places) {
    const found = await inside.translate(virtual);
    const ours = found.mapped ? BigInt(found.physical) : null;
    expect([virtual.toString(16), ours]).toEqual([virtual.toString(16), physical]);
    expect([virtual.toString(16), await monitor.physical(virtual, 0)]).toEqual([virtual.toString(16), physical]);
  }
  for (const { virtual, size } of mappings) {
    const beside = virtual + BigInt(size);
    // At the end of a 32-bit address space QEMU begins again from 0; we say that there are no such addresses.
    if (beside === 2n ** 32n || beside >= 2n ** 64n || mappings.some((each) => each.virtual === beside)) continue;
    const found = await inside.translate(beside);
    expect([beside.toString(16), found.mapped]).toEqual([
      beside.toString(16),
      (await monitor.physical(beside, 0)) !== null,
    ]);
  }
}

/** Memory by virtual and physical address is what QEMU shows. */
async function compareMemory(inside: Inside, monitor: Monitor, mappings: readonly Mapping[]): Promise<void> {
  for (const { virtual, physical } of mappings) {
    const theirs = await monitor.memory(BigInt(physical), 4096);
    const byPhysical = await readAll((target) => inside.readPhysical(physical, target), 4096);
    const byVirtual = await readAll((target) => inside.readVirtual(virtual, target), 4096);
    expect([physical, Buffer.compare(byPhysical, theirs)]).toEqual([physical, 0]);
    expect([virtual, Buffer.compare(byVirtual, theirs)]).toEqual([virtual, 0]);
  }
}

/** All of the guest's memory, as a LiME file has it, is what QEMU shows. */
async function compareLime({ folder, monitor }: Machine, path: string): Promise<void> {
  const out = join(folder, "guest.lime");
  const { code, stdout, stderr } = await fixedram(["export", path, out, "--format", "lime", "--json"]);
  expect(code, stdout + stderr).toBe(0);
  const ranges = limeRanges(readFileSync(out));
  expect(ranges.reduce((sum, { bytes }) => sum + bytes.length, 0)).toBeGreaterThanOrEqual(64 * 2 ** 20);
  for (const { start, bytes } of ranges) {
    const theirs = await monitor.memory(BigInt(start), bytes.length);
    expect([start, Buffer.compare(bytes, theirs)]).toEqual([start, 0]);
  }
}

/** What gdb says to these commands. */
function askGdb(folder: string, target: string, commands: readonly string[]): string {
  const marked = ["echo begin of the answer\\n", ...commands, "echo end of the answer\\n"];
  const all = ["set remotetimeout 60", target, ...marked, "detach"];
  const argv = ["-nx", "-q", "-batch", ...all.flatMap((command) => ["-ex", command])];
  const said = execFileSync("gdb-multiarch", argv, {
    cwd: folder,
    encoding: "utf8",
    stdio: ["ignore", "pipe", "pipe"],
  });
  return said.slice(said.indexOf("begin of the answer"), said.indexOf("end of the answer"));
}

const served = (path: string) =>
  `target remote | ${process.execPath} ${join(ROOT, "bin", "fixedram")} gdb ${path} --stdio`;

/** gdb shows the same with QEMU's own stub and with ours. */
function compareGdb({ folder, gdb }: Machine, path: string, commands: readonly string[]): string {
  const ours = askGdb(folder, served(path), commands);
  expect(ours).toBe(askGdb(folder, `target remote ${gdb}`, commands));
  return ours;
}

const content = Buffer.from(Array.from({ length: 5 * 2 ** 20 }, (_, i) => (i * 31 + Math.floor(i / 4096) * 7) % 256));
const armOld = otherQemu("arm-old");
const armNew = otherQemu("arm-new");

interface ArmCase extends ArmPaging {
  readonly on: Qemu | undefined;
  readonly cpu: string;
}

const armCases: readonly ArmCase[] = [
  { on: armOld, cpu: "cortex-a57", granule: 12, bits: 48 },
  { on: armNew, cpu: "cortex-a57", granule: 12, bits: 39 },
  { on: armOld, cpu: "cortex-a57", granule: 16, bits: 42 },
  { on: armNew, cpu: "max", granule: 14, bits: 47 },
];

describe.skipIf(armOld === undefined || armNew === undefined)("aarch64, machine virt", () => {
  test.each(armCases)("$cpu, $bits bits, granule 2^$granule: registers, tables and memory", async (options) => {
    const guest = armGuest(options);
    const folder = testFolder();
    const [image, data] = [join(folder, "image"), join(folder, "data")];
    writeFileSync(image, guest.image);
    writeFileSync(data, content);
    const place = (file: string, at: number) => ["-device", `loader,file=${file},addr=${at},force-raw=on`];
    const argv = ["-machine", "virt-7.2", "-cpu", options.cpu, "-smp", "2"];
    const loaders = [...place(image, guest.at), ...place(data, 0x4300_0000)];
    const start = ["-device", `loader,addr=${guest.at},cpu-num=0`];
    const on = await machine(options.on as Qemu, [...argv, ...loaders, ...start], guest, /\bPC=([0-9a-f]{16})/);
    const path = await saved(on);
    const snapshot = await openSnapshot(path);
    try {
      const inside = new Inside(snapshot);
      expect(inside.memoryMap.from).toBe("recorded");
      expect(inside.cpus).toHaveLength(2);
      await compareArm(inside, on.monitor, guest.system);
      await compareTranslations(inside, on.monitor, guest.mappings);
      await compareMemory(inside, on.monitor, guest.mappings);
      // Without what was recorded, by the rules for the machine.
      const byRules = new Inside(snapshot, "virt");
      expect(await readAll((target) => byRules.readPhysical(0x4300_1000, target), 4096)).toEqual(
        new Uint8Array(content.subarray(0x1000, 0x2000)),
      );
    } finally {
      await snapshot.close();
    }
    await compareLime(on, path);
    const home = `0x${guest.home.toString(16)}`;
    const said = compareGdb(on, path, [
      `info registers ${Array.from({ length: 31 }, (_, i) => `x${i}`).join(" ")} sp pc`,
      `x/4i ${home} - 12`,
      "p/x $pc",
      "p/x $cpsr",
      `x/16gx ${home} - 0x40`,
      "x/16gx 0x700000000",
    ]);
    expect(said).toContain(`$1 = ${home}`);
  });
});

async function compareArm(inside: Inside, monitor: Monitor, system: object): Promise<void> {
  for (const n of [0, 1]) {
    const cpu = inside.cpu(n);
    if (cpu.arch !== "aarch64") throw new Error("not aarch64");
    const said = await monitor.registers(n);
    const theirs = new Map(
      [...said.matchAll(/\b(PC|X\d\d|SP|PSTATE)=([0-9a-f]+)/g)].map(([, name, value]) => [name, BigInt(`0x${value}`)]),
    );
    expect(theirs.size).toBe(34);
    cpu.registers.forEach((value, i) => {
      expect([i, value]).toEqual([i, theirs.get(i === 31 ? "SP" : `X${String(i).padStart(2, "0")}`)]);
    });
    expect([cpu.pc, cpu.pstate]).toEqual([theirs.get("PC"), theirs.get("PSTATE")]);
    expect(said).toContain(`EL${cpu.el}h`);
  }
  const first = inside.cpu(0);
  if (first.arch !== "aarch64") throw new Error("not aarch64");
  expect(first.registers).toEqual([
    ...Array.from({ length: 31 }, (_, i) => BigInt.asUintN(64, armRegister(i))),
    armStack,
  ]);
  expect(first.system).toMatchObject(system);
  expect(first.banked).toMatchObject({ sp_el0: 0n, sp_el1: armStack });
  expect(first.halted).toBe(false);
}

describe.each(qemus())("QEMU $label ($version): 32-bit x86", (one) => {
  test.each<X86Tables>(["32-bit", "PAE"])("%s tables: registers, tables and memory", async (paging) => {
    const guest = x86Guest(paging);
    const folder = testFolder();
    const image = join(folder, "kernel");
    writeFileSync(image, guest.image);
    const argv = ["-machine", "pc-i440fx-7.2", "-kernel", image];
    const on = await machine(one, argv, guest, /\bEIP=([0-9a-f]{8})/);
    const path = await saved(on);
    const snapshot = await openSnapshot(path);
    try {
      const inside = new Inside(snapshot);
      const cpu = inside.cpu(0);
      if (cpu.arch !== "x86") throw new Error("not x86");
      expect(cpu).toMatchObject({ mode: "protected-32", paging, cr3: guest.cr3, cr4: guest.cr4, rip: guest.home });
      const { rax, rdx, rbx, rsp, rbp, rsi, rdi } = cpu.registers;
      expect([rax, null, rdx, rbx, rsp, rbp, rsi, rdi]).toEqual([...x86Registers]);
      compareRegisters(cpu, await on.monitor.registers(0));
      await compareMappings(inside, 0, await on.monitor.tlb(0));
      await compareTranslations(inside, on.monitor, guest.mappings);
      await compareMemory(inside, on.monitor, guest.mappings);
    } finally {
      await snapshot.close();
    }
    await compareLime(on, path);
    const home = `0x${guest.home.toString(16)}`;
    compareGdb(on, path, [`x/16wx ${home} - 0x40`, "x/16wx 0x40000000", "x/8wx 0x80002000"]);
    // QEMU's stub tells gdb of a 64-bit machine whatever it is; ours can be read with a 32-bit kernel's symbols.
    const said = askGdb(folder, served(path), [
      `x/2i ${home} - 2`,
      "p/x {$eax, $ebx, $edx, $esi, $edi, $ebp, $esp}",
      "p/x {$eip, $ecx, $cr0, $cr3, $cr4}",
      "info threads",
    ]);
    const hex = (...values: readonly (bigint | null)[]) =>
      `{${values.map((value) => `0x${value?.toString(16)}`).join(", ")}}`;
    const [eax, , edx, ebx, esp, ebp, esi, edi] = x86Registers;
    expect(said).toContain(`$1 = ${hex(eax, ebx, edx, esi, edi, ebp, esp)}`);
    expect(said).toContain(`$2 = ${hex(guest.home, guest.home, 0x8001_0011n, guest.cr3, guest.cr4)}`);
    expect(said).toMatch(new RegExp(`=> ${home}:\\s+jmp +${home}`));
    expect(said).toMatch(/CPU 0, protected-32, ring 0/);
  });
});
