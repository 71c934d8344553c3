import type { Spot } from "../../shared/address.ts";
import { cellPages, type Place, placeOf, tileSide } from "../../shared/grid.ts";
import { swatches, type Theme } from "../../shared/palette.ts";
import type { Size, View } from "../../shared/view.ts";
import type { Plot, World } from "../../shared/world.ts";
import { type Ink, inks, label } from "./ink.ts";
import type { Look } from "./paint.ts";
import type { PagePictures } from "./pictures.ts";
import { drawRulers, hasRuler } from "./rulers.ts";
import type { TileStore } from "./tiles.ts";

export interface Scene {
  readonly world: World;
  readonly view: View;
  readonly canvas: Size;
  /** Device pixels in a CSS pixel. */
  readonly ratio: number;
  readonly look: Look;
  readonly theme: Theme;
  readonly selected: Spot | null;
  readonly hovered: { readonly block: number; readonly page: number; readonly level: number } | null;
  /** Pages to be marked, such as what a search found: block to page indices. */
  readonly found: ReadonlyMap<number, readonly number[]>;
  /** Pages that a check found damaged. */
  readonly damaged: ReadonlyMap<number, readonly number[]>;
  readonly physicalOf: (spot: Spot) => number | null;
}

/** A rectangle on the canvas, CSS pixels. */
export interface Box {
  readonly left: number;
  readonly top: number;
  readonly width: number;
  readonly height: number;
}

/** CSS pixels from which on a page's own bytes are drawn in its cell. */
const bytesFrom = 72;
const gridFrom = 9;
/** More marks than these are dots while pages are small. */
const mostRings = 60;

export function levelFor(view: View, ratio: number, top: number): number {
  return Math.max(0, Math.min(top, Math.ceil(-Math.log2(view.zoom * ratio))));
}

export function boxOf({ view, canvas }: Pick<Scene, "view" | "canvas">, plot: Plot): Box {
  return {
    left: (plot.x - view.x) * view.zoom + canvas.width / 2,
    top: (plot.y - view.y) * view.zoom + canvas.height / 2,
    width: plot.width * view.zoom,
    height: plot.height * view.zoom,
  };
}

function onCanvas(box: Box, canvas: Size): boolean {
  return box.left < canvas.width && box.top < canvas.height && box.left + box.width > 0 && box.top + box.height > 0;
}

/** Draws everything once. Costs what is on the canvas, not what is in the world. */
export function drawScene(
  context: CanvasRenderingContext2D,
  scene: Scene,
  tiles: TileStore,
  pages: PagePictures,
): void {
  const { canvas, ratio, theme } = scene;
  const ink = inks[theme];
  context.setTransform(ratio, 0, 0, ratio, 0, 0);
  context.fillStyle = ink.ground;
  context.fillRect(0, 0, canvas.width, canvas.height);
  tiles.begin();
  const visible: { plot: Plot; box: Box }[] = [];
  for (const plot of scene.world.plots) {
    const box = boxOf(scene, plot);
    if (onCanvas(box, canvas)) visible.push({ plot, box });
  }
  for (const { plot, box } of visible) drawPlot(context, scene, plot, box, tiles, ink);
  if (scene.view.zoom >= bytesFrom) for (const { plot, box } of visible) drawBytes(context, scene, plot, box, pages);
  for (const { plot, box } of visible) drawMarks(context, scene, plot, box, ink);
  const room = scene.world.gap * scene.view.zoom;
  for (const { plot, box } of visible) drawName(context, plot, box, ink, canvas, room);
  drawRulers(context, scene, visible, ink);
  tiles.end();
}

