/**
 * Where a page lies on the map: a block is a rectangle of cells, one a page. Both sides of the viewer count with this.
 *
 * `rows`: like text, `width` pages a row. `hilbert`: along Hilbert's curve, so that pages near in memory are near on the map.
 * At level z a cell stands for 2^z x 2^z places; on the curve these are 4^z pages one after the other.
 */
export type Order = "rows" | "hilbert";

export const orders: readonly Order[] = ["rows", "hilbert"];

/** Cells of a tile in each direction. */
export const tileSide = 256;
export const tileCells = tileSide * tileSide;

export interface Grid {
  readonly order: Order;
  readonly pages: number;
  /** Cells of level 0. Both powers of two. */
  readonly width: number;
  readonly height: number;
  /** Side of a curve; there are width / square of them side by side. Of rows: the width. */
  readonly square: number;
  /** The highest level: there is no coarser picture. */
  readonly top: number;
}

export interface Place {
  x: number;
  y: number;
}

/** @param pages at least 1 */
export function gridOf(pages: number, order: Order): Grid {
  let side = 1;
  let top = 0;
  while (side * side * 4 <= pages) {
    side *= 2;
    top++;
  }
  const squares = Math.ceil(pages / (side * side));
  const width = squares === 1 ? side : side * 2;
  const height = squares <= 2 ? side : side * 2;
  const large = squares > 2;
  return { order, pages, width, height, square: large || order === "rows" ? width : side, top: large ? top + 1 : top };
}

/** Rows that hold pages: of rows the last ones may be empty. */
export function usedHeight(grid: Grid): number {
  return grid.order === "rows" ? Math.ceil(grid.pages / grid.width) : grid.height;
}

/** The cell of a page at level 0. */
export function placeOf(grid: Grid, page: number, into: Place): Place {
  if (grid.order === "rows") {
    into.y = Math.floor(page / grid.width);
    into.x = page - into.y * grid.width;
    return into;
  }
  const area = grid.square * grid.square;
  const square = Math.floor(page / area);
  curvePlace(grid.square, page - square * area, into);
  into.x += square * grid.square;
  return into;
}

/** The page at a cell of level 0; -1 where there is none. */
export function pageAt(grid: Grid, x: number, y: number): number {
  if (x < 0 || y < 0 || x >= grid.width || y >= grid.height) return -1;
  let page: number;
  if (grid.order === "rows") page = y * grid.width + x;
  else {
    const square = Math.floor(x / grid.square);
    page = square * grid.square * grid.square + curveIndex(grid.square, x - square * grid.square, y);
  }
  return page < grid.pages ? page : -1;
}

/**
 * The pages that a cell of a level stands for: the first and how many; of rows the first of 2^level rows that lie `width` apart.
 * Null where there are none.
 */
export function cellPages(grid: Grid, level: number, x: number, y: number): { first: number; count: number } | null {
  const side = 2 ** level;
  if (grid.order === "rows") {
    const first = pageAt(grid, x * side, y * side);
    return first < 0 ? null : { first, count: Math.min(side, grid.pages - first) };
  }
  if (x < 0 || y < 0 || x * side >= grid.width || y * side >= grid.height) return null;
  const cells = grid.square / side;
  const square = Math.floor(x / cells);
  const index = curveIndex(cells, x - square * cells, y);
  const first = square * grid.square * grid.square + index * side * side;
  return first >= grid.pages ? null : { first, count: Math.min(side * side, grid.pages - first) };
}

/** Index on a curve of side x side cells to a cell; both begin at the top left, the curve ends at the top right. */
export function curvePlace(side: number, index: number, into: Place): Place {
  let x = 0;
  let y = 0;
  let rest = index;
  for (let s = 1; s < side; s *= 2) {
    const quarter = rest % 4;
    const right = quarter >= 2 ? 1 : 0;
    const down = quarter === 1 || quarter === 2 ? 1 : 0;
    if (down === 0) {
      if (right === 1) {
        x = s - 1 - x;
        y = s - 1 - y;
      }
      const swap = x;
      x = y;
      y = swap;
    }
    x += s * right;
    y += s * down;
    rest = Math.floor(rest / 4);
  }
  into.x = x;
  into.y = y;
  return into;
}

/** The reverse of {@link curvePlace}. */
export function curveIndex(side: number, atX: number, atY: number): number {
  let x = atX;
  let y = atY;
  let index = 0;
  for (let s = side / 2; s >= 1; s /= 2) {
    const right = x >= s ? 1 : 0;
    const down = y >= s ? 1 : 0;
    index = index * 4 + (right === 0 ? down : 3 - down);
    x -= s * right;
    y -= s * down;
    if (down === 0) {
      if (right === 1) {
        x = s - 1 - x;
        y = s - 1 - y;
      }
      const swap = x;
      x = y;
      y = swap;
    }
  }
  return index;
}
