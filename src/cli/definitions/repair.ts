import { common, snapshotFile } from "./common.ts";
import type { CommandDefinition } from "./types.ts";

export const repair: CommandDefinition = {
  name: "repair",
  summary: "take away half a seal, or a cut end",
  description: [
    "Takes half a seal off FILE (sealing was cut short), or a vmdesc that is cut where the stream is whole without it, and says what is lost by that. What else is damaged cannot be repaired: it says why, and touches nothing.",
  ],
  arguments: [snapshotFile],
  options: common,
  examples: [
    { command: "fixedram repair web.fram", text: "repair what can be repaired" },
    { command: "fixedram repair web.fram --json | jq .repaired", text: "what was done, for a program" },
  ],
};
