import { describe, expect, test } from "vitest";
import { chooseMap, parseMap } from "../../src/machine/choose-map.ts";
import { checkRanges } from "../../src/machine/memory-map.ts";
import { PhysicalMemory } from "../../src/machine/physical.ts";
import { blocksOf, mapOf, PAGE } from "./sample.ts";

const GiB = 2 ** 30;
const shown = (ranges: readonly { start: number; length: number; block: string; offset: number }[]) =>
  ranges.map(
    ({ start, length, block, offset }) =>
      `${start.toString(16)}+${length.toString(16)}=${block}@${offset.toString(16)}`,
  );
const rules = (machine: string, ...blocks: readonly (readonly [string, number])[]) =>
  shown(chooseMap({ machine, blocks: blocksOf(...blocks), recorded: [] }).ranges);

describe("QEMU's rules", () => {
  test("pc: 3.5 GiB fit under the hole, more is split at 3 GiB", () => {
    expect(rules("pc-i440fx-7.2", ["pc.ram", 3 * GiB])).toEqual(["0+c0000000=pc.ram@0"]);
    expect(rules("pc-i440fx-7.2", ["pc.ram", 3.5 * GiB])).toEqual([
      "0+c0000000=pc.ram@0",
      "100000000+20000000=pc.ram@c0000000",
    ]);
    expect(rules("pc-i440fx-1.7", ["pc.ram", 4 * GiB])).toEqual([
      "0+e0000000=pc.ram@0",
      "100000000+20000000=pc.ram@e0000000",
    ]);
  });

  test("q35: 2.75 GiB fit, more is split at 2 GiB", () => {
    expect(rules("pc-q35-10.0", ["pc.ram", 2.5 * GiB])).toEqual(["0+a0000000=pc.ram@0"]);
    expect(rules("pc-q35-10.0", ["pc.ram", 4 * GiB], ["pc.bios", 0x40000])).toEqual([
      "0+80000000=pc.ram@0",
      "fffc0000+40000=pc.bios@0",
      "100000000+80000000=pc.ram@80000000",
    ]);
  });

  test("microvm, virt, and a memory backend under another name", () => {
    expect(rules("microvm", ["microvm.ram", 4 * GiB])).toEqual([
      "0+c0000000=microvm.ram@0",
      "100000000+40000000=microvm.ram@c0000000",
    ]);
    expect(rules("virt-7.2", ["mach-virt.ram", GiB], ["virt.flash0", 0x4000000], ["virt.flash1", 0x4000000])).toEqual([
      "0+4000000=virt.flash0@0",
      "4000000+4000000=virt.flash1@0",
      "40000000+40000000=mach-virt.ram@0",
    ]);
    expect(rules("pc-q35-10.0", ["mem0", GiB], ["0000:00:01.0/virtio-vga.rom", PAGE], ["pc.bios", 0x40000])).toEqual([
      "0+40000000=mem0@0",
      "fffc0000+40000=pc.bios@0",
    ]);
  });

  test("with a VGA, its window is no RAM", () => {
    expect(rules("pc-i440fx-7.2", ["pc.ram", GiB], ["0000:00:02.0/vga.vram", 16 * 2 ** 20])).toEqual([
      "0+a0000=pc.ram@0",
      "c0000+3ff40000=pc.ram@c0000",
    ]);
  });

  test.each([
    ["another machine", "pseries-7.2", ["spapr.ram", GiB]],
    ["RAM where AMD's CPUs have it elsewhere", "pc-q35-10.0", ["pc.ram", 1100 * GiB]],
  ] as const)("do not guess: %s", (_, machine, block) => {
    expect(() => rules(machine, block)).toThrow(expect.objectContaining({ code: "file.memory-map-unknown" }));
  });

  test("do not guess between two blocks that could be the RAM", () => {
    expect(() => rules("pc-q35-10.0", ["a", GiB], ["b", GiB])).toThrow(
      expect.objectContaining({ code: "file.memory-map-unknown" }),
    );
  });
});

