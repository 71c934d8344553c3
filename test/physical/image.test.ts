import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { cpuNotes, note } from "../../src/elf/notes.ts";
import { ElfMachine, ElfWriter } from "../../src/elf/writer.ts";
import { LimeWriter } from "../../src/lime/writer.ts";
import type { ArmCpu } from "../../src/machine/cpu-arm.ts";
import type { PhysicalRange } from "../../src/machine/memory-map.ts";
import { copyPages } from "../../src/pages/copy.ts";
import { PhysicalImage } from "../../src/physical/image.ts";
import { RawPhysicalWriter } from "../../src/raw/physical.ts";
import { MemoryFile } from "../fixedram/sample.ts";
import { mapOf, PAGE, x86 } from "../machine/sample.ts";
import { failure } from "../operations/synthetic.ts";
import { coreOf } from "./core.ts";

type Blocks = readonly (readonly [name: string, bytes: Uint8Array])[];

/** Blocks whose every byte tells its place, with pages of zeros between. */
function blocks(...zero: readonly (readonly boolean[])[]): Blocks {
  return zero.map((pages, index) => {
    const bytes = new Uint8Array(pages.length * PAGE);
    pages.forEach((isZero, page) => {
      if (isZero) return;
      for (let i = page * PAGE; i < (page + 1) * PAGE; i++)
        bytes[i] = (i * 31 + index * 7 + Math.floor(i / PAGE)) % 251;
    });
    return [`block${index}`, bytes] as const;
  });
}

/** The plain model: byte by byte. */
function memoryOf(list: Blocks, range: PhysicalRange): Uint8Array {
  const [, bytes] = list.find(([name]) => name === range.block) ?? ["", new Uint8Array(0)];
  return bytes.slice(range.offset, range.offset + range.length);
}

async function fill(list: Blocks, writer: { image: PhysicalImage; complete(): void }, gap: number): Promise<void> {
  await copyPages(mapOf(list, gap), writer.image);
  writer.complete();
}

/** Blocks and ranges over them that don't overlap in address, some of parts of pages, some seen twice, some not at all. */
const scenes = fc
  .tuple(
    fc.array(fc.array(fc.boolean(), { minLength: 1, maxLength: 12 }), { minLength: 1, maxLength: 3 }),
    fc.array(fc.tuple(fc.nat(2), fc.nat(40_000), fc.integer({ min: 1, max: 40_000 }), fc.nat(3)), {
      minLength: 1,
      maxLength: 6,
    }),
    fc.boolean(),
    fc.constantFrom(0, 8),
  )
  .map(([zero, wanted, whole, gap]) => {
    const list = blocks(...zero);
    const ranges: PhysicalRange[] = [];
    let next = 0;
    for (const [which, at, size, hole] of wanted) {
      const [block = "", bytes = new Uint8Array(0)] = list[which % list.length] ?? [];
      const round = (value: number) => (whole ? Math.floor(value / PAGE) * PAGE : value);
      const offset = round(at % bytes.length);
      const length = Math.min(whole ? Math.max(PAGE, round(size)) : size, bytes.length - offset);
      next += hole * PAGE;
      ranges.push({ start: next, length, block, offset, readOnly: false });
      next += length;
    }
    return { list, ranges, gap };
  });

describe("physical memory in a file", () => {
  test("raw: byte n is address n, whatever the ranges", async () => {
    const property = fc.asyncProperty(scenes, async ({ list, ranges, gap }) => {
      const file = new MemoryFile();
      await fill(list, new RawPhysicalWriter(file, ranges), gap);
      const expected = new Uint8Array(Math.max(...ranges.map(({ start, length }) => start + length)));
      for (const range of ranges) expected.set(memoryOf(list, range), range.start);
      expect(Buffer.compare(file.bytes(), expected)).toBe(0);
    });
    await fc.assert(property, { numRuns: 150 });
  });

  test("lime: a head and the bytes of each range", async () => {
    const property = fc.asyncProperty(scenes, async ({ list, ranges, gap }) => {
      const file = new MemoryFile();
      await fill(list, new LimeWriter(file, ranges), gap);
      const bytes = Buffer.from(file.bytes());
      let at = 0;
      for (const range of ranges) {
        expect(bytes.toString("latin1", at, at + 4)).toBe("EMiL");
        expect(bytes.readUInt32LE(at + 4)).toBe(1);
        expect(Number(bytes.readBigUInt64LE(at + 8))).toBe(range.start);
        expect(Number(bytes.readBigUInt64LE(at + 16))).toBe(range.start + range.length - 1);
        expect(bytes.readBigUInt64LE(at + 24)).toBe(0n);
        at += 32;
        expect(bytes.subarray(at, at + range.length).equals(memoryOf(list, range))).toBe(true);
        at += range.length;
      }
      expect(bytes.length).toBe(at);
    });
    await fc.assert(property, { numRuns: 100 });
  });

  test("elf: a segment a range, each from a multiple of 4096 on", async () => {
    const property = fc.asyncProperty(scenes, async ({ list, ranges, gap }) => {
      const file = new MemoryFile();
      const notes = [note("A", 1, Uint8Array.of(1, 2, 3)), note("QEMU", 0, new Uint8Array(4))];
      await fill(list, new ElfWriter(file, { machine: ElfMachine.x86_64, ranges, notes, kernel: null }), gap);
      const core = coreOf(Buffer.from(file.bytes()));
      expect(core.notes.map(({ name, type, bytes }) => [name, type, [...bytes]])).toEqual([
        ["A", 1, [1, 2, 3]],
        ["QEMU", 0, [0, 0, 0, 0]],
      ]);
      expect(core.segments.map(({ physical }) => physical)).toEqual(ranges.map(({ start }) => start));
      core.segments.forEach(({ bytes, offset, virtual }, i) => {
        expect([offset % 4096, virtual]).toEqual([0, 0n]);
        const [range] = ranges.slice(i);
        expect(range !== undefined && bytes.equals(memoryOf(list, range))).toBe(true);
      });
    });
    await fc.assert(property, { numRuns: 100 });
  });

  test("pages of zeros take no room", async () => {
    const list = blocks(Array.from({ length: 300 }, (_, i) => i !== 299));
    const [[block] = [""]] = list;
    const file = new MemoryFile();
    await fill(
      list,
      new RawPhysicalWriter(file, [{ start: 0, length: 300 * PAGE, block, offset: 0, readOnly: false }]),
      0,
    );
    expect([file.size, file.writes]).toEqual([300 * PAGE, 1]);
  });
});

