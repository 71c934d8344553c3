import { common } from "./common.ts";
import type { CommandDefinition } from "./types.ts";

export const doctor: CommandDefinition = {
  name: "doctor",
  summary: "see what this machine can do",
  description: [
    "Looks for QEMUs and what they can do, whether KVM really runs a guest, userfaultfd rights, and sparse files, O_DIRECT and free space in the current folder.",
  ],
  arguments: [],
  options: common,
  examples: [
    { command: "fixedram doctor", text: "look at this machine and the current folder" },
    { command: "fixedram doctor --json > doctor.json", text: "for a bug report" },
  ],
};
