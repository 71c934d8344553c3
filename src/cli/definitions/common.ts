import type { ArgumentDefinition, OptionDefinition } from "./types.ts";

export const snapshotFile: ArgumentDefinition = {
  name: "FILE",
  kind: "snapshot",
  required: true,
  text: "the snapshot",
};

export const common: readonly OptionDefinition[] = [
  { name: "json", text: "print one JSON object on standard output, progress as NDJSON on standard error" },
  { name: "quiet", short: "q", text: "print only warnings and errors (and the JSON object, with --json)" },
  { name: "help", short: "h", text: "show this help" },
];
