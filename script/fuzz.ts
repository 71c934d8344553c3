/**
 * Fuzzes the parsers, guided by the branches that are taken; what is wrong goes to .cache/fuzz/finds.
 *
 *     npm run fuzz                          each target for 10 seconds
 *     npm run fuzz -- stream seal           these
 *     npm run fuzz -- --seconds 600 stream  longer; inputs that were kept before are used again
 *     npm run fuzz -- --seed 7              other changes
 */
import { existsSync, mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { parseArgs } from "node:util";
import { fuzz } from "../test/hostile/fuzz/engine.ts";
import { loadFuzzLib } from "../test/hostile/fuzz/fuzz-lib.ts";
import { targets } from "../test/hostile/fuzz/targets.ts";
import { instrument, Sites } from "./lib/instrument.ts";

const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: {
    seconds: { type: "string", default: "10" },
    runs: { type: "string", default: "Infinity" },
    seed: { type: "string" },
    fresh: { type: "boolean", default: false },
  },
});

const cache = join(import.meta.dirname, "../.cache/fuzz");
const copy = join(cache, "sources/src");
const sites = new Sites().install();
const branches = instrument("branches", copy, [
  "bytes",
  "stream",
  "fixedram",
  "legacy",
  "libvirt",
  "containers",
  "qmp",
  "pages",
]);
const lib = await loadFuzzLib(copy);
const seed = Number(values.seed ?? Date.now() % 2 ** 31);
/** Files whose branches a target is meant to take. */
const meant: Readonly<Record<string, RegExp>> = {
  stream: /^stream\/(?!writer|encoded|global|return|record-budget)/,
  "fixed-ram": /^fixedram\/(reader|check|map|layout)/,
  seal: /^fixedram\/(seal|trailer|meta|verify|verify-node|verify-pages|coverage|digest-sections|problems|regions)\.ts/,
  libvirt: /^libvirt\/(header|name)/,
  qmp: /^qmp\/(json|lines|client)/,
  structured: /^stream\/(reader|ram-reader|push|device-tail|vmdesc|page-output|block-list)/,
};

let failed = false;
for (const target of targets(lib)) {
  if (positionals.length > 0 && !positionals.includes(target.name)) continue;
  const kept = join(cache, "corpus", target.name);
  if (values.fresh) rmSync(kept, { recursive: true, force: true });
  mkdirSync(kept, { recursive: true });
  const corpus = readdirSync(kept).map((name) => new Uint8Array(readFileSync(join(kept, name))));
  const statsPath = join(cache, `${target.name}.json`);
  const before =
    existsSync(statsPath) && !values.fresh ? (JSON.parse(readFileSync(statsPath, "utf8")) as { runs: number }).runs : 0;
  const seen = new Uint8Array(sites.taken.length);
  const result = await fuzz(target, {
    taken: sites.taken,
    seed,
    seconds: Number(values.seconds),
    runs: Number(values.runs),
    corpus,
    seen,
  });
  result.corpus.forEach((input, i) => {
    writeFileSync(join(kept, String(i).padStart(5, "0")), input);
  });
  const own = branches.filter(({ file }) => meant[target.name]?.test(file) === true);
  const taken = own.filter(({ id }) => (seen[id] ?? 0) > 0).length;
  const share = own.length === 0 ? 0 : (100 * taken) / own.length;
  const runs = before + result.runs;
  writeFileSync(statsPath, JSON.stringify({ runs, taken, branches: own.length }));
  writeFileSync(
    join(cache, `${target.name}.missed.txt`),
    own
      .filter(({ id }) => (seen[id] ?? 0) === 0)
      .map(({ file, line, text }) => `${file}:${line} ${text}\n`)
      .join(""),
  );
  const rate = Math.round(result.runs / result.seconds);
  const cpu = Math.round(result.runs / result.cpuSeconds);
  console.log(
    `${target.name}: ${result.runs} runs (${runs} in all), ${rate} a second (${cpu} of CPU time); ${taken} of ${own.length} branches (${share.toFixed(1)} %); ${result.corpus.length} inputs kept; seed ${seed}`,
  );
  result.finds.forEach(({ input, message }, i) => {
    failed = true;
    const folder = join(cache, "finds");
    mkdirSync(folder, { recursive: true });
    const path = join(folder, `${target.name}-${seed}-${i}`);
    writeFileSync(path, input);
    writeFileSync(`${path}.txt`, message);
    console.log(`  FOUND ${path}: ${message.split("\n").slice(0, 4).join("\n    ")}`);
  });
}
process.exit(failed ? 1 : 0);
