/** Options that the commands which look inside share. */
import type { OptionDefinition } from "./types.ts";

export const mapOption: OptionDefinition = {
  name: "map",
  value: { name: "MAP", kind: "text" },
  text: "the guest's physical memory map: START+LENGTH=BLOCK[@OFFSET],... or pc, q35, microvm, virt for QEMU's rules (default: as recorded at the save, else the rules for the machine type)",
};

export const cpuOption: OptionDefinition = {
  name: "cpu",
  value: { name: "N", kind: "count" },
  text: "whose page tables (default 0)",
};
