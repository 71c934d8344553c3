import { cellPages, curvePlace, type Grid, tileCells, tileSide } from "../shared/grid.ts";
import { shareByte } from "../shared/share.ts";
import type { Layer } from "./layer.ts";

/** Cells of the finest level that is kept; 4 MiB. Finer tiles are counted when they are asked for. */
const mostKept = 2 ** 20;
/** Pages counted before others get their turn. */
const pagesAtOnce = 2 ** 23;

/**
 * Pictures of a layer at every level, as tiles of 256 x 256 cells; each is how many pages of the cell belong to the layer. One
 * pass over the runs makes a level of at most 2^20 cells, from which the coarser ones are summed up; a finer tile costs a
 * look at its own pages' runs. Memory: 4 MiB, whatever the block's size.
 */
export class Pyramid {
  readonly grid: Grid;
  readonly #layer: Layer;
  /** The level that is kept. 0: none is, every tile is counted. */
  readonly kept: number;
  #base: Promise<Uint32Array> | null = null;

  constructor(grid: Grid, layer: Layer) {
    this.grid = grid;
    this.#layer = layer;
    let level = 0;
    while ((grid.width / 2 ** level) * (grid.height / 2 ** level) > mostKept) level++;
    this.kept = level;
  }

  /** Pages of the layer in each cell of a tile, row by row. */
  async tile(level: number, x: number, y: number): Promise<Uint32Array> {
    if (this.kept === 0 || level < this.kept) return countTile(this.grid, this.#layer, level, x, y);
    this.#base ??= this.#count();
    return this.#sum(await this.#base, level, x, y);
  }

  /** Every cell of the kept level. */
  async #count(): Promise<Uint32Array> {
    const { grid, kept } = this;
    const width = grid.width / 2 ** kept;
    const cells = new Uint32Array(width * (grid.height / 2 ** kept));
    const visit: CellVisitor = (cell, _page, count) => {
      cells[cell] = (cells[cell] ?? 0) + count;
    };
    const frame = { level: kept, x: 0, y: 0, width, height: grid.height / 2 ** kept };
    const add = grid.order === "rows" ? alongRows(grid, frame, visit) : alongCurve(grid, frame, visit);
    for (let first = 0; first < grid.pages; first += pagesAtOnce) {
      this.#layer.runs(first, Math.min(grid.pages, first + pagesAtOnce), add);
      await new Promise((resolve) => setImmediate(resolve));
    }
    return cells;
  }

  #sum(base: Uint32Array, level: number, x: number, y: number): Uint32Array {
    const { grid, kept } = this;
    const counts = new Uint32Array(tileCells);
    const width = grid.width / 2 ** kept;
    const height = grid.height / 2 ** kept;
    const side = 2 ** (level - kept);
    const fromX = x * tileSide * side;
    const fromY = y * tileSide * side;
    const endX = Math.min(width, fromX + tileSide * side);
    const endY = Math.min(height, fromY + tileSide * side);
    for (let row = fromY; row < endY; row++) {
      const into = Math.floor((row - fromY) / side) * tileSide;
      for (let column = fromX; column < endX; column++) {
        const cell = into + Math.floor((column - fromX) / side);
        counts[cell] = (counts[cell] ?? 0) + (base[row * width + column] ?? 0);
      }
    }
    return counts;
  }
}

/** Told of pages [page, page + count) in a cell; `cell` counts row by row. */
export type CellVisitor = (cell: number, page: number, count: number) => void;

/** Cells of a level, the first at (x, y). */
interface Frame {
  readonly level: number;
  readonly x: number;
  readonly y: number;
  readonly width: number;
  readonly height: number;
}

type Run = (first: number, count: number) => void;

/** Takes a run of pages apart into cells of rows; what lies outside the frame is left out. */
function alongRows(grid: Grid, { level, x, y, width, height }: Frame, visit: CellVisitor): Run {
  const side = 2 ** level;
  return (first, count) => {
    const end = first + count;
    for (let page = first; page < end; ) {
      const row = Math.floor(page / grid.width);
      const start = row * grid.width;
      const stop = Math.min(end, start + grid.width);
      const down = Math.floor(row / side) - y;
      if (down >= 0 && down < height) {
        for (let column = page - start; column < stop - start; ) {
          const right = Math.floor(column / side);
          const next = Math.min(stop - start, (right + 1) * side);
          if (right >= x && right < x + width) visit(down * width + right - x, start + column, next - column);
          column = next;
        }
      }
      page = stop;
    }
  };
}

