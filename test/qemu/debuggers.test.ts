/**
 * A saved guest handed to real debuggers, held against what QEMU's own dump-guest-memory of the same stopped guest gives in the
 * same programs. In CI: readelf, gdb, makedumpfile. With FIXEDRAM_LONG also crash and drgn, with the kernel's symbols.
 */
import { execFileSync } from "node:child_process";
import { closeSync, openSync, readFileSync, readSync, writeFileSync, writeSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, test } from "vitest";
import type { ExportResult } from "../../src/operations/export.ts";
import { coreOf } from "../physical/core.ts";
import { debugKernel } from "./harness/images.ts";
import { fixedram, type GuestOptions, type Qemu, qemu, qemus, ROOT, startGuest, testFolder } from "./harness/index.ts";
import { long, save } from "./support/steps.ts";

/** Where test/guests/linux/holder.c holds what. */
const held = 0x2000_0000_0000;
const heldText = "fixedram holds this\0";
const heldBytes = Buffer.from(Array.from({ length: 8192 }, (_, i) => (i * 7 + Math.floor(i / 256)) % 256));
heldBytes.write(heldText, 5000, "latin1");

interface Scene {
  readonly folder: string;
  readonly fram: string;
  /** QEMU's dump, and with `kdump` its compressed one. */
  readonly dump: string;
  readonly kdump: string;
  /** What the guest said of itself: the holder's pid, and "pid:name" of every task. */
  readonly holder: number;
  readonly tasks: readonly string[];
}

/** A Linux guest that is stopped, dumped by QEMU, and saved. */
async function scene(one: Qemu, options: Partial<GuestOptions> = {}): Promise<Scene> {
  const guest = await startGuest({
    qemu: one,
    kind: "linux",
    machine: "q35",
    smp: 2,
    memory: 256,
    still: 8,
    holder: true,
    disk: false,
    net: false,
    extraArgs: ["-device", "vmcoreinfo"],
    ...options,
  });
  await guest.ready(long ? 600_000 : 120_000);
  const { match } = await guest.ask("tasks", /^tasks (\d+) (.*)$/);
  const folder = testFolder();
  const [fram, dump, kdump] = ["guest.fram", "qemu.elf", "qemu.kdump"].map((name) => join(folder, name)) as [
    string,
    string,
    string,
  ];
  const qmp = await guest.qmp();
  await qmp.execute("stop");
  await qmp.execute("dump-guest-memory", { paging: false, protocol: `file:${dump}` });
  if (long) await qmp.execute("dump-guest-memory", { paging: false, protocol: `file:${kdump}`, format: "kdump-zlib" });
  await save(guest, fram, "--then", "quit");
  await guest.exited;
  const tasks = (match[2] ?? "").split(" ");
  return { folder, fram, dump, kdump, holder: Number(match[1]), tasks };
}

async function exported({ folder, fram }: Scene, format: string): Promise<[string, ExportResult]> {
  const out = join(folder, `our.${format}`);
  const { code, stdout, stderr } = await fixedram(["export", fram, out, "--format", format, "--json"]);
  expect(code, stdout + stderr).toBe(0);
  return [out, JSON.parse(stdout) as ExportResult];
}

/** The first bytes of a core, which hold all its notes. */
function headOf(path: string): Buffer {
  const head = Buffer.alloc(64 * 1024);
  const fd = openSync(path, "r");
  readSync(fd, head, 0, head.length, 0);
  closeSync(fd);
  return head;
}

/** Runs a program to its end and gives what it printed. */
function run(program: string, args: readonly string[], cwd: string): string {
  return execFileSync(program, args, {
    cwd,
    encoding: "utf8",
    stdio: ["ignore", "pipe", "pipe"],
    maxBuffer: 64 * 2 ** 20,
  });
}

/** On a busy machine node takes longer to start than the 2 s that gdb waits for an answer. */
const patient = "set remotetimeout 60";

/** gdb without anybody's settings. */
const gdb = (folder: string, ...commands: readonly string[]) =>
  run("gdb", ["-nx", "-q", "-batch", ...commands.flatMap((command) => ["-ex", command])], folder);

/** The notes and the memory of our core and QEMU's are the same, byte for byte. */
function expectSameCore(ours: string, theirs: string): void {
  const [a, b] = [coreOf(readFileSync(ours)), coreOf(readFileSync(theirs))];
  const notes = (core: typeof a) =>
    core.notes.map(({ name, type, bytes }) => `${name} ${type} ${bytes.toString("hex")}`);
  expect(notes(a)).toEqual(notes(b));
  // Ours begins with the kernel's image by virtual address.
  const [kernel, ...segments] = a.segments;
  expect(kernel?.virtual).toBeGreaterThan(0xffff_ffff_8000_0000n);
  expect(segments.map(({ physical, bytes }) => [physical, bytes.length])).toEqual(
    b.segments.map(({ physical, bytes }) => [physical, bytes.length]),
  );
  segments.forEach(({ bytes }, i) => {
    expect(Buffer.compare(bytes, b.segments[i]?.bytes ?? Buffer.of()), `segment ${i}`).toBe(0);
  });
}

