import { common, opening, snapshotFile } from "./common.ts";
import { cpuOption, mapOption } from "./inside.ts";
import type { CommandDefinition } from "./types.ts";

export const read: CommandDefinition = {
  name: "read",
  summary: "read a saved guest's memory",
  description: [
    "Shows LENGTH bytes of the guest's memory from ADDRESS on: a physical address, a virtual address of one of its CPUs, or an offset in a RAM block.",
    "Numbers are decimal, or hexadecimal after 0x with _ anywhere between digits; K, M, G and T count in 1024s.",
  ],
  arguments: [
    snapshotFile,
    { name: "ADDRESS", kind: "text", required: true, text: "where to begin" },
    { name: "LENGTH", kind: "size", required: true, text: "how many bytes" },
  ],
  options: [
    { name: "block", value: { name: "NAME", kind: "text" }, text: "ADDRESS is an offset in this RAM block" },
    { name: "physical", text: "ADDRESS is a physical one (default)" },
    { name: "virtual", text: "ADDRESS is a virtual one, translated by the CPU's page tables" },
    cpuOption,
    mapOption,
    { name: "hex", text: "show bytes and characters side by side (default)" },
    { name: "raw", text: "write the bytes themselves" },
    { name: "u64", text: "show little-endian words of 8 bytes; LENGTH is a multiple of 8" },
    { name: "string", text: "show the text up to the first NUL, what can't be printed escaped" },
    ...opening,
    ...common,
  ],
  examples: [
    { command: "fixedram read web.fram 0xf5a40 32", text: "32 bytes at a physical address" },
    {
      command: "fixedram read web.fram 0xffff_ffff_8260_0000 64 --virtual --u64",
      text: "eight words of the kernel, as CPU 0 sees it",
    },
  ],
};
