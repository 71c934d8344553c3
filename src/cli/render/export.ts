import { printable } from "../../bytes/text.ts";
import type { ExportResult } from "../../operations/export.ts";
import { address } from "./address.ts";
import type { Colors } from "./colors.ts";
import { aligned, duration, plural, rate, size } from "./format.ts";
import { safe } from "./safe.ts";
import { plainTable } from "./table.ts";

const names: Readonly<Record<ExportResult["format"], string>> = {
  elf: "ELF core",
  kdump: "kdump, compressed",
  lime: "LiME",
  raw: "raw physical memory",
};

const maps: Readonly<Record<ExportResult["memoryMap"], string>> = {
  recorded: "as recorded at the save",
  given: "as given with --map",
  rules: "by QEMU's rules for the machine type",
};

/** What was written, and what was found for it. */
export function exportText(result: ExportResult, colors: Colors): string {
  const { input, sizes, ranges, vmcoreinfo, format, time } = result;
  const holdsCpus = format === "elf" || format === "kdump";
  const rows = aligned([
    ["from", `${safe(input.path)} (${input.container}), ${printable(result.machine)}`],
    ["format", names[format]],
    ["memory", `${size(sizes.memory)}, ${plural(ranges.length, "range")} ${maps[result.memoryMap]}`],
    ["registers", holdsCpus ? `of ${plural(result.cpus, "CPU")}` : "none: the format has no place for them"],
    ["kernel", kernelText(vmcoreinfo, holdsCpus)],
    ["file", `${size(sizes.apparent)}, ${size(sizes.allocated)} on disk`],
    ["checked", result.checked ? "every page, with the seal" : "no: the file has no seal, or it was passed over"],
    ["time", `${duration(time)}, ${rate(sizes.memory, time)} of memory`],
  ]);
  const table = plainTable(
    ["physical address", "size", "RAM block", "at"],
    [1],
    ranges.map(({ start, length, block, offset }) => [address(start), size(length), printable(block), address(offset)]),
    colors,
  );
  return `${[`Wrote ${colors.bold(safe(result.path))}`, ...rows, "", table].join("\n")}\n`;
}

function kernelText(found: ExportResult["vmcoreinfo"], holdsCpus: boolean): string | null {
  if (!holdsCpus) return null;
  if (found === null) return "no VMCOREINFO was found";
  const way = found.from === "device" ? "the vmcoreinfo device told where" : "found in memory";
  const moved = found.kernelOffset === null ? "" : `, moved by ${found.kernelOffset} (KASLR)`;
  return `Linux ${safe(found.release)}${moved}; VMCOREINFO at ${address(found.address)} (${way})`;
}
