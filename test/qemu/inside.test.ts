/**
 * A saved guest looked into, held against what QEMU's own monitor says of the same stopped guest: registers, page tables, memory
 * by physical and virtual address; and its device sections against QEMU's own analyze-migration.py.
 */
import { execFileSync } from "node:child_process";
import { existsSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, test } from "vitest";
import { Inside } from "../../src/operations/inside/open.ts";
import { openSnapshot } from "../../src/operations/open.ts";
import { fixedram, type GuestOptions, qemu, startGuest, testFolder } from "./harness/index.ts";
import { CACHE, requireAll } from "./harness/qemus.ts";
import { analyzed } from "./support/analyzed.ts";
import { compareMappings, compareRegisters, type Monitor, monitorOf, readAll } from "./support/monitor.ts";
import { long, save } from "./support/steps.ts";

/** Where test/guests/linux/spinners.c has its bytes. */
const base = (n: number) => 0x1000_0000_0000n + BigInt(n) * 0x4000_0000n;
const words = 8 * 2 ** 20;
const tail = (n: number) => base(n) + BigInt(words) + 4096n;
const GiB = 2 ** 30;

interface Case extends Omit<GuestOptions, "qemu" | "kind"> {
  readonly on: "old" | "new";
  readonly long?: boolean;
}

const cases: readonly Case[] = [
  { on: "new", machine: "q35", memory: 4096, smp: 2, net: false, extraArgs: ["-cpu", "max"] },
  { on: "old", machine: "pc", memory: 256, smp: 2, vga: "std" },
  // Memory above the hole, as the first has, and little enough of it for analyze-migration.py.
  { on: "new", machine: "q35,max-ram-below-4g=128M", memory: 256, smp: 1, net: false },
  { on: "new", machine: "microvm,acpi=off", memory: 256, smp: 1, net: false },
  { on: "old", machine: "q35", memory: 4096, smp: 2, long: true },
  { on: "new", machine: "pc", memory: 4096, smp: 2, vga: "std", long: true },
];

/** Physical pages to be compared: the lowest, what firmware left, the middle, and around the hole. */
function physicalPlaces({ ranges }: Inside["memoryMap"]): [number, number][] {
  return ranges.flatMap(({ start, length }): [number, number][] => {
    const size = Math.min(65536, length);
    return [
      [start, size],
      [start + length - size, size],
    ];
  });
}

async function look(path: string, monitor: Monitor, options: Case): Promise<void> {
  const snapshot = await openSnapshot(path);
  try {
    const inside = new Inside(snapshot);
    expect(inside.memoryMap.from).toBe("recorded");
    const smp = options.smp ?? 1;
    expect(inside.cpus).toHaveLength(smp);
    for (let n = 0; n < smp; n++) {
      const cpu = inside.cpu(n);
      if (cpu.arch !== "x86") throw new Error("not x86");
      compareRegisters(cpu, await monitor.registers(n));
      await compareMappings(inside, n, await monitor.tlb(n));
      await compareProcess(inside, monitor, n);
    }
    for (const [start, size] of physicalPlaces(inside.memoryMap)) {
      const ours = await readAll((target) => inside.readPhysical(start, target), size);
      expect([start, Buffer.compare(ours, await monitor.memory(BigInt(start), size))]).toEqual([start, 0]);
    }
    const [kind, more] = options.machine?.split(",") ?? [];
    if (more?.startsWith("max-ram") === true) {
      expect(inside.memoryMap.ranges.at(-1)?.start).toBe(4 * GiB);
      return;
    }
    const rules = new Inside(snapshot, kind);
    // What the rules say of main memory is what was recorded.
    const main = rules.memoryMap.ranges.filter(({ readOnly, start }) => !readOnly && start >= 2 ** 20);
    for (const { start, block, offset } of main)
      expect(inside.physical.resolve(start, 1)).toMatchObject([{ block: { name: block }, offset }]);
    if ((options.memory ?? 0) >= 4096) expect(main.at(-1)?.start).toBe(4 * GiB);
  } finally {
    await snapshot.close();
  }
}

