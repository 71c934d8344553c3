/**
 * node --import tsx bench/search.ts [MIB] [FOLDER]
 *
 * One file with so much random data: `fixedram search` for a text that is not there, for bytes with a wildcard and for an expression, and
 * `strings`, against `grep -c` and `cat`, by turns, from the page cache. One JSON object on stdout.
 */
import { execFileSync, spawnSync } from "node:child_process";
import { randomFillSync } from "node:crypto";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { FixedRamWriter } from "../src/fixedram/writer.ts";
import { search, strings } from "../src/operations/inside/search.ts";
import { TargetFile } from "../src/storage/target-file.ts";
import { batch, configuration, meta, ramStart, tail } from "../test/fixedram/sample.ts";

const mib = Number(process.argv[2] ?? 1024);
const folder = mkdtempSync(join(process.argv[3] ?? tmpdir(), "fixedram-bench-"));
const file = join(folder, "a.fram");
const pages = mib * 256;
const chunk = randomFillSync(new Uint8Array(16 * 2 ** 20));
const needle = "a text that is in no guest";

async function write(): Promise<void> {
  const writer = new FixedRamWriter(TargetFile.create(file), configuration(), ramStart(["pc.ram", pages]));
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
    writer.writePages({ block: ram, count, pages: indices, offsets, chunk });
  }
  writer.tail(tail());
  await writer.finish(meta);
}

const onHit = () => undefined;
const ways: Record<string, () => unknown> = {
  text: () => search({ file, pattern: needle, map: `0+${mib}M=pc.ram`, onHit }),
  bytes: () => search({ file, pattern: "de ad ?? be ef 11 22 33", as: "hex", map: `0+${mib}M=pc.ram`, onHit }),
  expression: () => search({ file, pattern: "password=[a-z]{8}", as: "regex", map: `0+${mib}M=pc.ram`, onHit }),
  strings: () => strings({ file, least: 16, map: `0+${mib}M=pc.ram`, onHit }),
  grep: () => spawnSync("grep", ["-c", "-a", "-F", needle, file], { env: { LC_ALL: "C" } }),
  cat: () => execFileSync("sh", ["-c", `cat "${file}" | cat > /dev/null`]),
};

const median = (values: number[]): number => values.sort((x, y) => x - y)[Math.floor(values.length / 2)] ?? 0;

try {
  await write();
  const times: Record<string, number[]> = {};
  for (let i = 0; i < 3; i++) {
    for (const [name, way] of Object.entries(ways)) {
      const began = performance.now();
      await way();
      times[name] = [...(times[name] ?? []), performance.now() - began];
    }
  }
  const medians = Object.fromEntries(Object.entries(times).map(([name, list]) => [name, Math.round(median(list))]));
  const rates = Object.fromEntries(
    Object.entries(medians).map(([name, ms]) => [name, Number(((mib * 2 ** 20) / ms / 1e6).toFixed(2))]),
  );
  process.stdout.write(
    `${JSON.stringify({ schema: "fixedram/bench-search/1", mib, milliseconds: medians, gigabytesPerSecond: rates })}\n`,
  );
} finally {
  rmSync(folder, { recursive: true });
}
