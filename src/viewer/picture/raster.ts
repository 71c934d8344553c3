import { ExtentKind } from "../../pages/extents.ts";
import type { PageMap } from "../../pages/map.ts";
import { extentLayer } from "../server/layer.ts";
import { Pyramid, shares, wholeTile } from "../server/pyramid.ts";
import { type Grid, tileSide, usedHeight } from "../shared/grid.ts";
import { type Rgb, rgbOf, type SwatchName, weightOf } from "../shared/palette.ts";
import type { Raster } from "./png.ts";

const layers: readonly (readonly [kind: ExtentKind, swatch: SwatchName])[] = [
  [ExtentKind.data, "data"],
  [ExtentKind.absent, "absent"],
];

/** Cells of a picture in each direction at most. */
const mostCells = 1024;

/** The level of a block's picture: as fine as fits. */
export function levelOf(grid: Grid): number {
  let level = 0;
  while (level < grid.top && Math.max(grid.width, usedHeight(grid)) / 2 ** level > mostCells) level++;
  return level;
}

/** A block as the map draws it by state, a pixel a cell of the level. Cells without pages have the colour `ground`. */
export async function rasterOf(map: PageMap, block: number, grid: Grid, level: number, ground: Rgb): Promise<Raster> {
  const width = Math.ceil(grid.width / 2 ** level);
  const height = Math.ceil(usedHeight(grid) / 2 ** level);
  const pixels = new Uint8Array(width * height * 3);
  const pyramids = layers.map(([kind]) => new Pyramid(grid, extentLayer(map, block, kind)));
  const colors = layers.map(([, swatch]) => rgbOf(swatch, "light"));
  const zero = rgbOf("zero", "light");
  for (let y = 0; y * tileSide < height; y++) {
    for (let x = 0; x * tileSide < width; x++) {
      const whole = wholeTile(grid, level, x, y);
      const planes: Uint8Array[] = [];
      for (const pyramid of pyramids) planes.push(shares(await pyramid.tile(level, x, y), whole));
      for (let row = y * tileSide; row < Math.min(height, (y + 1) * tileSide); row++) {
        for (let column = x * tileSide; column < Math.min(width, (x + 1) * tileSide); column++) {
          const cell = (row - y * tileSide) * tileSide + column - x * tileSide;
          const color = whole[cell] === 0 ? ground : mix(zero, planes, colors, cell);
          pixels.set(color, (row * width + column) * 3);
        }
      }
    }
  }
  return { width, height, pixels };
}

function mix(zero: Rgb, planes: readonly Uint8Array[], colors: readonly Rgb[], cell: number): Rgb {
  let [red, green, blue] = zero;
  for (const [k, plane] of planes.entries()) {
    const weight = weightOf((plane[cell] ?? 0) / 255);
    const [r, g, b] = colors[k] ?? zero;
    red += (r - red) * weight;
    green += (g - green) * weight;
    blue += (b - blue) * weight;
  }
  return [Math.round(red), Math.round(green), Math.round(blue)];
}