/** The process of CPU n holds what it must, and what the monitor shows. */
async function compareProcess(inside: Inside, monitor: Monitor, n: number): Promise<void> {
  const ours = await readAll((target) => inside.readVirtual(base(n), target, n), words);
  const view = new DataView(ours.buffer);
  for (let i = 0; i < words; i += 8) {
    const expected = (base(n) + BigInt(i)) ^ (BigInt(n + 1) << 56n);
    if (view.getBigUint64(i, true) !== expected)
      throw new Error(`CPU ${n}: word at ${i} is ${view.getBigUint64(i, true)}`);
  }
  expect(Buffer.compare(ours, await monitor.memory(base(n), words, n))).toBe(0);
  expect(await inside.translate(base(n) + BigInt(words), n)).toMatchObject({ mapped: false });
  await expect(inside.readVirtual(base(n) + BigInt(words) - 1n, new Uint8Array(2), n)).rejects.toMatchObject({
    code: "usage.not-mapped",
  });
  expect(await inside.translate(base(n), n)).toMatchObject({ rights: { write: true, user: true, execute: false } });
}

async function json(...argv: readonly string[]): Promise<Record<string, unknown>> {
  const { code, stdout, stderr } = await fixedram([...argv, "--json"]);
  expect([code, stderr]).toEqual([0, expect.anything()]);
  return JSON.parse(stdout) as Record<string, unknown>;
}

/** What a user types, on the same file. */
async function typed(path: string, smp: number): Promise<void> {
  const text = "known bytes of process";
  const { hits, stopped } = (await json("search", path, text)) as unknown as {
    hits: { block: string; offset: number; physical: number }[];
    stopped: null;
  };
  expect(stopped).toBeNull();
  for (let n = 0; n < smp; n++) {
    const at = tail(n) + 4096n - 11n;
    const there = await json("translate", path, `0x${at.toString(16)}`, "--cpu", String(n));
    // "known bytes" stands at the end of its page; the page after it lies elsewhere, so in the block the text may be cut.
    const whole = await json("read", path, `0x${at.toString(16)}`, "48", "--virtual", "--cpu", String(n), "--string");
    expect(whole.string).toMatch(new RegExp(`^known bytes of process ${n} at the border`));
    const place = there.place as { block: string; offset: number };
    const cut = (await json("search", path, "known bytes", "--block", place.block)) as unknown as {
      hits: { offset: number; physical: number }[];
    };
    expect(cut.hits).toContainEqual(
      expect.objectContaining({ offset: place.offset, physical: Number(there.physical) }),
    );
  }
  for (const hit of hits) expect(Number.isSafeInteger(hit.physical)).toBe(true);
  const { cpus } = (await json("cpus", path)) as unknown as { cpus: { mode: string }[] };
  expect(cpus.map(({ mode }) => mode)).toEqual(Array.from({ length: smp }, () => "long"));
}

/** Every section of the file, as analyze-migration.py decodes it from a stream of the same guest. */
async function compareDevices(path: string, folder: string): Promise<void> {
  const script = join(CACHE, "analyze-migration", "analyze-migration.py");
  if (!existsSync(script) && !requireAll) return console.warn("no analyze-migration.py: run script/setup --tests");
  const stream = join(folder, "guest.stream");
  await json("convert", path, stream, "--to", "stream");
  const said = execFileSync("python3", [script, "-f", stream, "-d", "state"], { encoding: "utf8", maxBuffer: 2 ** 28 });
  const theirs = JSON.parse(said) as Record<string, unknown>;
  const snapshot = await openSnapshot(path);
  try {
    const { sections } = new Inside(snapshot);
    expect(sections.records.length).toBeGreaterThan(10);
    for (const record of sections.records) {
      const key = `${record.name} (${record.sectionId})`;
      expect([key, analyzed(sections.decode(record).state, record.payload)]).toEqual([key, theirs[key]]);
    }
  } finally {
    await snapshot.close();
  }
}

describe.each(cases.filter((each) => long || each.long !== true))(
  "$on QEMU, $machine, $memory MiB, $smp CPUs",
  (options) => {
    test("inside its snapshot the guest is as its own monitor says", async () => {
      const { on, long: _, ...rest } = options;
      const guest = await startGuest({ kind: "linux", disk: false, spinners: true, ...rest, qemu: qemu(on) });
      await guest.serial.waitFor(/^ready /, 100_000);
      const folder = testFolder();
      const qmp = await guest.qmp();
      await qmp.execute("stop");
      const path = join(folder, "guest.fram");
      await save(guest, path);
      await look(path, monitorOf(qmp, folder), options);
      await typed(path, options.smp ?? 1);
      if ((options.memory ?? 0) < 4096) await compareDevices(path, folder);
    });
  },
);
