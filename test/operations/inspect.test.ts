/** Looking at what takes long ends when it is told to, and says how far it is. */
import { closeSync, mkdtempSync, openSync, rmSync, writeSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { expect, onTestFinished, test } from "vitest";
import { info, mapOf } from "../../src/operations/inspect.ts";
import type { OperationContext, Progress } from "../../src/operations/progress.ts";
import { countData, dataBytes, dataShares } from "../../src/pages/count.ts";
import { ExtentKind, type ExtentList } from "../../src/pages/extents.ts";
import type { PageMap } from "../../src/pages/map.ts";
import { encode, type Step } from "./synthetic.ts";

const MiB = 2 ** 20;

/** A stream of some MiB of records of zero pages: 9 bytes each, read one by one. */
function stream(size: number): string {
  const folder = mkdtempSync(join(tmpdir(), "fixedram-inspect-"));
  onTestFinished(() => rmSync(folder, { recursive: true }));
  const path = join(folder, "long.stream");
  const blocks = [["pc.ram", 1000]] as const;
  const zeros = (count: number): Step => ({ kind: "zero", block: 0, page: 0, count });
  const short = encode({ blocks, rounds: [[zeros(1)]] });
  const long = encode({ blocks, rounds: [[zeros(1000)]] });
  const records = long.length - short.length;
  let from = 0;
  while (short[from] === long[from]) from++;
  const part = long.subarray(from, from + records);
  const piece = Buffer.concat(Array.from({ length: Math.ceil(MiB / records) }, () => part));
  const fd = openSync(path, "w");
  writeSync(fd, long, 0, from);
  for (let at = 0; at < size; at += piece.length) writeSync(fd, piece);
  writeSync(fd, long, from);
  closeSync(fd);
  return path;
}

test.each([
  ["info", (path: string, context: OperationContext) => info(path, context)],
  ["map", (path: string, context: OperationContext) => mapOf(path, { width: 10, ...context })],
])("%s of a long stream tells how far it is, and ends at the signal, before the end", async (_name, look) => {
  const path = stream(24 * MiB);
  const all: Progress[] = [];
  await look(path, { onProgress: (progress) => all.push(progress) });
  expect(all[0]).toMatchObject({ phase: "preflight", total: expect.any(Number) });
  expect(all[0]?.bytes).toBeLessThan(all[0]?.total ?? 0);

  const stop = new AbortController();
  let last = 0;
  const onProgress = ({ bytes }: Progress) => {
    last = bytes;
    stop.abort(new Error("enough"));
  };
  await expect(look(path, { onProgress, signal: stop.signal })).rejects.toThrow("enough");
  expect(last).toBeLessThan(8 * MiB);
});

/** A block whose every second page holds data. */
function striped(pages: number): PageMap {
  return {
    blocks: [{ index: 0, name: "pc.ram", length: pages * 4096, pageSize: 4096, pages }],
    stores: [],
    extents: (_block: number, first: number, count: number, into: ExtentList) => {
      let page = first;
      const end = first + count;
      while (page < end && into.push(page % 2 === 0 ? ExtentKind.data : ExtentKind.zero, page, 1, 0, 0)) page++;
      return page - first;
    },
  };
}

test.each([
  ["countData", (map: PageMap, signal?: AbortSignal) => countData(map, 0, 0, map.blocks[0]?.pages ?? 0, signal)],
  ["dataBytes", (map: PageMap, signal?: AbortSignal) => dataBytes(map, signal)],
  [
    "dataShares",
    (map: PageMap, signal?: AbortSignal) => dataShares(map, 0, map.blocks[0]?.pages ?? 0, 2 ** 30, signal),
  ],
])("%s of a map that is all extents lets a signal through", async (_name, count) => {
  // A timer: it fires only when others get their turn. To the end it would take minutes.
  const signal = AbortSignal.timeout(1);
  await expect(count(striped(2 ** 36), signal)).rejects.toThrow(/timeout|abort/i);
});

test("counted right over many turns", async () => {
  const pages = 2 ** 20 + 3;
  expect(await countData(striped(pages), 0, 0, pages)).toBe(2 ** 19 + 2);
  expect(await countData(striped(pages), 0, 1, 4)).toBe(2);
  expect(await dataShares(striped(pages), 0, pages, 2 ** 19)).toEqual([0.5, 0.5, 2 / 3]);
});
