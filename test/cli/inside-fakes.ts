/** What the commands that look inside are given in tests. */
import type { Operations } from "../../src/cli/operations.ts";
import type { CpusResult } from "../../src/operations/inside/cpus.ts";
import type { DevicesResult } from "../../src/operations/inside/devices.ts";
import type { SearchHit, SearchResult } from "../../src/operations/inside/search.ts";
import type { TranslateResult } from "../../src/operations/inside/translate.ts";
import { x86 } from "../machine/sample.ts";

const recorded = { from: "recorded", note: "physical memory map as recorded at the save" } as const;

export const memory = new Uint8Array(256).map((_, i) => (i >= 64 && i < 160 ? 0 : i));

export const translated: TranslateResult = {
  path: "web.fram",
  cpu: 0,
  paging: "4-level",
  virtual: "0xffffffff81000123",
  mapped: true,
  reason: null,
  physical: "0x1000123",
  place: { block: "pc.ram", offset: 0x1000123 },
  pageSize: 2 ** 21,
  rights: { write: false, user: false, execute: true },
  marks: ["global", "accessed"],
  steps: [
    { level: 4, name: "PML4", index: 511, at: "0x2000ff8", entry: "0x2001067" },
    { level: 3, name: "PDPT", index: 510, at: "0x2001ff0", entry: "0x2002063" },
    { level: 2, name: "PD", index: 8, at: "0x2002040", entry: "0x10001a1" },
  ],
  map: recorded,
};

const field = (name: string, type: string, value: never) => ({ name, type, offset: 0, size: 0, value });

export const deviceTrees: DevicesResult = {
  path: "web.fram",
  machine: "pc-q35-7.2",
  devices: [
    {
      name: "0000:00:02.0/vga",
      instance: 0,
      version: 2,
      sectionId: 31,
      size: 1407,
      early: false,
      problem: null,
      tree: {
        name: "0000:00:02.0/vga",
        instance: 0,
        version: 2,
        state: {
          name: "vga",
          version: 2,
          offset: 0,
          size: 1407,
          fields: [
            field("dev", "struct", {
              name: "PCIDevice",
              version: 2,
              offset: 0,
              size: 20,
              subsections: [],
              fields: [
                field("version_id", "int32", 2 as never),
                field("config", "pci config", new Uint8Array(20).fill(0x86) as never),
              ],
            } as never),
            field("palette", "uint8[]", Array.from({ length: 12 }, (_, i) => i * 20) as never),
            field("edge", "struct", {
              name: "edge",
              version: 1,
              offset: 0,
              size: 8,
              subsections: [],
              fields: [field("x", "uint32", 640 as never), field("y", "int32", -480 as never)],
            } as never),
            field("label", "buffer", new TextEncoder().encode("text\0\0\0") as never),
            field("spare", "unused_buffer", new Uint8Array(8) as never),
            field("slots", "struct[]", [
              {
                name: "slot",
                version: 1,
                offset: 0,
                size: 1,
                subsections: [],
                fields: [field("on", "bool", true as never)],
              },
              null,
            ] as never),
          ],
          subsections: [
            {
              name: "vga/endian",
              version: 1,
              offset: 0,
              size: 1,
              fields: [field("big", "bool", false as never)],
              subsections: [],
            },
          ],
        },
      },
    },
    {
      name: "odd\x1bdevice",
      instance: 1,
      version: 1,
      sectionId: 32,
      size: 9,
      early: true,
      tree: null,
      problem: {
        code: "stream.device-fields",
        message: "a device section does not hold what its description says",
        said: "9 bytes at the end belong to no field",
      },
    },
  ],
};

export const cpuStates: CpusResult = {
  path: "web.fram",
  machine: "pc-q35-7.2",
  cpus: [
    x86({
      halted: true,
      rip: 0xffff_ffff_8100_0000n,
      rflags: 0x246n,
      debug: [0n, 0n, 0n, 0n, 0n, 0n, 0xffff_0ff0n, 0x400n],
      fpu: {
        control: 0x37f,
        status: 0,
        tags: 0,
        registers: [{ mantissa: 1n, exponent: 2 }],
        mxcsr: 0x1f80,
        vectors: [[1n, 2n]],
      },
    }),
  ],
};

export const hit: SearchHit = {
  block: "pc.ram",
  offset: 0x1304010,
  length: 8,
  physical: 0x1_0130_4010,
  context: new TextEncoder().encode("my password is\0\x1b\n"),
  before: 3,
};

export const searched: SearchResult = {
  path: "web.fram",
  hits: 1,
  searched: 2 ** 28,
  data: 2 ** 28,
  stopped: null,
  map: recorded,
  time: 120,
};

export const insideFakes: Pick<Operations, "search" | "strings" | "read" | "translateAddress" | "devices" | "cpus"> = {
  read: async ({ file, address, length, space, onBytes }) => {
    const bytes = memory.subarray(0, length);
    await onBytes(bytes, address);
    return {
      path: file,
      space: typeof space === "object" ? "block" : (space ?? "physical"),
      address: `0x${address.toString(16)}`,
      length,
      block: null,
      cpu: null,
      map: recorded,
    };
  },
  translateAddress: async ({ file }) => ({ ...translated, path: file }),
  search: async ({ file, onHit }) => {
    await onHit(hit);
    return { ...searched, path: file };
  },
  strings: async ({ file, onHit }) => {
    await onHit({ ...hit, physical: null, context: new TextEncoder().encode("tab\tand \\") });
    return { ...searched, path: file };
  },
  devices: async ({ file }) => ({ ...deviceTrees, path: file, devices: deviceTrees.devices.slice(0, 1) }),
  cpus: async ({ file }) => ({ ...cpuStates, path: file }),
};
