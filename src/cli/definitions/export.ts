import { common, opening, snapshotFile } from "./common.ts";
import type { CommandDefinition } from "./types.ts";

export const exportCommand: CommandDefinition = {
  name: "export",
  summary: "write a guest's memory for debuggers",
  description: [
    "Writes the physical memory of the guest in FILE to OUT, in a format that debuggers read; holes stay holes. OUT is replaced only when the new file is complete and on disk. It holds the guest's whole memory, keys and passwords included. Pages of a sealed file are compared with its seal on the way: what is damaged is named, and nothing is written.",
    "elf is a core as QEMU's dump-guest-memory writes it, with the registers of every CPU and, of a Linux guest, what the kernel says of itself (VMCOREINFO): for crash, drgn, gdb, makedumpfile. kdump is the same compressed, made by the makedumpfile that is installed. lime is for Volatility; raw is bare memory, byte n of the file being physical address n.",
  ],
  arguments: [snapshotFile, { name: "OUT", kind: "file", required: true, text: "the file to write" }],
  options: [
    {
      name: "format",
      value: { name: "FORMAT", kind: "choice", choices: ["elf", "kdump", "lime", "raw"] },
      text: "elf (default), kdump, lime or raw",
    },
    {
      name: "map",
      value: { name: "MAP", kind: "text" },
      text: "the guest's physical memory map: pc, q35, microvm or virt, whose rules to use, or START+LENGTH=BLOCK[@OFFSET],... (default: what was recorded at the save, else QEMU's rules for the machine)",
    },
    { name: "force", text: "take FILE although it is not as it was sealed" },
    ...opening,
    ...common,
  ],
  examples: [
    { command: "fixedram export web.fram web.elf", text: "then: crash vmlinux web.elf, or drgn -c web.elf -s vmlinux" },
    { command: "fixedram export web.fram web.lime --format lime", text: "for Volatility" },
  ],
};
