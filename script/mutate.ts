/**
 * Deletes each check of the parsers in turn and runs the test vectors that reach it, the quickest first: one must fail. Tells the
 * checks that nothing misses, and leaves a table in .cache/mutants/table.md.
 *
 *     npm run mutate [-- WORD...]      only checks in files whose names hold a word
 *     npm run mutate -- --again        only those that the last run did not see missed; vectors have only been added since
 *     npm run mutate -- --again --vectors device/,multifd/
 *                                      and with no other vectors than those whose names begin so
 */
import { type ChildProcess, fork } from "node:child_process";
import { mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { instrument, type Site } from "./lib/instrument.ts";
import type { Answer, Order } from "./lib/mutant-worker.ts";
import { justified } from "./lib/mutants.ts";

const root = join(import.meta.dirname, "..");
const copy = join(root, ".cache/mutants/src");
const folders = ["bytes", "stream", "fixedram", "legacy", "libvirt", "containers", "devices"];
const processes = 2;
/** Milliseconds that all vectors may take as the sources are. */
const patience = 900_000;
/** What a vector may take with a check switched off before that counts as noticed, as times what it takes without, and milliseconds more. */
const slower = 20;
const slack = 10_000;
/** Vectors that are run, the quickest, where there is a reason why none should miss the check. */
const triedAnyway = 30;
/** MiB of heap: the largest vectors take less than one GiB; a mutant that takes more has no bound. */
const heap = 1536;

const sites = instrument("checks", copy, folders);
const resultPath = join(root, ".cache/mutants/result.json");
const again = process.argv.includes("--again");
const at = process.argv.indexOf("--vectors");
const only = at < 0 ? null : (process.argv[at + 1] ?? "").split(",");
const words = process.argv.slice(2, at < 0 ? undefined : at).filter((word) => word !== "--again");
const isChosen = ({ file, caller }: Site) => !caller && (words.length === 0 || words.some((w) => file.includes(w)));
const began = performance.now();

/** A process that carries out one order at a time, and is replaced when it does not come back from one. */
class Worker {
  #child: ChildProcess | null = null;

  /** A process that cannot be started says nothing of a check. */
  async #ready(): Promise<ChildProcess> {
    const child = fork(join(root, "script/lib/mutant-worker.ts"), [copy], {
      execArgv: ["--import", "tsx", `--max-old-space-size=${heap}`],
      // What an end for want of memory prints.
      stdio: ["ignore", "inherit", "ignore", "ipc"],
    });
    await new Promise<void>((resolve, reject) => {
      child.once("message", () => resolve());
      child.once("exit", (code) => reject(new Error(`a process of the run does not start: ${code}`)));
    });
    child.removeAllListeners("exit");
    return child;
  }

  /** @param limit milliseconds */
  async run(order: Order, limit: number): Promise<Answer> {
    this.#child ??= await this.#ready();
    const child = this.#child;
    return new Promise((resolve) => {
      const done = (answer: Answer) => {
        clearTimeout(timer);
        child.removeAllListeners();
        resolve(answer);
      };
      const lost = (why: string) => () => {
        this.#child = null;
        child.kill("SIGKILL");
        done({ failed: why, reaching: [] });
      };
      const timer = setTimeout(lost("does not end"), limit);
      child.once("message", (answer) => done(answer as Answer));
      child.once("exit", lost("ends the process"));
      child.send(order);
    });
  }

  end(): void {
    this.#child?.kill();
  }
}

const workers = Array.from({ length: processes }, () => new Worker());
const first = await workers[0]?.run({ kind: "baseline", only }, patience);
if (first === undefined || first.failed !== null) {
  console.error(`The vectors fail as it is: ${first?.failed}`);
  process.exit(1);
}
/** By a check's number, the vectors in which it finds something: the quickest first. */
const reaching = new Map<number, { vector: number; cost: number }[]>();
for (const { vector, cost, fired } of [...first.reaching].sort((a, b) => a.cost - b.cost))
  for (const id of fired) reaching.set(id, [...(reaching.get(id) ?? []), { vector, cost }]);

interface Result {
  readonly site: Site;
  /** What missed the check. */
  readonly killedBy: string | null;
  readonly reached: number;
}

const keyOf = ({ file, text }: Site): string => `${file} ${text}`;

/** What the last run saw missed, by file and text. */
function lastMissed(): Map<string, Result[]> {
  const { results: last } = JSON.parse(readFileSync(resultPath, "utf8")) as { results: Result[] };
  const found = new Map<string, Result[]>();
  for (const each of last)
    if (each.killedBy !== null) found.set(keyOf(each.site), [...(found.get(keyOf(each.site)) ?? []), each]);
  return found;
}

async function mutant(worker: Worker, site: Site): Promise<Result> {
  const list = reaching.get(site.id) ?? [];
  const some = justified(site) === null ? list : list.slice(0, triedAnyway);
  for (const { vector, cost } of some) {
    const { failed } = await worker.run({ kind: "mutant", id: site.id, vector }, slower * cost + slack);
    if (failed !== null) return { site, killedBy: failed, reached: list.length };
  }
  return { site, killedBy: null, reached: list.length };
}

const results: Result[] = [];
const queue: Site[] = [];
const before = again ? lastMissed() : new Map<string, Result[]>();
const chosen = sites.filter(isChosen);
for (const site of chosen) {
  const known = before.get(keyOf(site))?.shift();
  if (known === undefined) queue.push(site);
  else results.push(known);
}
let told = performance.now();
await Promise.all(
  workers.map(async (worker) => {
    for (let site = queue.shift(); site !== undefined; site = queue.shift()) {
      const result = await mutant(worker, site);
      results.push(result);
      if (performance.now() - told > 30_000) {
        told = performance.now();
        console.error(`${results.length} of ${chosen.length}`);
      }
      if (result.killedBy === null && justified(site) === null)
        console.log(`${site.file}:${site.line}  ${result.reached === 0 ? "never reached  " : ""}${site.text}`);
    }
  }),
);
for (const worker of workers) worker.end();

const survivors = results.filter(({ site, killedBy }) => killedBy === null && justified(site) === null);
const excused = results.filter(({ site, killedBy }) => killedBy === null && justified(site) !== null);
const count = (list: readonly Result[], folder: string) =>
  list.filter(({ site }) => dirname(site.file) === folder).length;
const missed = results.filter(({ killedBy }) => killedBy !== null);
const rows = folders.map(
  (folder) =>
    `| ${folder} | ${count(results, folder)} | ${count(missed, folder)} | ${count(excused, folder)} | ${count(survivors, folder)} |`,
);
rows.push(`| all | ${results.length} | ${missed.length} | ${excused.length} | ${survivors.length} |`);
const table = `| folder | checks | missed when deleted | with a reason not to be | not missed |\n|---|---|---|---|---|\n${rows.join("\n")}\n`;
const seconds = Math.round((performance.now() - began) / 1000);
mkdirSync(dirname(copy), { recursive: true });
writeFileSync(join(root, ".cache/mutants/table.md"), table);
writeFileSync(resultPath, JSON.stringify({ seconds, results }, null, 2));
console.log(`${table}${seconds} s`);
process.exitCode = survivors.length === 0 ? 0 : 1;
