import { common, opening, snapshotFile } from "./common.ts";
import type { CommandDefinition } from "./types.ts";

export const devices: CommandDefinition = {
  name: "devices",
  summary: "show the saved state of the guest's devices, field by field",
  description: [
    "Decodes every device section of FILE by the description that QEMU saved with it, or only those called NAME: the whole name, or its last part. Exit code 1: a section is not what its description says.",
  ],
  arguments: [snapshotFile, { name: "NAME", kind: "text", required: false, text: "only these sections" }],
  options: [
    { name: "instance", value: { name: "N", kind: "count" }, text: "only the section of this instance" },
    { name: "full", text: "show long arrays and buffers whole" },
    ...opening,
    ...common,
  ],
  examples: [
    { command: "fixedram devices web.fram vga", text: "the state of the graphics card" },
    { command: "fixedram devices web.fram --json | jq .devices[].name", text: "everything, for tools" },
  ],
};
