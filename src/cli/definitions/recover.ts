import { around, byteOrder, common, snapshotFile } from "./common.ts";
import type { CommandDefinition } from "./types.ts";

export const recover: CommandDefinition = {
  name: "recover",
  summary: "go on with a lazy resume that was cut off",
  description: [
    "A guest that was resumed with --lazy and lost its page server, because that and what watches over it were killed, waits at the next page that it lacks. This sends it the rest of its memory from FILE, or from a copy of it.",
    "FILE must be the snapshot that the guest was resumed from: another one is refused.",
  ],
  arguments: [snapshotFile],
  options: [
    {
      name: "qmp",
      value: { name: "SOCKET", kind: "socket" },
      required: true,
      text: "the control socket of the guest's QEMU: PATH, unix:PATH or tcp:HOST:PORT on this machine",
    },
    { name: "verify", text: "check each page against its digest as it is served" },
    around,
    {
      name: "push-rate",
      value: { name: "SIZE", kind: "size" },
      text: "bytes a second that are sent in the background at most (default: no limit)",
    },
    { name: "force", text: "go on although nothing tells from which snapshot the guest was resumed" },
    ...byteOrder,
    ...common,
  ],
  examples: [
    { command: "fixedram recover web.fram --qmp /run/web.qmp", text: "send the guest the rest of its memory" },
    {
      command: "fixedram recover /backup/web.fram --qmp /run/web.qmp --verify",
      text: "from a copy, because pages of the first file are damaged",
    },
  ],
};
