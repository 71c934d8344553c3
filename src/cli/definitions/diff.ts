import { byteOrder, common, keepIndex } from "./common.ts";
import type { CommandDefinition } from "./types.ts";

export const diff: CommandDefinition = {
  name: "diff",
  summary: "compare two snapshots",
  description: [
    "Compares A with B, whatever they are kept in: the machine, the RAM blocks, the state of the devices, and every byte of every page. A page is changed, added (zero in A) or gone (zero in B). The exit code is 1 when anything differs.",
  ],
  arguments: [
    { name: "A", kind: "snapshot", required: true, text: "the one before" },
    { name: "B", kind: "snapshot", required: true, text: "the one after" },
  ],
  options: [
    {
      name: "hex",
      value: { name: "N", kind: "count" },
      text: "show the first N pages that differ byte by byte, up to 1000",
    },
    {
      name: "pages-out",
      value: { name: "LIST", kind: "file" },
      text: "write every run of pages that differ to LIST: kind, block, first page, pages, with tabs between",
    },
    { name: "trust-seals", text: "don't read pages whose digests agree in both seals" },
    { ...keepIndex, text: keepIndex.text.replace("FILE.index", "A.index and B.index") },
    ...byteOrder.map((option) => ({ ...option, text: option.text.replaceAll("FILE", "A and B") })),
    ...common,
  ],
  examples: [
    { command: "fixedram diff before.fram after.fram", text: "what changed between two moments of a guest" },
    {
      command: "fixedram diff before.fram after.fram --hex 3 --pages-out pages.tsv",
      text: "with the first pages' bytes, and a list for a program",
    },
  ],
};
