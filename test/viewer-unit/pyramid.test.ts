import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { PageBitmap } from "../../src/bytes/bitmap.ts";
import { bitmapLayer, type Layer } from "../../src/viewer/server/layer.ts";
import { Pyramid, shares, wholeTile } from "../../src/viewer/server/pyramid.ts";
import { type Grid, gridOf, orders, placeOf, tileSide } from "../../src/viewer/shared/grid.ts";
import { shareByte } from "../../src/viewer/shared/share.ts";

/** The same, page by page. */
function plain(grid: Grid, pages: Iterable<number>, level: number, x: number, y: number): Uint32Array {
  const counts = new Uint32Array(tileSide * tileSide);
  const place = { x: 0, y: 0 };
  for (const page of pages) {
    placeOf(grid, page, place);
    const column = Math.floor(place.x / 2 ** level) - x * tileSide;
    const row = Math.floor(place.y / 2 ** level) - y * tileSide;
    if (column < 0 || row < 0 || column >= tileSide || row >= tileSide) continue;
    const cell = row * tileSide + column;
    counts[cell] = (counts[cell] ?? 0) + 1;
  }
  return counts;
}

/** The first cell that differs; -1: none. (toEqual looks at 65536 numbers one by one, far too slowly.) */
const firstDifference = (a: Uint32Array, b: Uint32Array) => a.findIndex((count, cell) => count !== b[cell]);

describe.each(orders)("%s", (order) => {
  test("counts as a loop over the pages does", async () => {
    await fc.assert(
      fc.asyncProperty(
        fc.integer({ min: 1, max: 300_000 }),
        fc.array(fc.tuple(fc.nat(300_000), fc.integer({ min: 1, max: 3000 })), { maxLength: 20 }),
        fc.nat(3),
        async (pages, runs, up) => {
          const bitmap = new PageBitmap(pages);
          for (const [first, count] of runs) if (first < pages) bitmap.setRange(first, Math.min(count, pages - first));
          const grid = gridOf(pages, order);
          const level = Math.min(up, grid.top);
          const set = [...Array(pages).keys()].filter((page) => bitmap.get(page));
          const pyramid = new Pyramid(grid, bitmapLayer(bitmap));
          for (const [x, y] of [
            [0, 0],
            [1, 0],
            [0, 1],
          ] as const) {
            expect(firstDifference(await pyramid.tile(level, x, y), plain(grid, set, level, x, y))).toBe(-1);
            expect(firstDifference(wholeTile(grid, level, x, y), plain(grid, Array(pages).keys(), level, x, y))).toBe(
              -1,
            );
          }
        },
      ),
      { numRuns: 8 },
    );
  });

  test("a block of 1 TiB: coarse levels come from 2^20 cells, and agree with fine ones", async () => {
    const pages = 2 ** 28;
    const scattered = Array.from({ length: 5000 }, (_, i) => Math.floor((i * pages) / 5000));
    const layer: Layer = {
      runs: (first, end, visit) => {
        for (const page of scattered) if (page >= first && page < end) visit(page, 1);
      },
    };
    const grid = gridOf(pages, order);
    const pyramid = new Pyramid(grid, layer);
    expect(pyramid.kept).toBe(4);
    const top = await pyramid.tile(6, 0, 0);
    expect(firstDifference(top, plain(grid, scattered, 6, 0, 0))).toBe(-1);
    expect(firstDifference(await pyramid.tile(5, 1, 0), plain(grid, scattered, 5, 1, 0))).toBe(-1);
    expect(firstDifference(await pyramid.tile(2, 3, 9), plain(grid, scattered, 2, 3, 9))).toBe(-1);
    expect(top.reduce((sum, count) => sum + count, 0)).toBe(5000);
  });
});

test("a share is 0 only for nothing and 255 only for all", () => {
  expect([shareByte(0, 10), shareByte(1, 1e9), shareByte(1e9 - 1, 1e9), shareByte(5, 5)]).toEqual([0, 1, 254, 255]);
  expect(shares(Uint32Array.of(0, 1, 4), Uint32Array.of(4, 4, 4))).toEqual(Uint8Array.of(0, 64, 255));
});
