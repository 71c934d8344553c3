import { effect } from "@preact/signals";
import { useLayoutEffect, useRef } from "preact/hooks";
import { cellPages, tileSide } from "../../shared/grid.ts";
import { count, percent } from "../../shared/units.ts";
import { toWorld } from "../../shared/view.ts";
import { plotAt } from "../../shared/world.ts";
import { tellLive } from "../live/tell.ts";
import {
  damaged,
  found,
  type Hovered,
  hovered,
  look,
  notice,
  physicalOf,
  selected,
  showPane,
  theme,
  view,
  world,
} from "../state.ts";
import { moveBy, setCanvas, tween, viewNow, zoomBy } from "./camera.ts";
import { PagePictures } from "./pictures.ts";
import { drawScene, levelFor } from "./scene.ts";
import { tellCell } from "./tell.ts";
import { TileStore } from "./tiles.ts";

/** Milliseconds and frames since the last look: read by the tests that measure. */
export const frames = { drawn: 0, first: 0 };

let redraw: () => void = () => undefined;
export const tiles = new TileStore(
  () => redraw(),
  (error) => {
    notice.value = error.message;
  },
);
export const pictures = new PagePictures(() => redraw());

/** The map: one canvas, redrawn when something changed. */
export function MapView() {
  const canvasRef = useRef<HTMLCanvasElement>(null);
  // Before the first frame, so that the tiles are under way while it is painted.
  useLayoutEffect(() => {
    const canvas = canvasRef.current;
    if (canvas !== null) return runMap(canvas);
  }, []);
  return (
    <canvas
      ref={canvasRef}
      class="map"
      tabIndex={0}
      aria-label="Map of the guest's memory. Arrows move the selection, plus and minus zoom, Enter shows the page."
    />
  );
}

function runMap(canvas: HTMLCanvasElement): () => void {
  const context = canvas.getContext("2d", { alpha: false });
  if (context === null) return () => undefined;
  let asked = 0;
  const draw = () => {
    asked = 0;
    const size = { width: canvas.clientWidth, height: canvas.clientHeight };
    const ratio = window.devicePixelRatio;
    const now = viewNow();
    if (size.width === 0 || size.height === 0) return;
    drawScene(
      context,
      {
        ...{ world: world.peek(), view: now, canvas: size, ratio, look: look.peek(), theme: theme.peek() },
        selected: selected.peek(),
        hovered: hoveredCell(),
        ...{ found: found.peek(), damaged: damaged.peek() },
        physicalOf,
      },
      tiles,
      pictures,
    );
    frames.drawn++;
    if (frames.first === 0 && tiles.settled) {
      frames.first = performance.now();
      document.documentElement.dataset["drawn"] = String(Math.round(frames.first));
    }
    if (tween()) redraw();
    hoverAgain();
  };
  redraw = () => {
    if (asked === 0) asked = requestAnimationFrame(draw);
  };
  /** The map may have moved under the pointer, or what it stands on may have come. */
  const hoverAgain = () => {
    if (pointer === null) return;
    const [now, before] = [cellAt(canvas, pointer), hovered.peek()];
    if (JSON.stringify(now) !== JSON.stringify(before)) hovered.value = now;
  };
  const measure = () => {
    canvas.width = Math.round(canvas.clientWidth * window.devicePixelRatio);
    canvas.height = Math.round(canvas.clientHeight * window.devicePixelRatio);
    setCanvas({ width: canvas.clientWidth, height: canvas.clientHeight });
  };
  // Now, and not only when the observer comes: the first tiles to be asked for are those that are needed.
  measure();
  const resize = new ResizeObserver(() => {
    measure();
    if (asked !== 0) cancelAnimationFrame(asked);
    draw();
  });
  resize.observe(canvas);
  draw();
  const stop = effect(() => {
    for (const read of [world, view, look, theme, selected, hovered, found, damaged]) void read.value;
    redraw();
  });
  const release = gestures(canvas);
  return () => {
    stop();
    resize.disconnect();
    release();
  };
}

function hoveredCell() {
  const now = hovered.peek();
  return now === null ? null : { block: now.block.index, page: now.page, level: now.level };
}

/** Where the pointer rests on the canvas, in the window; null: it does not. */
let pointer: Point | null = null;

function leave(): void {
  pointer = null;
  hovered.value = null;
}

