/** Moves what is shown: at once under the hand, on a short way when it jumps. */
import { signal } from "@preact/signals";
import type { Spot } from "../../shared/address.ts";
import { type Place, placeOf } from "../../shared/grid.ts";
import { clamp, largestZoom, type Size, smallestZoom, type View, wholeView, zoomAt } from "../../shared/view.ts";
import { view, world } from "../state.ts";

const canvas = signal<Size>({ width: 1, height: 1 });
export const canvasSize = canvas;
let flight: { from: View; to: View; began: number; whole: boolean } | null = null;
const flightTime = 220;

export function setCanvas(size: Size): void {
  canvas.value = size;
}

/** What is shown now; all of the world where nothing else was said. */
export function viewNow(): View {
  return view.peek() ?? wholeView(world.peek(), canvas.peek());
}

function still(): boolean {
  return window.matchMedia("(prefers-reduced-motion: reduce)").matches;
}

/** Moves on along a flight. Returns whether it goes on. */
export function tween(): boolean {
  if (flight === null) return false;
  const { from, to, began, whole } = flight;
  const part = Math.min(1, (performance.now() - began) / flightTime);
  const eased = 1 - (1 - part) ** 3;
  const zoom = from.zoom * (to.zoom / from.zoom) ** eased;
  // So that the way over the ground is even on the screen, it follows the change of 1 / zoom.
  const along =
    Math.abs(to.zoom - from.zoom) < 1e-9 ? eased : (1 / from.zoom - 1 / zoom) / (1 / from.zoom - 1 / to.zoom);
  if (part >= 1) {
    flight = null;
    view.value = whole ? null : to;
    return false;
  }
  view.value = { zoom, x: from.x + (to.x - from.x) * along, y: from.y + (to.y - from.y) * along };
  return true;
}

function fly(to: View, whole = false): void {
  if (still()) {
    flight = null;
    view.value = whole ? null : to;
    return;
  }
  flight = { from: viewNow(), to, began: performance.now(), whole };
  view.value = { ...viewNow() };
}

export function moveBy(dx: number, dy: number): void {
  flight = null;
  const now = viewNow();
  view.value = clamp({ zoom: now.zoom, x: now.x + dx / now.zoom, y: now.y + dy / now.zoom }, world.peek());
}

/** Zooms around a place of the canvas; without one around its middle. */
export function zoomBy(factor: number, atX?: number, atY?: number, slowly = false): void {
  const size = canvas.peek();
  const from = flight !== null && slowly ? flight.to : viewNow();
  const least = smallestZoom(world.peek(), size);
  const next = clamp(zoomAt(from, size, factor, atX ?? size.width / 2, atY ?? size.height / 2, least), world.peek());
  if (slowly) fly(next);
  else {
    flight = null;
    view.value = next;
  }
}

export function showAll(): void {
  fly(wholeView(world.peek(), canvas.peek()), true);
}

const place: Place = { x: 0, y: 0 };

/** Brings a byte's page into the middle, near enough to be seen as a page. */
export function showSpot({ block, offset }: Spot, zoom?: number): void {
  const plot = world.peek().plots.find((each) => each.block.index === block);
  if (plot === undefined) return;
  placeOf(plot.grid, Math.floor(offset / plot.block.pageSize), place);
  const wanted = zoom ?? Math.max(viewNow().zoom, 12);
  fly({ zoom: Math.min(largestZoom, wanted), x: plot.x + place.x + 0.5, y: plot.y + place.y + 0.5 });
}

/** Moves only if the page is not on the canvas. */
export function keepInSight({ block, offset }: Spot): void {
  const plot = world.peek().plots.find((each) => each.block.index === block);
  if (plot === undefined) return;
  placeOf(plot.grid, Math.floor(offset / plot.block.pageSize), place);
  const now = viewNow();
  const size = canvas.peek();
  const x = (plot.x + place.x + 0.5 - now.x) * now.zoom + size.width / 2;
  const y = (plot.y + place.y + 0.5 - now.y) * now.zoom + size.height / 2;
  const edge = 40;
  if (x > edge && y > edge && x < size.width - edge && y < size.height - edge) return;
  fly({ zoom: now.zoom, x: plot.x + place.x + 0.5, y: plot.y + place.y + 0.5 });
}
