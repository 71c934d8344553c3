import { cellPages, type Grid, tileCells, tileSide } from "../../shared/grid.ts";
import { kindOf, mostSteps, resumeKinds, saveKinds, stepOf } from "../../shared/live.ts";
import { type Rgb, rgbOf, type SwatchName, type Theme, weightOf } from "../../shared/palette.ts";
import type { Plot } from "../../shared/world.ts";
import { Mix } from "../map/mix.ts";
import type { Look } from "../map/paint.ts";
import type { Moment } from "./record.ts";

const kinds = 8;
/** Pages by kind in each cell of the tile that is painted; kind 0: not in yet. */
const counts = new Uint32Array(kinds * tileCells);
/** First pages of a curve's cells, by tile: dear to find, and needed each time. */
const places = new Map<string, Float64Array>();
const mostPlaces = 48;

/**
 * Paints a tile of a recording's moment as RGBA.
 *
 * @param planes shares of pages with data, a byte each; empty: not known
 */
export function paintLive(
  planes: Uint8Array,
  look: Look,
  moment: Moment,
  plot: Plot,
  level: number,
  x: number,
  y: number,
): Uint8ClampedArray<ArrayBuffer> {
  const pixels = new Uint8ClampedArray(tileCells * 4);
  countTile(plot, moment, level, x, y);
  const colors = colorsOf(moment.what, look);
  const saving = moment.what === "save";
  const waiting = look.hidden.has("waiting") ? null : rgbOf("waiting", look.theme);
  const zero = rgbOf("zero", look.theme);
  const clear = !saving && look.hidden.has("zero") ? 0 : 255;
  const mix = new Mix();
  for (let i = 0; i < tileCells; i++) {
    const missing = counts[i] ?? 0;
    let whole = missing;
    for (let kind = 1; kind < kinds; kind++) whole += counts[kind * tileCells + i] ?? 0;
    if (whole === 0) continue;
    mix.begin(saving && waiting !== null ? waiting : zero, clear);
    const outstanding = saving ? 0 : Math.min(missing / whole, (planes[i] ?? 0) / 255);
    if (outstanding > 0 && waiting !== null) mix.lay(waiting, weightOf(outstanding));
    for (let kind = 1; kind < kinds; kind++) {
      const count = counts[kind * tileCells + i] ?? 0;
      const color = colors[kind];
      if (count === 0 || color == null) continue;
      mix.lay(color, count === whole ? 1 : weightOf(count / whole));
    }
    mix.put(pixels, i);
  }
  return pixels;
}

/** Legend key of a kind. */
export function keyOf(what: Moment["what"], kind: number): string {
  if (what === "resume") return resumeKinds[kind] ?? "waiting";
  return kind <= 2 ? (saveKinds[kind] ?? "waiting") : "hot";
}

function colorsOf(what: Moment["what"], look: Look): readonly (Rgb | null)[] {
  const all: (Rgb | null)[] = [];
  for (let kind = 0; kind < kinds; kind++) {
    const hidden = look.hidden.has(keyOf(what, kind));
    all.push(hidden ? null : colorOf(what, kind, look.theme));
  }
  return all;
}

function colorOf(what: Moment["what"], kind: number, theme: Theme): Rgb | null {
  if (what === "resume") {
    const name = resumeKinds[kind];
    return name === undefined ? null : rgbOf(name satisfies SwatchName, theme);
  }
  if (kind < 2) return rgbOf(kind === 0 ? "waiting" : "zero", theme);
  const part = (kind - 2) / 5;
  const [from, to] = part < 0.5 ? (["cold", "changed"] as const) : (["changed", "hot"] as const);
  const [a, b] = [rgbOf(from, theme), rgbOf(to, theme)];
  const along = part < 0.5 ? part * 2 : part * 2 - 1;
  return [0, 1, 2].map((i) => (a[i] ?? 0) + ((b[i] ?? 0) - (a[i] ?? 0)) * along) as unknown as Rgb;
}

/** Counts the pages of each cell by kind, into `counts`. */
function countTile(plot: Plot, moment: Moment, level: number, x: number, y: number): void {
  counts.fill(0);
  const groups = moment.groups[plot.block.index];
  if (groups === undefined) return;
  if (plot.grid.order === "hilbert") countCurve(plot.grid, plot.block.index, groups, moment, level, x, y);
  else countRows(plot.grid, groups, moment, level, x, y);
}

function countRows(grid: Grid, groups: Uint16Array, moment: Moment, level: number, x: number, y: number): void {
  const side = 2 ** level;
  const columns = Math.min(tileSide, Math.ceil((grid.width - x * tileSide * side) / side));
  for (let row = 0; row < tileSide; row++) {
    for (let down = 0; down < side; down++) {
      const start = ((y * tileSide + row) * side + down) * grid.width;
      if (start >= grid.pages) return;
      const rowEnd = Math.min(grid.pages, start + grid.width);
      for (let column = 0; column < columns; column++) {
        const first = start + (x * tileSide + column) * side;
        countRun(groups, moment, first, Math.min(rowEnd, first + side), row * tileSide + column);
      }
    }
  }
}

function countCurve(
  grid: Grid,
  block: number,
  groups: Uint16Array,
  moment: Moment,
  level: number,
  x: number,
  y: number,
): void {
  const key = `${block} ${level} ${x} ${y}`;
  let firsts = places.get(key);
  if (firsts === undefined) {
    firsts = new Float64Array(tileCells).fill(-1);
    for (let i = 0; i < tileCells; i++) {
      const cell = cellPages(grid, level, x * tileSide + (i % tileSide), y * tileSide + Math.floor(i / tileSide));
      if (cell !== null) firsts[i] = cell.first;
    }
    places.set(key, firsts);
    const [oldest] = places.keys();
    if (places.size > mostPlaces && oldest !== undefined) places.delete(oldest);
  }
  for (let i = 0; i < tileCells; i++) {
    const first = firsts[i] ?? -1;
    if (first >= 0) countRun(groups, moment, first, Math.min(grid.pages, first + 4 ** level), i);
  }
}

function countRun(groups: Uint16Array, { group, limit }: Moment, first: number, end: number, cell: number): void {
  for (let page = first; page < end; ) {
    const at = group === 1 ? page : Math.floor(page / group);
    const stop = group === 1 ? page + 1 : Math.min(end, (at + 1) * group);
    const value = groups[at] ?? 0;
    const kind = value === 0 || (value & (mostSteps - 1)) > limit ? 0 : value >>> 13;
    counts[kind * tileCells + cell] = (counts[kind * tileCells + cell] ?? 0) + stop - page;
    page = stop;
  }
}

/** What the recording says of one group at its moment; null: nothing yet. */
export function groupAt(
  moment: Moment,
  block: number,
  page: number,
): { readonly kind: number; readonly time: number } | null {
  const value = moment.groups[block]?.[Math.floor(page / moment.group)] ?? 0;
  if (value === 0 || stepOf(value) > moment.limit) return null;
  return { kind: kindOf(value), time: stepOf(value) * moment.stepTime };
}
