import { byteOrder, common, offset, snapshotFile, snapshotId } from "./common.ts";
import type { CommandDefinition } from "./types.ts";

export const verify: CommandDefinition = {
  name: "verify",
  summary: "check that a snapshot is as it was sealed",
  description: [
    "Compares FILE with its seal: the seal itself, the headers, the device state and the bitmaps; with --deep every page too. What is damaged is named: the block and page, or the part of the file. A file without a seal has only its structure checked.",
    "The digests of pages find accidents; who can write to the file can also make pages that match.",
  ],
  arguments: [snapshotFile],
  options: [{ name: "deep", text: "read every page as well" }, snapshotId, offset, ...byteOrder, ...common],
  examples: [
    { command: "fixedram verify web.fram", text: "the quick check, milliseconds at any size" },
    {
      command: "fixedram verify web.fram --deep --json | jq .problems",
      text: "every byte; what is damaged, for a program",
    },
  ],
};
