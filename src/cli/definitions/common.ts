import type { ArgumentDefinition, OptionDefinition } from "./types.ts";

export const snapshotFile: ArgumentDefinition = {
  name: "FILE",
  kind: "snapshot",
  required: true,
  text: "the snapshot",
};

export const keepIndex: OptionDefinition = {
  name: "keep-index",
  text: "keep what reading a migration stream through has found beside it, as FILE.index, for the next reading",
};

export const bigEndian: OptionDefinition = {
  name: "big-endian",
  text: "a big-endian host wrote FILE: the bits of its bitmaps stand in that order (a sealed FILE tells it)",
};

export const littleEndian: OptionDefinition = {
  name: "little-endian",
  text: "take FILE's bitmaps in the usual order although its pages do not look like it",
};

/** Of commands that open any snapshot. */
export const byteOrder: readonly OptionDefinition[] = [bigEndian, littleEndian];

export const offset: OptionDefinition = {
  name: "offset",
  value: { name: "SIZE", kind: "size" },
  text: "where the stream begins in FILE, when QEMU was told file:FILE,offset=SIZE",
};

export const snapshotId: OptionDefinition = {
  name: "id",
  value: { name: "ID", kind: "text" },
  text: "the snapshot must have this id, as save, info and verify print it",
};

export const socketDir: OptionDefinition = {
  name: "socket-dir",
  value: { name: "DIR", kind: "folder" },
  text: "folder for our sockets, reachable by QEMU's user",
};

export const around: OptionDefinition = {
  name: "around",
  value: { name: "N", kind: "count" },
  text: "pages that a fault brings along, 1 to 1024 (default: 32)",
};

/** What commands take that open any snapshot. */
export const opening: readonly OptionDefinition[] = [keepIndex, offset, ...byteOrder];

export const listen: OptionDefinition = {
  name: "listen",
  value: { name: "ADDRESS", kind: "text" },
  text: "127.0.0.1:PORT, [::1]:PORT or PORT (default: 127.0.0.1 and a free port)",
};

export const noOpen: OptionDefinition = { name: "no-open", text: "only print the address, open no browser" };

/** Options of a command that can be watched while it works. @param text what --view shows */
export const viewing = (text: string): readonly OptionDefinition[] => [
  { name: "view", text },
  { ...listen, text: `with --view: ${listen.text}` },
  { ...noOpen, text: `with --view: ${noOpen.text}` },
];

export const common: readonly OptionDefinition[] = [
  { name: "json", text: "print one JSON object on standard output, progress as NDJSON on standard error" },
  { name: "quiet", short: "q", text: "print only warnings and errors (and the JSON object, with --json)" },
  { name: "help", short: "h", text: "show this help" },
];
