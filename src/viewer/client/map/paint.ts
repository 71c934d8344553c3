import { cellPages, type Grid, tileCells, tileSide } from "../../shared/grid.ts";
import type { ModeName } from "../../shared/modes.ts";
import { rgbOf, type SwatchName, type Theme, weightOf } from "../../shared/palette.ts";
import { contentClasses } from "../../shared/protocol.ts";
import type { Plot } from "../../shared/world.ts";
import { paintLive } from "../live/paint.ts";
import type { Moment } from "../live/record.ts";
import { Mix } from "./mix.ts";

/** What decides how a tile's numbers become colours. */
export interface Look {
  /** Which of the two snapshots: 0, or 1 for OTHER. */
  readonly side: 0 | 1;
  readonly mode: ModeName;
  readonly theme: Theme;
  /** Legend keys that are switched off. */
  readonly hidden: ReadonlySet<string>;
  /** What the seal says of pages that are not damaged. */
  readonly trust: "uncovered" | "covered" | "intact";
  /** What of a recording is shown, where the mode shows one. */
  readonly moment: Moment | null;
}

const weights = Float32Array.from({ length: 256 }, (_, byte) => weightOf(byte / 255));

/** Swatches of `shares`' planes, laid over each other in this order. */
function stackOf(look: Look): readonly SwatchName[] {
  switch (look.mode) {
    case "changes":
      return ["unchanged", "changed", "added", "gone"];
    case "seal":
      return [look.trust, "damaged"];
    default:
      return ["data", "absent", "damaged"];
  }
}

/** A tile's place on the map. */
export interface TilePlace {
  readonly plot: Plot;
  readonly level: number;
  readonly x: number;
  readonly y: number;
}

/** Paints a tile of shares or classes as RGBA. Cells without pages stay clear. */
export function paintTile(
  planes: Uint8Array,
  look: Look,
  inside: Uint8Array | null,
  { plot, level, x, y }: TilePlace,
): Uint8ClampedArray<ArrayBuffer> {
  if (look.moment !== null) return paintLive(planes, look, look.moment, plot, level, x, y);
  const pixels = new Uint8ClampedArray(tileCells * 4);
  if (look.mode === "content") paintClasses(planes, look, pixels);
  else paintShares(planes, look, pixels);
  if (inside !== null) for (let i = 0; i < tileCells; i++) if (inside[i] === 0) pixels[i * 4 + 3] = 0;
  return pixels;
}

function paintShares(planes: Uint8Array, look: Look, pixels: Uint8ClampedArray): void {
  const stack = stackOf(look);
  const base = rgbOf("zero", look.theme);
  const dim = look.hidden.has("zero") ? 0 : 255;
  const colors = stack.map((name) => (look.hidden.has(name) ? null : rgbOf(name, look.theme)));
  const mix = new Mix();
  for (let i = 0; i < tileCells; i++) {
    mix.begin(base, dim);
    for (let k = 0; k < stack.length; k++) {
      const share = planes[k * tileCells + i] ?? 0;
      const color = colors[k];
      if (share === 0 || color == null) continue;
      // What is rare and matters must not drown in what lies around it.
      mix.lay(color, k === 0 ? (weights[share] ?? 0) : Math.max(0.65, weights[share] ?? 0));
    }
    mix.put(pixels, i);
  }
}

function paintClasses(classes: Uint8Array, look: Look, pixels: Uint8ClampedArray): void {
  const colors = contentClasses.map((name) =>
    name === "none" || look.hidden.has(name) ? null : rgbOf(name, look.theme),
  );
  for (let i = 0; i < tileCells; i++) {
    const color = colors[classes[i] ?? 0];
    if (color == null) continue;
    pixels[i * 4] = color[0];
    pixels[i * 4 + 1] = color[1];
    pixels[i * 4 + 2] = color[2];
    pixels[i * 4 + 3] = 255;
  }
}

/** Which cells of a tile have pages: 1 or 0 each; null when all do. */
export function insideOf(grid: Grid, level: number, x: number, y: number): Uint8Array | null {
  const side = 2 ** level * tileSide;
  const whole = grid.pages === grid.width * grid.height;
  if (whole && (x + 1) * side <= grid.width && (y + 1) * side <= grid.height) return null;
  const inside = new Uint8Array(tileCells);
  for (let row = 0; row < tileSide; row++) {
    for (let column = 0; column < tileSide; column++) {
      if (cellPages(grid, level, x * tileSide + column, y * tileSide + row) !== null)
        inside[row * tileSide + column] = 1;
    }
  }
  return inside;
}
