import { common, opening, snapshotFile } from "./common.ts";
import { cpuOption, mapOption } from "./inside.ts";
import type { CommandDefinition } from "./types.ts";

export const translate: CommandDefinition = {
  name: "translate",
  summary: "walk a CPU's page tables for one virtual address",
  description: [
    "Shows every table entry on the way from VADDR to its physical address, the page's size and rights, and where it lies in the snapshot. Exit code 1: nothing is mapped there.",
  ],
  arguments: [snapshotFile, { name: "VADDR", kind: "text", required: true, text: "the virtual address" }],
  options: [cpuOption, mapOption, ...opening, ...common],
  examples: [
    { command: "fixedram translate web.fram 0xffff_ffff_8100_0000", text: "where CPU 0 has the kernel's code" },
    { command: "fixedram translate web.fram 0x40_1000 --cpu 1 --json", text: "the same for tools, of another CPU" },
  ],
};
