import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { cellPages, gridOf, orders, pageAt, placeOf, usedHeight } from "../../src/viewer/shared/grid.ts";

const sizes = fc.oneof(fc.integer({ min: 1, max: 5000 }), fc.integer({ min: 1, max: 2 ** 32 }));

describe.each(orders)("%s", (order) => {
  test("every page has a cell of its own, and the cell leads back", () => {
    fc.assert(
      fc.property(sizes, fc.double({ min: 0, max: 1, noNaN: true }), (pages, part) => {
        const grid = gridOf(pages, order);
        const page = Math.min(pages - 1, Math.floor(part * pages));
        const { x, y } = placeOf(grid, page, { x: 0, y: 0 });
        expect(x).toBeLessThan(grid.width);
        expect(y).toBeLessThan(usedHeight(grid));
        expect(pageAt(grid, x, y)).toBe(page);
      }),
    );
  });

  test("a cell of a level stands for the pages whose cells lie in it", () => {
    fc.assert(
      fc.property(fc.integer({ min: 1, max: 3000 }), fc.integer({ min: 0, max: 4 }), (pages, wanted) => {
        const grid = gridOf(pages, order);
        const level = Math.min(wanted, grid.top);
        for (let page = 0; page < pages; page += 7) {
          const { x, y } = placeOf(grid, page, { x: 0, y: 0 });
          const cell = cellPages(grid, level, Math.floor(x / 2 ** level), Math.floor(y / 2 ** level));
          if (cell === null) throw new Error("no cell");
          if (order === "rows") expect((page - cell.first) % grid.width).toBeLessThan(2 ** level);
          else expect(page >= cell.first && page < cell.first + cell.count).toBe(true);
        }
      }),
    );
  });

  test("is about twice as wide as high at most", () => {
    for (const pages of [1, 2, 3, 4, 5, 64, 65_536, 131_072, 196_608, 2 ** 28]) {
      const grid = gridOf(pages, order);
      expect(grid.width * grid.height).toBeGreaterThanOrEqual(pages);
      expect(grid.width / grid.height).toBeGreaterThanOrEqual(1);
      expect(grid.width / grid.height).toBeLessThanOrEqual(2);
    }
  });
});

test("on the curve neighbours in memory are neighbours on the map, over its squares too", () => {
  for (const pages of [64, 100, 128, 512, 700]) {
    const grid = gridOf(pages, "hilbert");
    let last = placeOf(grid, 0, { x: 0, y: 0 });
    for (let page = 1; page < pages; page++) {
      const next = placeOf(grid, page, { x: 0, y: 0 });
      expect(Math.abs(next.x - last.x) + Math.abs(next.y - last.y)).toBe(1);
      last = next;
    }
  }
});

test("there is no page beyond the last", () => {
  const grid = gridOf(10, "rows");
  expect([pageAt(grid, -1, 0), pageAt(grid, 0, 99), pageAt(grid, grid.width, 0)]).toEqual([-1, -1, -1]);
});