function drawPlot(
  context: CanvasRenderingContext2D,
  scene: Scene,
  plot: Plot,
  box: Box,
  tiles: TileStore,
  ink: Ink,
): void {
  const tiny = Math.max(box.width, box.height) < 3;
  const { zero, data } = swatches;
  context.fillStyle = tiny ? (plot.block.present > 0 ? data : zero)[scene.theme] : ink.block;
  context.fillRect(
    box.left,
    box.top,
    tiny ? Math.max(1, box.width) : box.width,
    tiny ? Math.max(1, box.height) : box.height,
  );
  if (tiny) return;
  const { view, canvas, ratio, look } = scene;
  const level = levelFor(view, ratio, plot.grid.top);
  const side = tileSide * 2 ** level * view.zoom;
  context.save();
  context.beginPath();
  context.rect(box.left, box.top, box.width, box.height);
  context.clip();
  context.imageSmoothingEnabled = 2 ** level * view.zoom * ratio < 2.5;
  const firstX = Math.max(0, Math.floor(-box.left / side));
  const firstY = Math.max(0, Math.floor(-box.top / side));
  const endX = Math.min(Math.ceil(box.width / side), Math.ceil((canvas.width - box.left) / side));
  const endY = Math.min(Math.ceil(box.height / side), Math.ceil((canvas.height - box.top) / side));
  for (let y = firstY; y < endY; y++) {
    for (let x = firstX; x < endX; x++) {
      const left = box.left + x * side;
      const top = box.top + y * side;
      const rank = Math.hypot(left + side / 2 - canvas.width / 2, top + side / 2 - canvas.height / 2);
      const picture = tiles.picture(plot, level, x, y, look, rank);
      if (picture !== null) context.drawImage(picture, left, top, side, side);
      else drawCoarser(context, plot, level, x, y, left, top, side, tiles, look);
    }
  }
  context.restore();
  if (view.zoom >= gridFrom) drawGrid(context, scene, box, ink);
}

let standIn: Look | null = null;

/** While the tiles of a mode are made, those of the state that are here already. */
function instead({ theme, trust, side }: Look): Look {
  if (standIn?.theme !== theme || standIn.side !== side)
    standIn = { side, mode: "state", theme, hidden: new Set(), trust, moment: null };
  return standIn;
}

/** What stands in for a tile that is still on its way: a part of the nearest coarser one. */
function drawCoarser(
  context: CanvasRenderingContext2D,
  plot: Plot,
  level: number,
  x: number,
  y: number,
  left: number,
  top: number,
  side: number,
  tiles: TileStore,
  look: Look,
): void {
  for (let up = level + 1; up <= plot.grid.top; up++) {
    const parts = 2 ** (up - level);
    const picture = tiles.picture(plot, up, Math.floor(x / parts), Math.floor(y / parts), look, null);
    if (picture === null) continue;
    const part = tileSide / parts;
    context.drawImage(picture, (x % parts) * part, (y % parts) * part, part, part, left, top, side, side);
    return;
  }
  if (look.mode === "state") return;
  const picture = tiles.picture(plot, level, x, y, instead(look), null);
  if (picture !== null) context.drawImage(picture, left, top, side, side);
}

function drawGrid(context: CanvasRenderingContext2D, { view, canvas }: Scene, box: Box, ink: Ink): void {
  const step = view.zoom;
  context.strokeStyle = ink.ground;
  context.lineWidth = Math.min(2, step / 12);
  context.beginPath();
  const right = Math.min(canvas.width, box.left + box.width);
  const bottom = Math.min(canvas.height, box.top + box.height);
  for (let x = box.left + Math.max(0, Math.floor(-box.left / step)) * step; x <= right + 1; x += step) {
    context.moveTo(x, Math.max(0, box.top));
    context.lineTo(x, bottom);
  }
  for (let y = box.top + Math.max(0, Math.floor(-box.top / step)) * step; y <= bottom + 1; y += step) {
    context.moveTo(Math.max(0, box.left), y);
    context.lineTo(right, y);
  }
  context.stroke();
}

/** The bytes of each page in its cell, 64 x 64 dots of a page of 4 KiB. */
function drawBytes(context: CanvasRenderingContext2D, scene: Scene, plot: Plot, box: Box, pages: PagePictures): void {
  const { view, canvas } = scene;
  const inset = Math.min(2, view.zoom / 24);
  const endX = Math.min(plot.width, Math.ceil((canvas.width - box.left) / view.zoom));
  const endY = Math.min(plot.height, Math.ceil((canvas.height - box.top) / view.zoom));
  context.imageSmoothingEnabled = view.zoom < 130;
  for (let y = Math.max(0, Math.floor(-box.top / view.zoom)); y < endY; y++) {
    for (let x = Math.max(0, Math.floor(-box.left / view.zoom)); x < endX; x++) {
      const cell = cellPages(plot.grid, 0, x, y);
      if (cell === null) continue;
      const picture = pages.picture(plot.block, cell.first, scene.theme);
      const left = box.left + x * view.zoom + inset;
      const top = box.top + y * view.zoom + inset;
      const side = view.zoom - 2 * inset;
      if (picture !== null) context.drawImage(picture, left, top, side, side);
    }
  }
  context.imageSmoothingEnabled = true;
}

