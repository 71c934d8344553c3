import { modes } from "../../shared/modes.ts";
import { duration } from "../../shared/units.ts";
import type { Plot } from "../../shared/world.ts";
import { groupAt, keyOf } from "./paint.ts";
import type { Moment } from "./record.ts";

/** Groups looked at for a word on a cell. */
const mostLooked = 4096;

/** What a cell of the map holds at a moment, in words: pages [first, first + count), of rows also those of the rows below. */
export function tellLive(moment: Moment, { block, grid }: Plot, first: number, count: number, level: number): string {
  const legend = modes[moment.what === "resume" ? "live" : "rewrites"].legend;
  const labelOf = (kind: number) => legend.find(({ key }) => key === keyOf(moment.what, kind))?.label ?? "";
  if (level === 0) {
    const group = groupAt(moment, block.index, first);
    if (group === null) return moment.what === "resume" ? "not in, or zero" : "not here yet";
    return `${labelOf(group.kind)} after ${duration(group.time)}`;
  }
  const rows = grid.order === "rows" ? 2 ** level : 1;
  const counts = new Map<string, number>();
  const every = Math.max(1, Math.floor((rows * count) / mostLooked));
  let looked = 0;
  for (let row = 0; row < rows; row++) {
    for (let page = first + row * grid.width; page < first + row * grid.width + count; page += every) {
      if (page >= block.pages) break;
      const label = labelOf(groupAt(moment, block.index, page)?.kind ?? 0);
      counts.set(label, (counts.get(label) ?? 0) + 1);
      looked++;
    }
  }
  const parts = [...counts].sort(([, a], [, b]) => b - a);
  return parts.map(([label, found]) => `${Math.max(1, Math.round((found / looked) * 100))} % ${label}`).join(", ");
}
