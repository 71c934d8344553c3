import { byteOrder, common, offset } from "./common.ts";
import type { CommandDefinition } from "./types.ts";

export const convert: CommandDefinition = {
  name: "convert",
  summary: "write a snapshot in another container",
  description: [
    "Reads IN, whatever QEMU or libvirt made (a fixed-ram or mapped-ram file, a migration stream, a save image of libvirt), and writes it as OUT. A stream may come from standard input and go to standard output: -. OUT is replaced only when the new file is complete and on disk.",
    "fixed-ram holds everything, with a seal; stream loads in any QEMU (-incoming 'exec:cat FILE'); libvirt-sparse is what virsh restore takes; raw is a folder with the memory of each RAM block as a sparse file, without the devices, so it cannot be resumed.",
  ],
  arguments: [
    { name: "IN", kind: "snapshot", required: true, text: "the snapshot to read, or - for a stream on standard input" },
    {
      name: "OUT",
      kind: "snapshot",
      required: true,
      text: "the file or folder to write, or - for a stream on standard output",
    },
  ],
  options: [
    {
      name: "to",
      value: { name: "FORMAT", kind: "choice", choices: ["fixed-ram", "stream", "libvirt-sparse", "raw"] },
      text: "fixed-ram (default when OUT ends in .fram), stream (default for -), libvirt-sparse or raw",
    },
    {
      name: "xml",
      value: { name: "FILE", kind: "file" },
      text: "with --to libvirt-sparse: the domain's definition, from virsh dumpxml --migratable --security-info (default: what IN has from libvirt)",
    },
    { name: "force", text: "take IN although it is not as it was sealed; the new record says so" },
    { ...offset, text: offset.text.replaceAll("FILE", "IN") },
    ...byteOrder.map((option) => ({ ...option, text: option.text.replaceAll("FILE", "IN") })),
    ...common,
  ],
  examples: [
    { command: "fixedram convert old.stream web.fram", text: "give the pages of a stream their places, and a seal" },
    {
      command: "fixedram convert web.fram - | qemu-system-x86_64 -M pc-q35-7.2 -m 2G -incoming exec:cat",
      text: "into a QEMU of any version",
    },
  ],
};
