/**
 * Fuzzes the parsers, guided by the branches that are taken; what is wrong goes to .cache/fuzz/finds.
 *
 *     npm run fuzz                          each target for 10 seconds
 *     npm run fuzz -- stream seal           these
 *     npm run fuzz -- --seconds 600 stream  longer; inputs that were kept before are used again
 *     npm run fuzz -- --seed 7              other changes
 *     npm run fuzz -- --seconds 1e6 --runs 1e7 --fresh qmp    so many runs, however long they take
 *
 * Ctrl-C ends it with what has been reached, which is kept.
 */
import { existsSync, mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { fuzz } from "../test/hostile/fuzz/engine.ts";
import { loadFuzzLib } from "../test/hostile/fuzz/fuzz-lib.ts";
import { targets } from "../test/hostile/fuzz/targets.ts";
import { instrument, Sites } from "./lib/instrument.ts";
import { developerOptions } from "./lib/options.ts";

const { values, positionals } = developerOptions(
  "npm run fuzz -- [--seconds N] [--runs N] [--seed N] [--fresh] [TARGET ...]",
  {
    allowPositionals: true,
    options: {
      seconds: { type: "string", default: "10" },
      runs: { type: "string", default: "Infinity" },
      seed: { type: "string" },
      fresh: { type: "boolean", default: false },
    },
  },
);

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
  "devices",
  "elf",
  "gdb",
  "lime",
  "machine",
  "pages",
  "physical",
  "qmp",
  "raw",
]);
const lib = await loadFuzzLib(copy);
const seed = Number(values.seed ?? Date.now() % 2 ** 31);
let failed = false;
let stopped = false;
for (const signal of ["SIGINT", "SIGTERM"] as const)
  process.once(signal, () => {
    stopped = true;
  });
const tellEvery = 60_000;
for (const target of await targets(lib)) {
  if (stopped || (positionals.length > 0 && !positionals.includes(target.name))) continue;
  const kept = join(cache, "corpus", target.name);
  if (values.fresh) rmSync(kept, { recursive: true, force: true });
  mkdirSync(kept, { recursive: true });
  const corpus = readdirSync(kept).map((name) => new Uint8Array(readFileSync(join(kept, name))));
  const statsPath = join(cache, `${target.name}.json`);
  const before =
    existsSync(statsPath) && !values.fresh ? (JSON.parse(readFileSync(statsPath, "utf8")) as { runs: number }).runs : 0;
  const taken = sites.taken.subarray(0, Math.ceil(branches.length / 4) * 4);
  const seen = new Uint8Array(taken.length);
  let told = performance.now();
  const result = await fuzz(target, {
    taken,
    seed,
    seconds: Number(values.seconds),
    runs: Number(values.runs),
    corpus,
    seen,
    onTurn: (runs, finds) => {
      if (performance.now() - told > tellEvery) {
        told = performance.now();
        console.error(`${target.name}: ${runs} runs so far, ${finds} found`);
      }
      return !stopped;
    },
  });
  result.corpus.forEach((input, i) => {
    writeFileSync(join(kept, String(i).padStart(5, "0")), input);
  });
  const own = branches.filter(({ file }) => target.meant.test(file));
  const reached = own.filter(({ id }) => (seen[id] ?? 0) > 0).length;
  const share = own.length === 0 ? 0 : (100 * reached) / own.length;
  const runs = before + result.runs;
  writeFileSync(statsPath, JSON.stringify({ runs, taken: reached, branches: own.length }));
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
    `${target.name}: ${result.runs} runs (${runs} in all), ${rate} a second (${cpu} of CPU time); ${reached} of ${own.length} branches (${share.toFixed(1)} %); ${result.corpus.length} inputs kept; seed ${seed}`,
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