test("very many ranges are not looked through for each run of pages", async () => {
  const count = 512;
  // Every second page is zero, so that each of the others is a run.
  const list = blocks(Array.from({ length: count }, (_, page) => page % 2 === 1));
  let looks = 0;
  const places = Array.from({ length: count }, (_, page) => ({
    position: page * PAGE,
    range: {
      start: page * PAGE,
      length: PAGE,
      block: "block0",
      readOnly: false,
      get offset() {
        looks++;
        return page * PAGE;
      },
    },
  }));
  const file = new MemoryFile();
  const image = new PhysicalImage(file, places);
  looks = 0;
  await copyPages(mapOf(list), image);
  expect(looks).toBeLessThan(10 * count);
  const bytes = list[0]?.[1] ?? new Uint8Array(0);
  const end = (count - 1) * PAGE;
  expect(Buffer.compare(file.bytes().subarray(0, end), bytes.subarray(0, end))).toBe(0);
});

describe("an ELF core", () => {
  const range = (start: number, length: number, offset = 0): PhysicalRange => ({
    start,
    length,
    block: "ram",
    offset,
    readOnly: false,
  });

  test("has the kernel's image by virtual address too, over the same bytes", async () => {
    const file = new MemoryFile();
    const kernel = { virtual: 0xffff_ffff_8120_0000n, start: 3 * PAGE, length: 2 * PAGE };
    const list = [["ram", new Uint8Array(8 * PAGE).map((_, i) => i % 250)]] as const;
    const ranges = [range(PAGE, 2 * PAGE), range(3 * PAGE, 4 * PAGE, 2 * PAGE)];
    await fill(list, new ElfWriter(file, { machine: ElfMachine.x86_64, ranges, notes: [], kernel }), 0);
    const [image, , second] = coreOf(Buffer.from(file.bytes())).segments;
    expect([image?.virtual, image?.physical, image?.bytes.length]).toEqual([kernel.virtual, 3 * PAGE, 2 * PAGE]);
    expect(image?.bytes.equals(second?.bytes.subarray(0, 2 * PAGE) ?? Buffer.of())).toBe(true);
    // One that lies in no range, or askew in it, gets no segment.
    for (const start of [6 * PAGE, PAGE + 1]) {
      const other = new MemoryFile();
      new ElfWriter(other, { machine: ElfMachine.x86_64, ranges, notes: [], kernel: { ...kernel, start } }).complete();
      expect(coreOf(Buffer.from(other.bytes())).segments.length).toBe(2);
    }
  });

  test("of more ranges than it can list is refused", async () => {
    const ranges = Array.from({ length: 65_534 }, (_, i) => range(i * 2 * PAGE, PAGE));
    const parts = { machine: ElfMachine.x86_64, ranges, notes: [], kernel: null };
    expect((await failure(() => new ElfWriter(new MemoryFile(), parts))).code).toBe("file.too-many-ranges");
  });

  test("has the registers of an aarch64 CPU where Linux puts them", () => {
    const cpu: ArmCpu = {
      arch: "aarch64",
      index: 1,
      halted: false,
      el: 1,
      registers: Array.from({ length: 32 }, (_, i) => BigInt(i + 1)),
      pc: 0xffff_8000_0800_0000n,
      pstate: 0x3c5n,
      banked: {},
      system: {},
    };
    const [only] = cpuNotes([cpu]).map((bytes) => Buffer.from(bytes));
    expect([only?.readUInt32LE(4), only?.readUInt32LE(8), only?.readUInt32LE(20 + 32)]).toEqual([392, 1, 2]);
    expect([0, 31, 32, 33].map((i) => only?.readBigUInt64LE(20 + 112 + 8 * i))).toEqual([1n, 32n, cpu.pc, cpu.pstate]);
  });

  test("has NT_PRSTATUS of all CPUs before QEMU's notes", () => {
    const notes = cpuNotes([x86(), x86({ index: 1 })]).map((bytes) => Buffer.from(bytes));
    expect(notes.map((bytes) => [bytes.toString("latin1", 12, 16), bytes.readUInt32LE(4)])).toEqual([
      ["CORE", 336],
      ["CORE", 336],
      ["QEMU", 440],
      ["QEMU", 440],
    ]);
  });
});