/** What gdb shows of every CPU. */
const registersOf = (text: string) =>
  text.split("\n").filter((line) => /^(r\w+|eflags|[c-gs]s|[fg]s_base) +0x/.test(line) || /^Thread /.test(line));

describe.each(long ? qemus() : [qemu("new")])("QEMU $label ($version): a Linux guest with KASLR and 2 CPUs", (one) => {
  test(
    "its ELF core, in readelf, gdb and makedumpfile, and the guest itself in gdb",
    async () => {
      const guest = await scene(one);
      const { folder } = guest;
      const [elf, result] = await exported(guest, "elf");
      expect(result).toMatchObject({ memoryMap: "recorded", cpus: 2, vmcoreinfo: { from: "device" }, notices: [] });
      expect(result.sizes.allocated).toBeLessThan(result.sizes.apparent * 0.8);
      expectSameCore(elf, guest.dump);

      const said = run("readelf", ["-hlnW", elf], folder);
      expect(said).not.toMatch(/warning|error/i);
      expect(said.match(/NT_PRSTATUS/g)?.length).toBe(2);
      expect(said).toMatch(/VMCOREINFO/);
      expect(said.match(/^ {2}LOAD /gm)?.length).toBe(result.ranges.length + 1);

      const core = (file: string) =>
        registersOf(gdb(folder, `core-file ${file}`, "thread apply all -ascending info registers"));
      expect(core(elf).length).toBeGreaterThan(40);
      expect(core(elf)).toEqual(core(guest.dump));

      const served = `target remote | ${process.execPath} ${join(ROOT, "bin", "fixedram")} gdb ${guest.fram} --stdio`;
      const live = gdb(folder, patient, served, "info threads", "thread apply all -ascending info registers", "detach");
      const general = (lines: readonly string[]) => lines.filter((line) => /^(r\w+|[cs]s) /.test(line)).map(plain);
      expect(general(registersOf(live))).toEqual(general(core(elf)));
      expect(live).toMatch(/1 .*CPU 0, long, ring \d/);
      // One of the CPUs runs the holder, or was in its address space last.
      const bytes = join(folder, "held");
      const seen = [1, 2].some((thread) => {
        try {
          gdb(
            folder,
            patient,
            served,
            `thread ${thread}`,
            `dump binary memory ${bytes} ${held} ${held + 8192}`,
            "detach",
          );
          return readFileSync(bytes).equals(heldBytes);
        } catch {
          return false;
        }
      });
      expect(seen).toBe(true);

      const [kdump] = await exported(guest, "kdump");
      expect(readFileSync(kdump).toString("latin1", 0, 8)).toBe("KDUMP   ");
      const dmesg = [elf, kdump].map((file, i) => {
        run("makedumpfile", ["--dump-dmesg", file, `dmesg${i}`], folder);
        return readFileSync(join(folder, `dmesg${i}`), "utf8");
      });
      expect(dmesg[0]).toMatch(/Linux version 6/);
      expect(dmesg[0]).toBe(dmesg[1]);

      if (long) withSymbols(guest, elf, kdump);
    },
    long ? 2_400_000 : 900_000,
  );

  test.skipIf(!long)(
    "[long] with RAM above the 4 GiB hole, and no device that tells where VMCOREINFO is",
    async () => {
      const guest = await scene(one, { memory: 3072, extraArgs: [] });
      const [elf, result] = await exported(guest, "elf");
      expect(result).toMatchObject({ vmcoreinfo: { from: "search" }, notices: [] });
      expect(result.ranges.some(({ start }) => start === 4 * 2 ** 30)).toBe(true);
      const notes = coreOf(headOf(elf)).notes.map(({ name }) => name);
      expect(notes).toEqual(["CORE", "CORE", "QEMU", "QEMU", "VMCOREINFO"]);
      const drgn = drgnOf(elf, guest);
      expect(drgn.held).toBe(heldBytes.toString("hex"));
      const crashes = [elf, guest.dump].map((file) => crashOf(file, guest.folder));
      expect(crashes[0]).toEqual(crashes[1]);
    },
    900_000,
  );
});

