import { byteOrder, common, keepIndex, offset, snapshotFile } from "./common.ts";
import type { CommandDefinition } from "./types.ts";

export const info: CommandDefinition = {
  name: "info",
  summary: "show what a snapshot holds",
  description: [
    "Shows the machine, the versions, the RAM blocks, the devices, the disks and the seal of FILE, and what libvirt kept in it (the domain's XML, with its passwords).",
  ],
  arguments: [snapshotFile],
  options: [keepIndex, offset, ...byteOrder, ...common],
  examples: [
    { command: "fixedram info web.fram", text: "show what is in the file" },
    { command: "fixedram info web.fram --json | jq .sizes.ram", text: "the guest's RAM in bytes" },
  ],
};