describe("which map is used", () => {
  const blocks = blocksOf(["pc.ram", GiB]);
  const recorded = [
    { start: 0, length: 0xa0000, block: "pc.ram", offset: 0 },
    { start: 0xa0000, length: 0x60000, block: "pc.ram", offset: 0xa0000 },
  ];

  test("the given one before the recorded one before the rules; neighbours become one range", () => {
    const source = { machine: "pc-q35-10.0", blocks, recorded };
    expect(chooseMap(source, "1M+4K=pc.ram@0x10_0000")).toMatchObject({
      from: "given",
      ranges: [{ start: 2 ** 20, offset: 2 ** 20 }],
    });
    expect(chooseMap(source)).toMatchObject({ from: "recorded", ranges: [{ start: 0, length: 0x100000 }] });
    expect(chooseMap(source, "q35")).toMatchObject({ from: "rules", ranges: [{ start: 0, length: GiB }] });
  });

  test.each([
    ["an overlap", "0+2M=pc.ram,1M+1M=pc.ram"],
    ["a block that is not there", "0+2M=other"],
    ["more than the block has", "0+2G=pc.ram"],
    ["nothing", "0+0=pc.ram"],
  ])("refused: %s", (_, text) => {
    expect(() => chooseMap({ machine: "x", blocks, recorded: [] }, text)).toThrow(
      expect.objectContaining({ code: "file.memory-map" }),
    );
  });

  test.each(["start", "length", "offset"] as const)("refused: a %s that is no whole number", (key) => {
    const sound = { start: 0, length: 4096, block: "pc.ram", offset: 0, readOnly: false };
    for (const value of [0.5, Number.NaN, Number.POSITIVE_INFINITY])
      expect(() => checkRanges([{ ...sound, [key]: value }], blocks)).toThrow(
        expect.objectContaining({ code: "file.memory-map" }),
      );
  });

  test.each(["", "0", "0+1M", "0-1M=pc.ram", "0x+1M=pc.ram", "0+1M=pc.ram@x", "0+9999999T=pc.ram"])(
    "not understood: %j",
    (text) => {
      expect(() => parseMap(text)).toThrow(expect.objectContaining({ code: "usage.bad-map" }));
    },
  );
});

describe("physical memory", () => {
  const ram = new Uint8Array(8 * PAGE).map((_, i) => (i >= 2 * PAGE && i < 3 * PAGE ? 0 : (i * 7) % 251));
  const map = chooseMap(
    { machine: "x", blocks: blocksOf(["ram", ram.length]), recorded: [] },
    "4K+12K=ram,1M+20K=ram@12K",
  );
  const memory = new PhysicalMemory(mapOf([["ram", ram]]), map);

  test("is read across ranges and zero pages", async () => {
    const target = new Uint8Array(12 * 1024).fill(9);
    await memory.read(4096, target);
    expect(target).toEqual(ram.subarray(0, 12 * 1024));
    await memory.read(2 ** 20 + 5, target);
    expect(target).toEqual(ram.subarray(12 * 1024 + 5, 24 * 1024 + 5));
  });

  test.each([0, 16384, 2 ** 20 + 20 * 1024])("has holes: %i", async (address) => {
    await expect(memory.read(address, new Uint8Array(1))).rejects.toMatchObject({ code: "usage.no-memory" });
  });

  test("knows the addresses of a byte of a block", () => {
    expect(memory.addressesOf("ram", 13 * 1024)).toEqual([2 ** 20 + 1024]);
    expect(memory.addressesOf("other", 0)).toEqual([]);
  });

  test("says which page is missing", async () => {
    const absent = new PhysicalMemory(mapOf([["ram", ram]], 0, [1]), map);
    await expect(absent.read(4096, new Uint8Array(2 * PAGE))).rejects.toMatchObject({
      code: "file.ignore-shared",
      details: { page: 1 },
    });
  });
});