/** gdb shows a register as it thinks best; the number is what counts. */
function plain(line: string): string {
  return line.split(/ +/).slice(0, 2).join(" ");
}

function withSymbols(guest: Scene, elf: string, kdump: string): void {
  const ours = drgnOf(elf, guest);
  // drgn 0.0.22 cannot translate addresses in QEMU's ELF core, which has nothing by virtual address; compressed it can.
  for (const file of [kdump, completed(guest)]) expect(drgnOf(file, guest)).toEqual(ours);
  expect(ours.held).toBe(heldBytes.toString("hex"));
  expect(ours.release).toMatch(/^6\./);
  expect(ours.cpus).toBe(2);
  // Tasks come and go between the guest's word and its stop; those that stay are told alike.
  const lasting = guest.tasks
    // /proc gives kernel threads longer names than their task_struct holds.
    .map((task) => task.replace(/^(\d+):\((.{1,15}).*\)$/, "$1:$2"))
    .filter((task) => !/:(sleep|cat|init|kworker.*)$/.test(task));
  expect(lasting.length).toBeGreaterThan(20);
  expect(ours.tasks).toEqual(expect.arrayContaining(lasting));
  expect(ours.dmesg).toMatch(/Linux version 6/);
  const crashes = [elf, kdump, guest.dump, guest.kdump].map((file) => crashOf(file, guest.folder));
  expect(crashes[0]).toMatch(/^jiffies_64 = \$1 = \d+$/m);
  expect(crashes[0]).toMatch(/Linux version 6/);
  expect(crashes[0]).toContain("holder");
  expect(crashes[1]).toEqual(crashes[0]);
  expect(crashes[2]).toEqual(crashes[0]);
  expect(crashes[3]).toEqual(crashes[0]);
}

/**
 * QEMU's compressed dump as drgn 0.0.22 takes it: not flattened, which is how QEMU writes it, and with a utsname, of which
 * QEMU gives only the machine, 10.0 as "Unknown"; libkdumpfile then knows no architecture.
 */
function completed({ kdump, folder }: Scene): string {
  const file = join(folder, "qemu-completed.kdump");
  const flat = openSync(kdump, "r");
  execFileSync("makedumpfile", ["-R", file], { stdio: [flat, "pipe", "pipe"] });
  closeSync(flat);
  const fd = openSync(file, "r+");
  ["Linux", "guest", "6", "1", "x86_64\0"].forEach((name, field) => {
    writeSync(fd, name, 12 + field * 65);
  });
  closeSync(fd);
  return file;
}

interface DrgnAnswer {
  readonly release: string;
  readonly cpus: number;
  readonly jiffies: number;
  readonly tasks: readonly string[];
  readonly dmesg: string;
  readonly held: string;
}

/** drgn 0.0.22 reads a process's page tables by virtual address only, which neither core has: they are walked here. */
const drgnScript = (holder: number) => `
import json
from drgn.helpers.linux import *
task = find_task(prog, ${holder})
def held(address):
    table = task.mm.pgd.value_() - prog["page_offset_base"].value_()
    for shift in 39, 30, 21, 12:
        entry = int.from_bytes(prog.read(table + ((address >> shift) & 511) * 8, 8, True), "little")
        assert entry & 1
        table = entry & 0xffffffffff000
    return prog.read(table, 4096, True)
print(json.dumps({
  "release": prog["init_uts_ns"].name.release.string_().decode(),
  "cpus": len(list(for_each_online_cpu(prog))),
  "jiffies": prog["jiffies_64"].value_(),
  "tasks": ["%d:%s" % (t.pid, t.comm.string_().decode()) for t in for_each_task(prog)],
  "dmesg": get_dmesg(prog).decode(),
  "held": (held(${held}) + held(${held + 4096})).hex(),
}))
`;

function drgnOf(file: string, { folder, holder }: Scene): DrgnAnswer {
  const script = join(folder, "look.py");
  writeFileSync(script, drgnScript(holder));
  const out = run("drgn", ["-q", "-c", file, "-s", debugKernel(), script], folder);
  return JSON.parse(out.slice(out.indexOf("{"))) as DrgnAnswer;
}

/** What crash says, without the line that names the file. */
function crashOf(file: string, folder: string): string {
  const commands = join(folder, "commands");
  const list = [
    "set scroll off",
    "sys",
    "ps",
    "log",
    "p jiffies_64",
    "p init_uts_ns.name.release",
    "mod",
    "kmem -i",
    "exit",
  ];
  writeFileSync(commands, `${list.join("\n")}\n`);
  const out = run("crash", ["--no_crashrc", "-s", "-i", commands, debugKernel(), file], folder);
  return out.replace(/^ *DUMPFILE: .*$/m, "");
}
