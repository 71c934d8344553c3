import Table from "cli-table3";
import type { Colors } from "./colors.ts";

const none = ["top", "top-mid", "top-left", "top-right", "bottom", "bottom-mid", "bottom-left", "bottom-right"];
const noneInside = ["left", "left-mid", "mid", "mid-mid", "right", "right-mid"];

/** Lines of a table without boxes: two spaces between the columns, indented by two; `right` lists the columns of numbers. */
export function plainTable(
  head: readonly string[],
  right: readonly number[],
  rows: readonly (readonly string[])[],
  colors: Colors,
): string {
  const table = new Table({
    head: head.map((text) => colors.dim(text)),
    chars: { ...Object.fromEntries([...none, ...noneInside].map((name) => [name, ""])), middle: "  " },
    style: { "padding-left": 0, "padding-right": 0, head: [], border: [], compact: true },
    colAligns: head.map((_, column) => (right.includes(column) ? "right" : "left")),
  });
  for (const row of rows) table.push([...row]);
  return table
    .toString()
    .split("\n")
    .map((line) => `  ${line}`.trimEnd())
    .join("\n");
}
