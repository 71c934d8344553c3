import { common, opening, snapshotFile } from "./common.ts";
import type { CommandDefinition } from "./types.ts";

export const cpus: CommandDefinition = {
  name: "cpus",
  summary: "show the saved registers of the guest's CPUs",
  description: [
    "Shows mode, general, segment and control registers and the model-specific registers that matter, for each CPU (x86-64, aarch64).",
  ],
  arguments: [snapshotFile],
  options: [{ name: "cpu", value: { name: "N", kind: "count" }, text: "only this CPU" }, ...opening, ...common],
  examples: [
    { command: "fixedram cpus web.fram", text: "every CPU" },
    { command: "fixedram cpus web.fram --cpu 1 --json", text: "one of them, for tools" },
  ],
};
