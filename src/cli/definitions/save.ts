import { common, viewing } from "./common.ts";
import type { CommandDefinition } from "./types.ts";

export const save: CommandDefinition = {
  name: "save",
  summary: "save a running guest into a file",
  description: [
    "Saves the memory and the devices of a running guest into OUT, which by convention ends in .fram. The guest goes on afterwards, unless --then says otherwise. OUT is replaced only when the new file is complete and on disk; until then the guest can go on and an older OUT stands.",
    "The file holds the guest's whole memory, keys and passwords included.",
  ],
  arguments: [{ name: "OUT", kind: "snapshot", required: true, text: "the file to write" }],
  options: [
    {
      name: "qmp",
      value: { name: "SOCKET", kind: "socket" },
      required: true,
      text: "QEMU's control socket: PATH, unix:PATH or tcp:HOST:PORT on this machine",
    },
    {
      name: "mode",
      value: { name: "MODE", kind: "choice", choices: ["stop", "live", "background"] },
      text: "stop (default): the guest stands still while it is saved, the shortest total time; live: it runs on and stops only for the rest; background: it stands still for milliseconds, the file shows the moment of the start",
    },
    {
      name: "then",
      value: { name: "ACTION", kind: "choice", choices: ["resume", "pause", "quit"] },
      text: "what the guest does when the file is on disk: resume (default), pause, or quit, which ends QEMU",
    },
    {
      name: "max-bandwidth",
      value: { name: "SIZE", kind: "size" },
      text: "bytes a second at most, such as 500M (default: no limit)",
    },
    {
      name: "max-time",
      value: { name: "TIME", kind: "time" },
      text: "with --mode live: how long the guest may run on before --on-limit applies, such as 30s or 1h30m",
    },
    {
      name: "max-rounds",
      value: { name: "N", kind: "count" },
      text: "with --mode live: how many rounds over the memory before --on-limit applies",
    },
    {
      name: "on-limit",
      value: { name: "ACTION", kind: "choice", choices: ["stop", "abort"] },
      text: "with --mode live, at a limit: stop (default) stops the guest and saves the rest; abort gives up, and the guest goes on",
    },
    {
      name: "transport",
      value: { name: "WAY", kind: "choice", choices: ["auto", "stream", "multifd", "mapped-ram"] },
      text: "how pages come out of QEMU: auto (default), multifd for guests of 1 GiB and more where it can be; stream, one connection; multifd, two more connections and a thread each; mapped-ram, QEMU (9.0 and newer) writes the file itself, and it is sealed afterwards",
    },
    {
      name: "direct-io",
      value: { name: "WHEN", kind: "choice", choices: ["auto", "on", "off"] },
      text: "whether pages go past the page cache: auto (default), which is off today; on, with multifd or mapped-ram, wherever the system lets them; off",
    },
    {
      name: "socket-dir",
      value: { name: "DIR", kind: "folder" },
      text: "folder for the socket that QEMU sends to, reachable by QEMU's user",
    },
    ...viewing(
      "show in the browser how the pages come, and which come again and again; the page stays afterwards, until Ctrl-C",
    ),
    { name: "force", text: "go on where a combination is known to lose guest memory" },
    ...common,
  ],
  examples: [
    { command: "fixedram save web.fram --qmp /run/web.qmp", text: "save the guest, which goes on afterwards" },
    {
      command: "fixedram save web.fram --qmp /run/web.qmp --mode live --max-time 2m --then quit",
      text: "save while it runs, stop it after two minutes at the latest, then end QEMU",
    },
  ],
};