function gestures(canvas: HTMLCanvasElement): () => void {
  const ending = new AbortController();
  const { signal } = ending;
  const down = new Map<number, { x: number; y: number }>();
  let moved = 0;
  canvas.addEventListener(
    "wheel",
    (event) => {
      event.preventDefault();
      const { left, top } = canvas.getBoundingClientRect();
      const lines = event.deltaMode === 1 ? 33 : 1;
      if (event.shiftKey && !event.ctrlKey) moveBy((event.deltaX || event.deltaY) * lines, 0);
      else
        zoomBy(
          Math.exp(-event.deltaY * lines * (event.ctrlKey ? 0.01 : 0.0022)),
          event.clientX - left,
          event.clientY - top,
        );
    },
    { passive: false, signal },
  );
  canvas.addEventListener(
    "pointerdown",
    (event) => {
      if (event.button !== 0) return;
      canvas.setPointerCapture(event.pointerId);
      down.set(event.pointerId, { x: event.clientX, y: event.clientY });
      moved = 0;
    },
    { signal },
  );
  canvas.addEventListener(
    "pointermove",
    (event) => {
      const last = down.get(event.pointerId);
      if (last === undefined) {
        pointer = { x: event.clientX, y: event.clientY };
        hovered.value = cellAt(canvas, pointer);
        return;
      }
      const dx = event.clientX - last.x;
      const dy = event.clientY - last.y;
      moved += Math.abs(dx) + Math.abs(dy);
      const [other] = [...down].filter(([id]) => id !== event.pointerId).map(([, place]) => place);
      if (other !== undefined) pinch(canvas, last, event, other);
      else if (moved > 3) moveBy(-dx, -dy);
      down.set(event.pointerId, { x: event.clientX, y: event.clientY });
      if (moved > 3) leave();
      canvas.classList.toggle("moving", moved > 3);
    },
    { signal },
  );
  const up = (event: PointerEvent) => {
    const was = down.delete(event.pointerId);
    canvas.classList.remove("moving");
    if (!was || moved > 3 || event.type !== "pointerup") return;
    const cell = cellAt(canvas, { x: event.clientX, y: event.clientY });
    if (cell === null) return;
    selected.value = { block: cell.block.index, offset: cell.page * cell.block.pageSize };
    showPane("page");
  };
  for (const name of ["pointerup", "pointercancel"] as const) canvas.addEventListener(name, up, { signal });
  canvas.addEventListener("pointerleave", leave, { signal });
  canvas.addEventListener(
    "dblclick",
    (event) => {
      const { left, top } = canvas.getBoundingClientRect();
      zoomBy(event.shiftKey ? 0.25 : 4, event.clientX - left, event.clientY - top, true);
    },
    { signal },
  );
  return () => ending.abort();
}

interface Point {
  readonly x: number;
  readonly y: number;
}

/** Two fingers: the distance between them zooms. */
function pinch(canvas: HTMLCanvasElement, last: Point, event: PointerEvent, other: Point): void {
  const { left, top } = canvas.getBoundingClientRect();
  const before = Math.hypot(last.x - other.x, last.y - other.y);
  const after = Math.hypot(event.clientX - other.x, event.clientY - other.y);
  if (before > 0) zoomBy(after / before, (event.clientX + other.x) / 2 - left, (event.clientY + other.y) / 2 - top);
}

/** The cell under the pointer, and what it holds. */
function cellAt(canvas: HTMLCanvasElement, at: Point): Hovered | null {
  const { left, top } = canvas.getBoundingClientRect();
  const size = { width: canvas.clientWidth, height: canvas.clientHeight };
  const now = viewNow();
  const place = toWorld(now, size, at.x - left, at.y - top);
  const plot = plotAt(world.peek(), place.x, place.y);
  if (plot === null) return null;
  const level = levelFor(now, window.devicePixelRatio, plot.grid.top);
  const side = 2 ** level;
  const column = Math.floor((place.x - plot.x) / side);
  const row = Math.floor((place.y - plot.y) / side);
  const cell = cellPages(plot.grid, level, column, row);
  if (cell === null) return null;
  const planes = tiles.planes(plot, level, Math.floor(column / tileSide), Math.floor(row / tileSide), look.peek());
  const index = (row % tileSide) * tileSide + (column % tileSide);
  const whole = plot.grid.order === "rows" ? cell.count * Math.min(side, plot.height - row * side) : cell.count;
  const told = () => {
    const now = look.peek();
    if (now.moment !== null) return tellLive(now.moment, plot, cell.first, cell.count, level);
    return planes === null ? "" : tellCell(planes, index, whole, now, { count, percent });
  };
  return {
    block: plot.block,
    page: cell.first,
    pages: cell.count,
    level,
    x: at.x - left,
    y: at.y - top,
    tells: told(),
  };
}