const place: Place = { x: 0, y: 0 };

function drawMarks(context: CanvasRenderingContext2D, scene: Scene, plot: Plot, box: Box, ink: Ink): void {
  const { view, selected, hovered, damaged, found, theme } = scene;
  drawPages(context, scene, plot, box, damaged.get(plot.block.index) ?? [], swatches.damaged[theme]);
  drawPages(context, scene, plot, box, found.get(plot.block.index) ?? [], ink.found);
  if (hovered !== null && hovered.block === plot.block.index) {
    const side = 2 ** hovered.level;
    placeOf(plot.grid, hovered.page, place);
    const x = Math.floor(place.x / side) * side;
    const y = Math.floor(place.y / side) * side;
    ring(context, box.left + x * view.zoom, box.top + y * view.zoom, side * view.zoom, ink.hover, ink.halo, 0);
  }
  if (selected !== null && selected.block === plot.block.index) {
    placeOf(plot.grid, Math.floor(selected.offset / plot.block.pageSize), place);
    const least = Math.max(9, view.zoom);
    const x = box.left + (place.x + 0.5) * view.zoom - least / 2;
    const y = box.top + (place.y + 0.5) * view.zoom - least / 2;
    ring(context, x, y, least, ink.select, ink.halo, 0);
  }
}

/** Marks pages: rings, or dots where there are many and they are small. */
function drawPages(
  context: CanvasRenderingContext2D,
  { view, canvas, theme }: Scene,
  plot: Plot,
  box: Box,
  pages: readonly number[],
  color: string,
): void {
  const { halo } = inks[theme];
  for (const page of pages) {
    placeOf(plot.grid, page, place);
    const x = box.left + (place.x + 0.5) * view.zoom;
    const y = box.top + (place.y + 0.5) * view.zoom;
    if (x < -view.zoom || y < -view.zoom || x > canvas.width + view.zoom || y > canvas.height + view.zoom) continue;
    if (pages.length > mostRings && view.zoom < gridFrom) {
      dot(context, x, y, color, halo);
      continue;
    }
    const radius = Math.max(4, view.zoom * 0.62);
    ring(context, x - radius, y - radius, 2 * radius, color, halo, radius);
  }
}

function dot(context: CanvasRenderingContext2D, x: number, y: number, color: string, halo: string): void {
  context.fillStyle = halo;
  context.fillRect(x - 3.5, y - 3.5, 7, 7);
  context.fillStyle = color;
  context.fillRect(x - 2.5, y - 2.5, 5, 5);
}

function ring(
  context: CanvasRenderingContext2D,
  left: number,
  top: number,
  side: number,
  color: string,
  halo: string,
  radius: number,
): void {
  const least = Math.max(5, side);
  const shift = (least - side) / 2;
  for (const [style, width] of [
    [halo, 4],
    [color, 2],
  ] as const) {
    context.strokeStyle = style;
    context.lineWidth = width;
    context.beginPath();
    context.roundRect(left - shift - 1, top - shift - 1, least + 2, least + 2, radius === 0 ? 2 : radius);
    context.stroke();
  }
}

/** The block's name above it, where there is room for it. */
function drawName(context: CanvasRenderingContext2D, plot: Plot, box: Box, ink: Ink, canvas: Size, room: number): void {
  if (box.height + room < 15 || box.height < 0.5) return;
  // Beside a block with a ruler stand addresses.
  const large = box.width >= 150 || hasRuler(box);
  const x = Math.max(6, box.left);
  const name = plot.block.label === "" ? "(no name)" : plot.block.label;
  if (large) {
    const y = Math.max(16, box.top - 9);
    label(context, name, x, y, {
      color: ink.text,
      font: "600 12.5px system-ui, sans-serif",
      ground: ink.veil,
      limit: 260,
    });
    return;
  }
  // A small block has its name beside it, if that does not run into what follows.
  const y = Math.max(4, Math.min(box.top + box.height, canvas.height)) - Math.min(box.height, canvas.height) / 2 + 4;
  label(context, name, box.left + box.width + 8, y, {
    ...{ color: ink.faint, font: "11px system-ui, sans-serif", ground: null },
    limit: Math.max(60, canvas.width - box.left - box.width - 16),
  });
}
