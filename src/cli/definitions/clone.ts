import { around, byteOrder, common, snapshotFile, snapshotId, socketDir } from "./common.ts";
import type { CommandDefinition } from "./types.ts";

export const clone: CommandDefinition = {
  name: "clone",
  summary: "start many guests from one file",
  description: [
    "Starts N QEMUs with QEMU-COMMAND, {n} in it being the clone's number, and lets a guest from FILE run in each at once, as resume --lazy does. Without a command the one recorded in FILE is shown, and run only after a yes. Disks that the guest writes to are replaced by overlays, and sockets that QEMU serves get the clone's number, where no {n} stands.",
    "Stays until the last QEMU has ended; Ctrl-C ends them all. A clone that fails is named, and the others go on.",
  ],
  arguments: [snapshotFile],
  tail: { name: "QEMU-COMMAND", text: "each clone's QEMU: program and arguments, never through a shell" },
  options: [
    {
      name: "count",
      short: "n",
      value: { name: "N", kind: "count" },
      required: true,
      text: "clones, 1 to 256",
    },
    {
      name: "overlay-dir",
      value: { name: "DIR", kind: "folder" },
      text: "where the overlays are made, and stay (default: a temporary folder, removed when the last clone has ended)",
    },
    { name: "paused", text: "leave the guests paused" },
    { name: "run-recorded", text: "run the command recorded in FILE without asking; only for files you trust" },
    { name: "verify", text: "check each page against its digest as it is served" },
    snapshotId,
    socketDir,
    {
      name: "prefetch",
      value: { name: "FILE", kind: "file" },
      text: "the pages that earlier resumes touched first, to be sent first; auto (default) keeps them in FILE.workset, none does without",
    },
    around,
    {
      name: "push-rate",
      value: { name: "SIZE", kind: "size" },
      text: "bytes a second that are sent to each clone in the background at most (default: no limit)",
    },
    { name: "force", text: "go on although disks changed since the save, which can destroy their filesystems" },
    ...byteOrder,
    ...common,
  ],
  examples: [
    {
      command:
        "fixedram clone web.fram -n 8 -- qemu-system-x86_64 -M q35 -m 2G -serial unix:/run/web-{n}.sock,server=on,wait=off",
      text: "eight guests, each with a serial line of its own",
    },
    {
      command: "fixedram clone web.fram -n 3 --run-recorded --overlay-dir /srv/clones",
      text: "three, with the recorded command; what they write to their disks is kept",
    },
  ],
};
