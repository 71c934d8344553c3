import { byteOrder, common, keepIndex, offset, snapshotFile } from "./common.ts";
import type { CommandDefinition } from "./types.ts";

export const map: CommandDefinition = {
  name: "map",
  summary: "draw which pages a snapshot holds",
  description: [
    "Draws each RAM block of FILE as one line: a character is a stretch of pages, and says how many are there.",
  ],
  arguments: [snapshotFile],
  options: [
    { name: "block", value: { name: "NAME", kind: "text" }, text: "only this RAM block" },
    {
      name: "width",
      value: { name: "N", kind: "count" },
      text: "characters between the bars, 10 to 10000 (default: as wide as the terminal, or 76)",
    },
    keepIndex,
    offset,
    ...byteOrder,
    {
      name: "export",
      value: { name: "PATH", kind: "file" },
      text: "instead draw a picture into this file: .svg with names and rulers, .png without words, .html a report",
    },
    ...common,
  ],
  examples: [
    { command: "fixedram map web.fram", text: "draw every block" },
    { command: "fixedram map web.fram --block pc.ram --width 200 | less -S", text: "main memory in finer detail" },
  ],
};
