import { printable } from "../../bytes/text.ts";
import type { ConvertResult } from "../../operations/convert.ts";
import type { Colors } from "./colors.ts";
import { aligned, count, duration, plural, rate, size } from "./format.ts";
import { safe } from "./safe.ts";

const containers: Readonly<Record<ConvertResult["input"]["container"], string>> = {
  "fixed-ram": "fixed-ram",
  "mapped-ram": "mapped-ram",
  libvirt: "libvirt save image",
  stream: "migration stream",
  pipe: "migration stream",
};

const targets: Readonly<Record<ConvertResult["to"], string>> = {
  "fixed-ram": "fixed-ram",
  stream: "migration stream",
  "libvirt-sparse": "libvirt save image",
  raw: "raw memory",
};

/** From what to what, how much, how long: a short block. */
export function convertText(result: ConvertResult, colors: Colors): string {
  const { input, pages, sizes, times } = result;
  const speed = rate(sizes.allocated ?? 0, times.total);
  const rows = aligned([
    ["machine", safe(printable(result.machine))],
    [
      "memory",
      pages === null ? null : `${plural(pages.total, "page")}: ${count(pages.data)} data, ${count(pages.zero)} zero`,
    ],
    ["file", sizes.apparent === null ? null : `${size(sizes.apparent)}, ${size(sizes.allocated ?? 0)} on disk`],
    ["time", `${duration(times.total)}${speed === "" ? "" : `, ${speed}`}`],
    ["snapshot", result.uuid],
    ["id", result.id],
  ]);
  const from = `${colors.bold(safe(input.name))} (${containers[input.container]})`;
  const to = `${colors.bold(safe(result.path ?? "standard output"))} (${targets[result.to]})`;
  return `Converted ${from} to ${to}\n${rows.join("\n")}\n`;
}
