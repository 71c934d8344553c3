/** Searching a file with threads: the same hits, in the same order, as without; what goes wrong in a thread is told. */
import { mkdtempSync, rmSync, truncateSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, expect, test } from "vitest";
import { searchPages } from "../../src/operations/inside/search-pages.ts";
import type { PageMap } from "../../src/pages/map.ts";
import { parsePattern, type Scan } from "../../src/search/pattern.ts";
import { FileStore } from "../../src/storage/file-store.ts";
import { mapOf, PAGE } from "../machine/sample.ts";

const folder = mkdtempSync(join(tmpdir(), "fixedram-search-"));
afterAll(() => rmSync(folder, { recursive: true }));
const path = join(folder, "pages");
const MiB = 2 ** 20;

/** Two jobs and a bit, with pages of zeros, and something to be found over every border of 512 KiB and at random places. */
const memory = Buffer.alloc(36 * MiB);
let map: PageMap;

beforeAll(async () => {
  let state = 1;
  for (let at = 0; at < memory.length; at += 4) {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
    memory.writeUInt32LE(state, at);
  }
  memory.fill(0, 20 * MiB, 20 * MiB + 300 * PAGE);
  memory.fill(0, 33 * MiB - PAGE, 33 * MiB + PAGE);
  for (let at = 512 * 1024, i = 0; at < memory.length; at += 512 * 1024, i++) {
    memory.write(`needle ${i}!`, at - (i % 9), "latin1");
    memory.write(`WIDE needle ${i}`, at + 5000 + (i % 2), "utf16le");
  }
  // Over the end of the first job, and wide and at an odd place over that of the second.
  memory.fill("long text ", 16 * MiB - 3000, 16 * MiB + 3000, "latin1");
  memory.fill(Buffer.from("wide text ", "utf16le"), 32 * MiB - 1001, 32 * MiB + 999);
  const made = mapOf([["ram", memory]]);
  const [store] = made.stores;
  if (store === undefined) throw new Error("no store");
  writeFileSync(path, memory);
  map = { ...made, stores: [await FileStore.open(path)] };
});
afterAll(() => map.stores[0]?.close());

async function found(scan: Scan, threads: number, signal?: AbortSignal): Promise<string[]> {
  const hits: string[] = [];
  const options = { blocks: map.blocks, most: 1e9, context: { before: 4, after: 4 }, threads, signal };
  for await (const { offset, length, context, before } of searchPages(map, scan, options))
    hits.push(`${offset} ${length} ${before} ${Buffer.from(context).toString("latin1")}`);
  return hits;
}

const places = (hits: readonly string[]) => hits.map((hit) => Number(hit.split(" ")[0]));

test.each<[string, Scan, number]>([
  ["a literal", parsePattern("needle "), 69],
  ["bytes with wildcards", parsePattern("6e65??646c6520 3?", { as: "hex" }), 69],
  ["UTF-16", parsePattern("wide Needle", { utf16: true, ignoreCase: true }), 69],
  ["an expression", parsePattern("needle [0-9]+!", { as: "regex" }), 69],
  ["an expression without a known start", parsePattern("[n]e{2}dle [0-9]+!", { as: "regex" }), 69],
  ["a byte that stands in many places", parsePattern("41", { as: "hex" }), 100_000],
  ["strings", { kind: "strings", least: 9, utf16: false }, 70],
  ["strings in UTF-16", { kind: "strings", least: 9, utf16: true }, 70],
])("%s", async (_, scan, least) => {
  const [alone, three] = [await found(scan, 0), await found(scan, 3)];
  expect(alone.length).toBeGreaterThanOrEqual(least);
  expect(three).toEqual(alone);
  expect(places(alone)).toEqual(places(alone).toSorted((x, y) => x - y));
  expect(new Set(alone).size).toBe(alone.length);
});

test("an expression that never comes to its end can be ended", async () => {
  const abort = new AbortController();
  const hits: number[] = [];
  const scan = parsePattern("needle 0!|([ n-x]+)+~", { as: "regex" });
  const options = {
    blocks: map.blocks,
    most: 1e9,
    context: { before: 0, after: 0 },
    threads: 2,
    signal: abort.signal,
    onBytes: () => abort.abort(new Error("enough")),
  };
  const search = async () => {
    for await (const { offset } of searchPages(map, scan, options)) hits.push(offset);
  };
  setTimeout(() => abort.abort(new Error("enough")), 1000);
  await expect(search()).rejects.toThrow("enough");
});

test("a file that ends among its pages", async () => {
  truncateSync(path, 30 * MiB + 100);
  await expect(found(parsePattern("needle"), 2)).rejects.toMatchObject({
    code: "file.truncated",
    details: expect.objectContaining({ path, offset: 30 * MiB + 100 }),
  });
});
