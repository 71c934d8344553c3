import { mkdtempSync, rmSync, truncateSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import fc from "fast-check";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { type DifferenceKind, DifferenceList } from "../../src/diff/differences.ts";
import { PairPlan, pairBlocks } from "../../src/diff/plan.ts";
import { type DiffPagesOptions, diffPages } from "../../src/operations/diff/pages.ts";
import type { PageMap } from "../../src/pages/map.ts";
import { FileStore } from "../../src/storage/file-store.ts";
import { failure } from "../operations/synthetic.ts";
import { type Block, mapOf, modelOf, type Page, pairOfMaps } from "./maps.ts";

/** Every page that differs, once each, and in order. */
async function differences(
  a: PageMap,
  b: PageMap,
  options: DiffPagesOptions = {},
): Promise<Map<string, DifferenceKind>> {
  const found = new Map<string, DifferenceKind>();
  let last = "";
  let next = 0;
  for await (const { block, kind, first, pages } of diffPages(a, b, options)) {
    expect(block !== last || first >= next, "in page order").toBe(true);
    [last, next] = [block, first + pages];
    for (let i = 0; i < pages; i++) {
      expect(found.has(`${block}:${first + i}`), "each page once").toBe(false);
      found.set(`${block}:${first + i}`, kind);
    }
  }
  return found;
}

/** The same map over files on disk, which threads can read. */
function onDisk(map: ReturnType<typeof mapOf>, folder: string, name: string): PageMap & { close(): Promise<void> } {
  const stores = map.files.map((file, i) => {
    const path = join(folder, `${name}.${i}`);
    writeFileSync(path, file.bytes());
    return FileStore.open(path);
  });
  const close = async () => {
    for (const store of stores) await store.close();
  };
  return { ...map, stores, close };
}

const data = (...fills: (number | null)[]): Page[] => fills.map((fill) => ({ fill, stored: fill !== 0 }));
const ram = (pages: readonly Page[], pageSize = 4096): Block => ({ name: "pc.ram", pageSize, pages });

let folder = "";
beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), "fixedram-diff-"));
});
afterAll(() => rmSync(folder, { recursive: true }));

describe("the pages of two maps", () => {
  test("differ as the plain model says, however they are laid out", async () => {
    const layouts = fc.constantFrom("scattered" as const, "dense" as const);
    const property = fc.asyncProperty(
      pairOfMaps,
      layouts,
      layouts,
      fc.integer({ min: 1, max: 5 }),
      async (pair, one, other, capacity) => {
        const [a, b] = [mapOf(pair.a, one, capacity * 100), mapOf(pair.b, other, capacity)];
        expect(await differences(a, b)).toEqual(modelOf(pair.a, pair.b));
      },
    );
    await fc.assert(property, { numRuns: 200 });
  });

  test("differ alike when threads compare them", async () => {
    const property = fc.asyncProperty(pairOfMaps, async (pair) => {
      const [a, b] = [onDisk(mapOf(pair.a, "scattered"), folder, "a"), onDisk(mapOf(pair.b, "dense"), folder, "b")];
      try {
        expect(await differences(a, b, { threads: 2 })).toEqual(modelOf(pair.a, pair.b));
      } finally {
        await a.close();
        await b.close();
      }
    });
    await fc.assert(property, { numRuns: 5 });
  }, 60_000);

  test("that are the same in other places give nothing", async () => {
    const blocks = [ram(data(1, 0, 2, 201, 0, 0, 3))];
    expect(await differences(mapOf(blocks, "dense"), mapOf(blocks, "scattered"))).toEqual(new Map());
  });

  test("of blocks with other page sizes are gone and added, never mixed", async () => {
    const [a, b] = [[ram(data(1, 0))], [ram(data(1), 8192)]];
    const found: unknown[] = [];
    for await (const each of diffPages(mapOf(a, "dense"), mapOf(b, "dense"))) found.push(each);
    expect(found).toEqual([
      { block: "pc.ram", kind: "gone", first: 0, pages: 1 },
      { block: "pc.ram", kind: "added", first: 0, pages: 1 },
    ]);
  });

  test("may be left while they are compared; what is under way is waited for", async () => {
    const pages = Array.from({ length: 9000 }, (_, i): Page => ({ fill: (i % 100) + 1, stored: true }));
    const [a, b] = [onDisk(mapOf([ram(pages)], "dense"), folder, "c"), onDisk(mapOf([ram([])], "dense"), folder, "d")];
    for await (const { kind } of diffPages(a, b, { threads: 2 })) {
      expect(kind).toBe("gone");
      break;
    }
    await a.close();
    await b.close();
  });

  test.each([0, 1])("of a file that becomes shorter: file.truncated (threads: %i)", async (threads) => {
    const pages = data(1, 2, 3, 4);
    const [a, b] = [
      onDisk(mapOf([ram(pages)], "dense"), folder, "e"),
      onDisk(mapOf([ram(data(1, 2, 3, 5))], "dense"), folder, "f"),
    ];
    truncateSync(join(folder, "f.0"), 10_000);
    const error = await failure(() => differences(a, b, { threads }));
    expect(error.code).toBe("file.truncated");
    expect(error.details).toMatchObject({ path: join(folder, "f.0"), offset: 10_000 });
    await a.close();
    await b.close();
  });

  test("stop at a signal", async () => {
    const abort = new AbortController();
    abort.abort(new Error("enough"));
    const [a, b] = [mapOf([ram(data(1))], "dense"), mapOf([ram(data(2))], "dense")];
    await expect(differences(a, b, { signal: abort.signal })).rejects.toThrow("enough");
  });
});

