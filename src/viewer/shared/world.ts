import { type Grid, gridOf, type Order, usedHeight } from "./grid.ts";
import type { ViewBlock } from "./protocol.ts";

/** A block's place in the world, whose unit is a page's cell: a page is as large in every block. */
export interface Plot {
  readonly block: ViewBlock;
  readonly grid: Grid;
  readonly x: number;
  readonly y: number;
  readonly width: number;
  readonly height: number;
}

export interface World {
  readonly order: Order;
  readonly plots: readonly Plot[];
  /** Cells between two blocks that stand one above the other. */
  readonly gap: number;
  readonly width: number;
  readonly height: number;
}

/** The largest block at the left, the others beside it in columns, largest first. */
export function worldOf(blocks: readonly ViewBlock[], order: Order): World {
  const sorted = blocks.filter(({ pages }) => pages > 0).sort((a, b) => b.pages - a.pages || a.index - b.index);
  const grids = sorted.map((block) => gridOf(block.pages, order));
  const tallest = Math.max(1, ...grids.slice(0, 1).map(usedHeight));
  const total = grids.reduce((sum, grid) => sum + grid.width * usedHeight(grid), 0);
  const limit = Math.max(tallest, Math.sqrt(total / 2));
  const gap = Math.max(2, Math.round(tallest / 22));
  const plots: Plot[] = [];
  let column = 0;
  let columnWidth = 0;
  let y = 0;
  for (const [i, block] of sorted.entries()) {
    const grid = grids[i];
    if (grid === undefined) continue;
    const height = usedHeight(grid);
    if (y > 0 && y + height > limit) {
      // Beside the largest block there is room for its addresses, beside small ones for their names.
      column +=
        Math.max(columnWidth + gap, Math.round(tallest * (column === 0 ? 0 : 0.3))) + Math.round(tallest * 0.19);
      columnWidth = 0;
      y = 0;
    }
    plots.push({ block, grid, x: column, y, width: grid.width, height });
    columnWidth = Math.max(columnWidth, grid.width);
    y += height + gap;
  }
  const height = Math.max(1, ...plots.map((plot) => plot.y + plot.height));
  return { order, plots, gap, width: column + columnWidth, height };
}

/** The plot under a place of the world. */
export function plotAt(world: World, x: number, y: number): Plot | null {
  for (const plot of world.plots) {
    if (x >= plot.x && y >= plot.y && x < plot.x + plot.width && y < plot.y + plot.height) return plot;
  }
  return null;
}
