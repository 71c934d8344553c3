import { cellPages } from "../../shared/grid.ts";
import { hex } from "../../shared/units.ts";
import type { Plot } from "../../shared/world.ts";
import { type Ink, label } from "./ink.ts";
import { type Box, boxOf, type Scene } from "./scene.ts";

/** CSS pixels between two marks, at least. */
const apart = 46;
/** Blocks lower than this have no ruler. */
const leastHeight = 90;
/** CSS pixels of a character of `font`. */
const letter = 6.4;
/** A mark, what lies between it and its address, and air behind that. */
const aside = 14;
/** Blocks narrower than this have room for one address in them, not for two. */
const roomForTwo = 270;
const font = "10.5px ui-monospace, 'DejaVu Sans Mono', Menlo, Consolas, monospace";

interface Shown {
  readonly plot: Plot;
  readonly box: Box;
}

/** Offsets in the block at its left, guest-physical addresses at its right; on a curve at the corner of each square. */
export function drawRulers(context: CanvasRenderingContext2D, scene: Scene, visible: readonly Shown[], ink: Ink): void {
  for (const { plot, box } of visible) {
    if (!hasRuler(box)) continue;
    if (plot.grid.order === "rows") rowRuler(context, scene, plot, box, ink);
    else squareMarks(context, scene, plot, box, ink);
  }
}

/** Whether a block is large enough for a ruler. */
export function hasRuler({ width, height }: Box): boolean {
  return height >= leastHeight && width >= 60;
}

function rowRuler(context: CanvasRenderingContext2D, scene: Scene, plot: Plot, box: Box, ink: Ink): void {
  const { view, canvas } = scene;
  const { block, grid } = plot;
  let step = 1;
  while (step * view.zoom < apart) step *= 2;
  const first = Math.max(0, Math.floor(-box.top / view.zoom / step) * step);
  const left = Math.max(box.left, 0);
  const right = Math.min(box.left + box.width, canvas.width);
  const room = hasRoomLeft(scene, plot, box);
  const roomRight = canvas.width - right >= roomRightOf(scene, plot) && hasRoomRight(scene, plot, right);
  for (let row = first; row < plot.height; row += step) {
    const y = box.top + row * view.zoom;
    if (y > canvas.height - 8) break;
    if (y < 18) continue;
    const offset = row * grid.width * block.pageSize;
    const physical = scene.physicalOf({ block: block.index, offset });
    context.strokeStyle = ink.line;
    context.lineWidth = 1;
    context.beginPath();
    if (room) {
      context.moveTo(left - 6, Math.round(y) + 0.5);
      context.lineTo(left - 1, Math.round(y) + 0.5);
    }
    if (roomRight && physical !== null) {
      context.moveTo(right + 1, Math.round(y) + 0.5);
      context.lineTo(right + 6, Math.round(y) + 0.5);
    }
    context.stroke();
    const style = { color: ink.faint, font, ground: ink.veil, limit: 150 };
    if (room) label(context, hex(offset), left - 9, y + 4, { ...style, ground: null, align: "right" });
    else label(context, hex(offset), left + 8, y + 14, style);
    if (physical === null) continue;
    if (roomRight) label(context, hex(physical), right + 9, y + 4, { ...style, ground: null });
    else if (physical !== offset && (room || right - left >= roomForTwo))
      label(context, `gpa ${hex(physical)}`, right - 8, y + 14, { ...style, align: "right" });
  }
  if (room)
    label(context, "offset", left - 9, Math.max(14, box.top - 10), {
      color: ink.faint,
      font,
      ground: null,
      limit: 80,
      align: "right",
    });
}

/** Room that a block's offsets take at its left. */
function roomLeftOf({ block }: Plot): number {
  return hex(block.length).length * letter + aside;
}

/** Room that its physical addresses take at its right. */
function roomRightOf(scene: Scene, { block }: Plot): number {
  const last = scene.physicalOf({ block: block.index, offset: block.length - 1 });
  return hex(last ?? 0).length * letter + aside;
}

/** Whether a block's offsets have a place at its left: no other block reaches there. */
function hasRoomLeft(scene: Scene, plot: Plot, box: Box): boolean {
  const room = roomLeftOf(plot);
  if (box.left < room) return false;
  return scene.world.plots.every((other) => {
    if (other.x >= plot.x) return true;
    const { left, width } = boxOf(scene, other);
    return left + width + room <= box.left;
  });
}

/** Whether its addresses have one at its right, beside what stands at the left of the next block. */
function hasRoomRight(scene: Scene, plot: Plot, right: number): boolean {
  const room = roomRightOf(scene, plot);
  return scene.world.plots.every((other) => {
    if (other.x <= plot.x) return true;
    const box = boxOf(scene, other);
    return box.left - (hasRuler(box) ? roomLeftOf(other) : 0) >= right + room;
  });
}

/** On a curve, an aligned square is a run of pages: its first page's place is written into its corner. */
function squareMarks(context: CanvasRenderingContext2D, scene: Scene, plot: Plot, box: Box, ink: Ink): void {
  const { view, canvas } = scene;
  const { grid, block } = plot;
  let level = 0;
  while (2 ** level * view.zoom < 130 && 2 ** level < grid.square) level++;
  const side = 2 ** level;
  const step = side * view.zoom;
  const endX = Math.min(grid.width / side, Math.ceil((canvas.width - box.left) / step));
  const endY = Math.min(grid.height / side, Math.ceil((canvas.height - box.top) / step));
  for (let y = Math.max(0, Math.floor(-box.top / step)); y < endY; y++) {
    for (let x = Math.max(0, Math.floor(-box.left / step)); x < endX; x++) {
      const cell = cellPages(grid, level, x, y);
      if (cell === null) continue;
      const left = box.left + x * step;
      const top = box.top + y * step;
      context.strokeStyle = ink.line;
      context.lineWidth = 1;
      context.strokeRect(Math.round(left) + 0.5, Math.round(top) + 0.5, step, step);
      if (step < 100) continue;
      const offset = cell.first * block.pageSize;
      const style = { color: ink.text, font, ground: ink.veil, limit: step - 16 };
      label(context, `+${hex(offset)}`, left + 8, top + 17, style);
      const physical = scene.physicalOf({ block: block.index, offset });
      if (physical === null || physical === offset) continue;
      const words = `gpa ${hex(physical)}`;
      if (words.length * letter <= style.limit)
        label(context, words, left + 8, top + 34, { ...style, color: ink.faint });
    }
  }
}