describe("a plan", () => {
  test("holds no more than its limits, and all pages once", () => {
    const pages = Array.from({ length: 1000 }, (_, i): Page => ({ fill: i % 3, stored: true }));
    const [a, b] = [mapOf([ram(pages)], "scattered"), mapOf([ram(pages.slice(0, 700))], "dense", 3)];
    const [pair] = pairBlocks(a, b);
    if (pair === undefined) throw new Error("no pair");
    const plan = new PairPlan(a, b, pair, null, { bytes: 65_536, runs: 10 });
    let next = 0;
    for (let job = plan.next(); job !== null; job = plan.next()) {
      expect(job.count).toBeLessThanOrEqual(10);
      expect(plan.bytes).toBeLessThanOrEqual(65_536);
      for (let i = 0; i < job.count; i++) {
        expect(job.runs[i * 6]).toBe(next);
        next += job.runs[i * 6 + 1] ?? 0;
      }
    }
    expect(next).toBe(1000);
  });

  test("leaves out what is trusted", () => {
    const [a, b] = [mapOf([ram(data(1, 2, 3, 4, 0, 6))], "dense"), mapOf([ram(data(1, 2, 3, 4, 5, 6))], "dense")];
    const [pair] = pairBlocks(a, b);
    if (pair === undefined) throw new Error("no pair");
    const asked: number[] = [];
    const agree = (first: number, count: number) => {
      asked.push(first, count);
      return first === 0 ? 2 : first === 2 ? -1 : count;
    };
    const plan = new PairPlan(a, b, pair, { agree });
    expect([...(plan.next()?.runs ?? [])].filter((_, i) => i % 6 < 2)).toEqual([2, 1, 4, 1]);
    expect(asked).toEqual([0, 4, 2, 2, 3, 1, 5, 1]);
    expect(plan.trusted).toBe(4);
  });
});

test("a list of differences joins runs that touch, and grows", () => {
  const list = new DifferenceList();
  for (let i = 0; i < 1000; i++) list.push(i % 5 === 4 ? 1 : 0, i, 1);
  expect(list.length).toBe(400);
  const again = new DifferenceList(list.finish());
  expect([again.kind(1), again.first(1), again.pages(0), again.length]).toEqual([1, 4, 4, 400]);
});
