import { tileCells } from "../../shared/grid.ts";
import { modes } from "../../shared/modes.ts";
import { contentClasses } from "../../shared/protocol.ts";
import type { Look } from "./paint.ts";

interface Words {
  readonly count: (value: number) => string;
  readonly percent: (part: number, whole: number) => string;
}

/** What a cell holds, in words. @param whole pages of the cell */
export function tellCell(
  planes: Uint8Array,
  index: number,
  whole: number,
  look: Look,
  { count, percent }: Words,
): string {
  const legend = modes[look.mode].legend;
  if (look.mode === "content") {
    const name = contentClasses[planes[index] ?? 0] ?? "none";
    const label = legend.find(({ key }) => key === name)?.label ?? "";
    return whole > 1 && label !== "zero" ? `${label} (one page of ${count(whole)} looked at)` : label;
  }
  const { layers } = modes[look.mode];
  const shares = layers.map((layer, k) => ({ layer: layer as string, share: planes[k * tileCells + index] ?? 0 }));
  if (whole === 1) {
    const there = shares.filter(({ share }) => share > 0).map(({ layer }) => wordFor(layer, look));
    const last = there.at(-1);
    return last ?? "zero";
  }
  const parts = shares
    .filter(({ share }) => share > 0)
    .map(({ layer, share }) => `${share === 255 ? "all" : percent(share, 255)} ${wordFor(layer, look)}`);
  return parts.length === 0 ? "all zero" : parts.join(", ");
}

function wordFor(layer: string, look: Look): string {
  const key = layer === "data" && look.mode === "seal" ? look.trust : layer;
  return modes[look.mode].legend.find((entry) => entry.key === key)?.label ?? layer;
}
