import { byteOrder, common, offset, snapshotFile } from "./common.ts";
import type { CommandDefinition } from "./types.ts";

export const seal: CommandDefinition = {
  name: "seal",
  summary: "seal a snapshot that QEMU or libvirt made",
  description: [
    "Appends a seal to FILE, a mapped-ram file or a sparse libvirt image: digests of its pages, its headers and its device state. No byte of what is there moves, QEMU and libvirt load it as before. Nobody else may write to FILE meanwhile.",
  ],
  arguments: [snapshotFile],
  options: [offset, ...byteOrder, ...common],
  examples: [
    { command: "fixedram seal guest.mapped", text: "seal a file that QEMU wrote with mapped-ram" },
    { command: "fixedram seal guest.mapped --json | jq -r .id", text: "its id, to be demanded later with --id" },
  ],
};