/** The same for a curve; the run must lie inside the frame. */
function alongCurve(grid: Grid, { level, x, y, width }: Frame, visit: CellVisitor): Run {
  const area = 4 ** level;
  const cells = grid.square / 2 ** level;
  const perSquare = cells * cells;
  const place = { x: 0, y: 0 };
  return (first, count) => {
    const end = first + count;
    for (let page = first; page < end; ) {
      const index = Math.floor(page / area);
      const stop = Math.min(end, (index + 1) * area);
      const square = Math.floor(index / perSquare);
      curvePlace(cells, index - square * perSquare, place);
      visit((place.y - y) * width + place.x + square * cells - x, page, stop - page);
      page = stop;
    }
  };
}

/** Goes through a layer's pages in one tile, cell by cell, from the runs of the tile's own pages. */
export function visitTile(grid: Grid, layer: Layer, level: number, x: number, y: number, visit: CellVisitor): void {
  const frame = { level, x: x * tileSide, y: y * tileSide, width: tileSide, height: tileSide };
  if (grid.order === "hilbert") visitCurve(grid, layer, frame, visit);
  else visitRows(grid, layer, frame, visit);
}

function visitRows(grid: Grid, layer: Layer, frame: Frame, visit: CellVisitor): void {
  const side = 2 ** frame.level;
  const run = alongRows(grid, frame, visit);
  const left = frame.x * side;
  const right = Math.min(grid.width, left + tileSide * side);
  const above = frame.y * side;
  const below = Math.min(grid.height, above + tileSide * side);
  if (left >= right) return;
  if (left === 0 && right === grid.width) {
    layer.runs(Math.min(grid.pages, above * grid.width), Math.min(grid.pages, below * grid.width), run);
    return;
  }
  for (let row = above; row < below && row * grid.width + left < grid.pages; row++)
    layer.runs(row * grid.width + left, Math.min(grid.pages, row * grid.width + right), run);
}

/** A tile of a curve that is no larger than its square is one run of pages. */
function visitCurve(grid: Grid, layer: Layer, frame: Frame, visit: CellVisitor): void {
  const cells = grid.square / 2 ** frame.level;
  const run = alongCurve(grid, frame, visit);
  if (cells < tileSide) {
    if (frame.x === 0 && frame.y === 0) layer.runs(0, grid.pages, run);
    return;
  }
  const tile = cellPages(grid, frame.level + Math.log2(tileSide), frame.x / tileSide, frame.y / tileSide);
  if (tile !== null) layer.runs(tile.first, tile.first + tile.count, run);
}

function countTile(grid: Grid, layer: Layer, level: number, x: number, y: number): Uint32Array {
  const counts = new Uint32Array(tileCells);
  visitTile(grid, layer, level, x, y, (cell, _page, count) => {
    counts[cell] = (counts[cell] ?? 0) + count;
  });
  return counts;
}

const wholeLayer: Layer = {
  runs: (first, end, visit) => {
    if (end > first) visit(first, end - first);
  },
};

/** Whether every place of a tile has a page. */
function isFull(grid: Grid, level: number, x: number, y: number): boolean {
  const side = 2 ** level * tileSide;
  if ((x + 1) * side > grid.width || (y + 1) * side > grid.height) return false;
  if (grid.order === "rows") return (y + 1) * side * grid.width <= grid.pages;
  if (grid.square < side) return grid.pages === grid.width * grid.height;
  const tile = cellPages(grid, level + Math.log2(tileSide), x, y);
  return tile?.count === side * side;
}

/** Pages in each cell of a tile, whatever they hold: what shares are shares of. */
export function wholeTile(grid: Grid, level: number, x: number, y: number): Uint32Array {
  if (isFull(grid, level, x, y)) return new Uint32Array(tileCells).fill(4 ** level);
  return countTile(grid, wholeLayer, level, x, y);
}

/** Counts as bytes: 0 none, 255 all, in between the share. */
export function shares(counts: Uint32Array, whole: Uint32Array): Uint8Array {
  const bytes = new Uint8Array(counts.length);
  for (let i = 0; i < counts.length; i++) {
    const count = counts[i] ?? 0;
    if (count > 0) bytes[i] = shareByte(count, whole[i] ?? 0);
  }
  return bytes;
}
