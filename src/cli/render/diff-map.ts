import { hexAddress as address, printable } from "../../bytes/text.ts";
import type { BlockDiff } from "../../operations/diff/tally.ts";
import type { Colors } from "./colors.ts";
import { markOf } from "./map.ts";

const fewestCells = 8;
const mostCells = 48;

/** A block as it stands in A, in B, and where they differ, side by side: a row for each stretch of addresses. */
export function diffMapText({ name, a, b, map }: BlockDiff, colors: Colors, columns: number): string[] {
  const pageSize = (a ?? b)?.pageSize ?? 1;
  const end = Math.max(a?.length ?? 0, b?.length ?? 0);
  const labels = address(end).length;
  // "  LABEL  |A|  |B|  |different|"
  const room = Math.floor((columns - labels - 2 - 3 * 4) / 3);
  const width = Math.max(fewestCells, Math.min(mostCells, room, map.a.length));
  const lines = [`  ${colors.bold(printable(name))}`];
  const head = ["A", "B", "different"].map((text) => text.padEnd(width + 4)).join("");
  lines.push(`  ${" ".repeat(labels + 3)}${colors.dim(head.trimEnd())}`);
  for (let from = 0; from < map.a.length; from += width) {
    const cells = (shares: readonly number[]) => shares.slice(from, from + width);
    const [left, right] = [cells(map.a), cells(map.b)].map((shares) => shares.map(markOf).join("")) as [string, string];
    const different = cells(map.different).map(markOf).join("");
    const pad = " ".repeat(width - left.length);
    const label = colors.dim(address(from * map.pagesPerCell * pageSize).padStart(labels));
    const marked = different.replace(/[^-]+/g, (run) => colors.red(run));
    lines.push(`  ${label}  |${left}|${pad}  |${right}|${pad}  |${marked}|`);
  }
  return lines;
}
