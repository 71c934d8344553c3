import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { LeafPool, PageTable } from "../../src/legacy/page-table.ts";

const pages = 40_000;

describe("PageTable", () => {
  it("gives what a plain map gives", () => {
    const page = fc.oneof(fc.nat(pages - 1), fc.nat(40), fc.integer({ min: 16_370, max: 16_400 }));
    const step = fc.tuple(page, fc.oneof(fc.constant(0), fc.integer({ min: -1000, max: 2 ** 50 })));
    fc.assert(
      fc.property(fc.array(step, { maxLength: 80 }), page, (steps, from) => {
        const table = new PageTable(pages, new LeafPool());
        const model = new Map<number, number>();
        for (const [at, value] of steps) {
          expect(table.set(at, value)).toBe(model.get(at) ?? 0);
          model.set(at, value);
        }
        for (const [at, value] of model) expect(table.get(at)).toBe(value);
        const present = [...model].flatMap(([at, value]) => (value === 0 ? [] : [at])).sort((a, b) => a - b);
        expect(table.nextPresent(from, pages)).toBe(present.find((at) => at >= from) ?? pages);
        expect(table.nextPresent(0, from)).toBe(present.find((at) => at < from) ?? from);
      }),
    );
  });

  it("keeps blocks that share a pool apart", () => {
    const pool = new LeafPool();
    const tables = [0, 1, 2].map(() => new PageTable(100_000, pool));
    for (let page = 0; page < 100_000; page += 7) for (const [i, table] of tables.entries()) table.set(page, i + 1);
    for (const [i, table] of tables.entries()) {
      expect([table.get(0), table.get(1), table.get(99_995)]).toEqual([i + 1, 0, i + 1]);
    }
  });

  it("takes memory by the pages that are there: 1 TiB, 10^6 of them scattered, stays below 300 MiB", () => {
    const pool = new LeafPool();
    const all = 2 ** 28;
    const table = new PageTable(all, pool);
    const began = process.memoryUsage().arrayBuffers;
    const step = Math.floor(all / 1e6);
    for (let i = 0; i < 1e6; i++) table.set(i * step, i + 1);
    table.set(all - 1, 2 ** 52);
    expect(table.get(all - 1)).toBe(2 ** 52);
    expect(table.nextPresent((1e6 - 1) * step + 1, all)).toBe(all - 1);
    expect(table.get(123_456 * step)).toBe(123_457);
    expect(pool.bytes).toBeLessThan(200 * 2 ** 20);
    expect(process.memoryUsage().arrayBuffers - began).toBeLessThan(300 * 2 ** 20);
  });

  it("takes none for zero pages, and tells before it takes more", () => {
    const asked: number[] = [];
    const table = new PageTable(2 ** 40, new LeafPool((bytes) => asked.push(bytes)));
    for (let page = 0; page < 1e6; page++) table.set(page * 1e6, 0);
    expect(asked).toEqual([]);
    table.set(2 ** 40 - 1, 5);
    expect(asked).toEqual([4096, 4096 + 128]);
    expect(table.nextPresent(2 ** 40 - 100_000, 2 ** 40)).toBe(2 ** 40 - 1);
  });
});
