import { byteOrder, common, offset, snapshotFile, snapshotId, socketDir, viewing } from "./common.ts";
import type { CommandDefinition } from "./types.ts";

export const resume: CommandDefinition = {
  name: "resume",
  summary: "resume a guest from a file",
  description: [
    "Starts QEMU-COMMAND, or takes the QEMU that waits behind --qmp in -incoming defer, loads FILE into it and lets the guest go on as it was. With neither, the command recorded in FILE is shown, and run only after a yes.",
    "A QEMU that was started stays in the foreground with its console on the terminal, Ctrl-C included, and its exit code becomes ours.",
  ],
  arguments: [snapshotFile],
  tail: { name: "QEMU-COMMAND", text: "the QEMU to start: program and arguments, never through a shell" },
  options: [
    {
      name: "qmp",
      value: { name: "SOCKET", kind: "socket" },
      text: "attach to the QEMU that waits behind this control socket: PATH, unix:PATH or tcp:HOST:PORT on this machine",
    },
    {
      name: "lazy",
      text: "let the guest run at once: its pages come from FILE as it touches them, the rest in the background",
    },
    { name: "paused", text: "leave the guest paused" },
    { name: "run-recorded", text: "run the command recorded in FILE without asking; only for files you trust" },
    {
      name: "verify",
      text: "check every page of FILE before, as verify --deep does; a FILE without a seal cannot be checked and is refused; with --lazy each page as it is served",
    },
    snapshotId,
    socketDir,
    {
      name: "force",
      text: "go on although disks changed since the save, which can destroy their filesystems, a memory file is another QEMU's too, or FILE has no seal to --verify",
    },
    {
      name: "prefetch",
      value: { name: "FILE", kind: "file" },
      text: "with --lazy: the pages that earlier resumes touched first, to be sent first; auto (default) keeps them in FILE.workset, none does without",
    },
    {
      name: "around",
      value: { name: "N", kind: "count" },
      text: "with --lazy: pages that a fault brings along, 1 to 1024 (default: 32)",
    },
    {
      name: "push-rate",
      value: { name: "SIZE", kind: "size" },
      text: "with --lazy: bytes a second that are sent in the background at most (default: no limit)",
    },
    {
      name: "events",
      value: { name: "PATH", kind: "file" },
      text: "with --lazy: write every fault and every piece sent to this file or pipe, as NDJSON",
    },
    ...viewing(
      "with --lazy: show in the browser how the guest comes up, page by page; QEMU's console then goes through us, and the page stays afterwards, until Ctrl-C",
    ),
    offset,
    ...byteOrder,
    ...common,
  ],
  examples: [
    {
      command: "fixedram resume web.fram -- qemu-system-x86_64 -M q35 -m 2G -nographic",
      text: "start this QEMU with the guest in it",
    },
    {
      command: "fixedram resume web.fram --qmp /run/web.qmp --paused",
      text: "load into a QEMU that was started with -incoming defer",
    },
  ],
};
