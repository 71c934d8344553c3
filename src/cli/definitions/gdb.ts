import { common, opening, snapshotFile } from "./common.ts";
import type { CommandDefinition } from "./types.ts";

export const gdb: CommandDefinition = {
  name: "gdb",
  summary: "serve a saved guest to gdb",
  description: [
    "Serves the guest in FILE to gdb by its remote protocol, without a copy: the registers, memory through the page tables, and a thread for each CPU. Nothing can be changed, and the guest does not run. One gdb at a time, on this machine only.",
    "Memory is read with the page tables of the CPU that is chosen (thread N).",
  ],
  arguments: [snapshotFile],
  options: [
    {
      name: "port",
      value: { name: "N", kind: "count" },
      text: "the TCP port on 127.0.0.1 (default 1234; 0: one that is free)",
    },
    { name: "stdio", text: "speak to one gdb on standard input and output" },
    { name: "once", text: "end when the first gdb has left" },
    {
      name: "map",
      value: { name: "MAP", kind: "text" },
      text: "the guest's physical memory map, as for fixedram export",
    },
    ...opening,
    ...common,
  ],
  examples: [
    { command: "fixedram gdb web.fram", text: "then: gdb vmlinux -ex 'target remote :1234'" },
    {
      command: "fixedram gdb web.fram --stdio",
      text: "from within gdb: target remote | fixedram gdb web.fram --stdio",
    },
  ],
};
