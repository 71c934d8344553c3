import { common, opening, snapshotFile } from "./common.ts";
import { mapOption } from "./inside.ts";
import type { CommandDefinition, OptionDefinition } from "./types.ts";

const block: OptionDefinition = {
  name: "block",
  value: { name: "NAME", kind: "text" },
  text: "only in this RAM block",
};

const limit: OptionDefinition = {
  name: "limit",
  value: { name: "N", kind: "count" },
  text: "end after N hits (default: no limit; with --json 10000)",
};

export const search: CommandDefinition = {
  name: "search",
  summary: "search a saved guest's memory",
  description: [
    "Shows where PATTERN stands in the guest's memory: RAM block, physical address, and what is around it. PATTERN is text (its UTF-8), unless an option says otherwise. Ctrl-C ends the search; what was found stands.",
    "Pages of zeros are not searched, but a hit may reach into them. Exit code 1: nothing was found.",
  ],
  arguments: [snapshotFile, { name: "PATTERN", kind: "text", required: true, text: "what to look for" }],
  options: [
    { name: "as-hex", text: "PATTERN is hexadecimal digits, ? for any: 'de ad ?? 0?'" },
    {
      name: "regex",
      text: "PATTERN is a regular expression (JavaScript's) over bytes: . is any byte, ^ and $ stand at line ends; a match has at most 4096 bytes",
    },
    { name: "utf16", text: "PATTERN is text, looked for as UTF-16, little-endian, as Windows has it" },
    { name: "ignore-case", short: "i", text: "letters of ASCII in either case" },
    block,
    limit,
    mapOption,
    ...opening,
    ...common,
  ],
  examples: [
    { command: "fixedram search web.fram password", text: "where the text stands" },
    { command: "fixedram search web.fram 7f454c46??01 --as-hex --limit 10", text: "the first ELF files in memory" },
  ],
};

export const strings: CommandDefinition = {
  name: "strings",
  summary: "show the printable texts in a saved guest's memory",
  description: [
    "Shows every run of printable characters with its place, as strings(1) does: physical address (offset in the block where it has none), block, text. Texts may cross page borders; one that is longer than 64 KiB may be cut.",
  ],
  arguments: [snapshotFile],
  options: [
    { name: "min", value: { name: "N", kind: "count" }, text: "characters at least (default 8)" },
    { name: "utf16", text: "texts in UTF-16, little-endian" },
    block,
    limit,
    mapOption,
    ...opening,
    ...common,
  ],
  examples: [
    { command: "fixedram strings web.fram --min 12 | grep -i error", text: "what the guest had to say" },
    { command: "fixedram strings web.fram --utf16 --block pc.ram", text: "texts of a Windows guest" },
  ],
};
