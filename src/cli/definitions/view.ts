import { byteOrder, common, listen, noOpen, snapshotFile } from "./common.ts";
import type { CommandDefinition } from "./types.ts";

export const view: CommandDefinition = {
  name: "view",
  summary: "look at a snapshot in the browser",
  description: [
    "Serves one page on this machine that shows every page of FILE on a map, and opens it in the browser. With OTHER, what differs between the two is marked. Nothing is loaded from elsewhere, and the files are only read. It runs until Ctrl-C.",
    "The printed address holds a key: whoever knows it can read the guest's memory while the viewer runs.",
  ],
  arguments: [
    snapshotFile,
    { name: "OTHER", kind: "snapshot", required: false, text: "a second snapshot, to compare FILE with" },
  ],
  options: [
    listen,
    noOpen,
    ...byteOrder.map((option) => ({ ...option, text: option.text.replaceAll("FILE", "FILE and OTHER") })),
    ...common,
  ],
  examples: [
    { command: "fixedram view web.fram", text: "open the map in the browser" },
    { command: "fixedram view after.fram before.fram --no-open", text: "what changed from one moment to the other" },
  ],
};
