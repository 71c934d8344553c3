/**
 * node --import tsx bench/diff.ts [MIB] [FOLDER]
 *
 * Two files with so much random data, one page in a thousand changed: `fixedram diff` against `cmp`, by turns, from the page cache.
 * One JSON object on stdout. Rates count the bytes of one file.
 */
import { execFileSync } from "node:child_process";
import { randomFillSync } from "node:crypto";
import { copyFileSync, mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { FixedRamWriter } from "../src/fixedram/writer.ts";
import { diff } from "../src/operations/diff.ts";
import { TargetFile } from "../src/storage/target-file.ts";
import { batch, configuration, meta, ramStart, tail } from "../test/fixedram/sample.ts";

const mib = Number(process.argv[2] ?? 1024);
const folder = mkdtempSync(join(process.argv[3] ?? tmpdir(), "fixedram-bench-"));
const [a, b] = [join(folder, "a.fram"), join(folder, "b.fram")];
const copy = join(folder, "copy");
const pages = mib * 256;
const chunk = randomFillSync(new Uint8Array(16 * 2 ** 20));

async function write(path: string, changed: number): Promise<void> {
  const writer = new FixedRamWriter(TargetFile.create(path), configuration(), ramStart(["pc.ram", pages]));
  const [ram] = writer.blocks;
  if (ram === undefined) throw new Error("no block");
  const { pages: indices, offsets } = batch(
    ram,
    Array.from({ length: 4096 }, (_, i): [number, number] => [i, 1]),
  );
  for (let first = 0; first < pages; first += 4096) {
    const count = Math.min(4096, pages - first);
    for (let i = 0; i < count; i++) {
      indices[i] = first + i;
      offsets[i] = i * 4096;
    }
    for (let i = 0; i < count; i += 1000) chunk[i * 4096] = changed;
    writer.writePages({ block: ram, count, pages: indices, offsets, chunk });
  }
  writer.tail(tail());
  await writer.finish(meta);
}

function timed(run: () => void): number {
  const began = performance.now();
  run();
  return performance.now() - began;
}

const median = (values: number[]): number => values.sort((x, y) => x - y)[Math.floor(values.length / 2)] ?? 0;

try {
  await write(a, 1);
  await write(b, 2);
  // cmp stops at the first difference: it gets two that are the same.
  copyFileSync(a, copy);
  const times: Record<string, number[]> = { diff: [], trusted: [], cmp: [] };
  for (let i = 0; i < 5; i++) {
    times["cmp"]?.push(timed(() => execFileSync("cmp", ["-s", a, copy])));
    times["diff"]?.push((await diff({ a, b })).time);
    times["trusted"]?.push((await diff({ a, b, trustSeals: true })).time);
  }
  const medians = Object.fromEntries(
    Object.entries(times)
      .filter(([, list]) => list.length > 0)
      .map(([name, list]) => [name, median(list)]),
  );
  const rate = (ms: number) => Number(((mib * 2 ** 20) / ms / 1e6).toFixed(2));
  const rates = Object.fromEntries(Object.entries(medians).map(([name, ms]) => [name, rate(ms)]));
  process.stdout.write(
    `${JSON.stringify({ schema: "fixedram/bench-diff/1", mib, milliseconds: medians, gigabytesPerSecond: rates })}\n`,
  );
} finally {
  rmSync(folder, { recursive: true });
}
