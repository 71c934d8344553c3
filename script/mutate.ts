/**
 * Deletes each check of the parsers in turn and runs the test vectors that reach it: one must fail. Tells the checks that nothing misses.
 *
 *     npm run mutate [-- WORD]      only checks in files whose name holds WORD
 */
import { type ChildProcess, fork } from "node:child_process";
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { instrument, type Site } from "./lib/instrument.ts";
import { justified } from "./lib/mutants.ts";

const root = join(import.meta.dirname, "..");
const copy = join(root, ".cache/mutants/src");
const folders = ["bytes", "stream", "fixedram", "legacy", "libvirt", "containers"];
/** Milliseconds without an answer after which a check's deletion counts as noticed: it made a loop that does not end. */
const patience = 60_000;

const sites = instrument("checks", copy, folders);
const word = process.argv[2] ?? "";
const wanted = sites.filter(({ file, caller }) => !caller && file.includes(word));
const began = performance.now();

interface Answer {
  readonly id: number;
  readonly killedBy: string | null;
  readonly reached: number;
}

let child: ChildProcess | null = null;

/** One check switched off, in a process that is replaced when it hangs. */
function run(id: number): Promise<Answer> {
  child ??= fork(join(root, "script/lib/mutant-worker.ts"), [copy], {
    execArgv: ["--import", "tsx", "--max-old-space-size=1024"],
  });
  const current = child;
  return new Promise((resolve) => {
    const done = (answer: Answer) => {
      clearTimeout(timer);
      current.removeAllListeners();
      resolve(answer);
    };
    const lost = (why: string) => () => {
      child = null;
      current.kill("SIGKILL");
      done({ id, killedBy: why, reached: 1 });
    };
    // The first answer of a process waits for every vector to run once.
    const timer = setTimeout(lost("does not end"), id < 0 ? 600_000 : patience);
    current.once("message", (answer) => done(answer as Answer));
    current.once("exit", lost("ends the process"));
    current.send(id);
  });
}

const first = await run(-1);
if (first.killedBy !== null) {
  console.error(`The vectors fail as it is: ${first.killedBy}`);
  process.exit(1);
}
const survivors: (Site & { reached: number })[] = [];
const excused: Site[] = [];
let killed = 0;
for (const site of wanted) {
  const { killedBy, reached } = await run(site.id);
  if (killedBy !== null) killed++;
  else if (justified(site) !== null) excused.push(site);
  else {
    survivors.push({ ...site, reached });
    console.log(`${site.file}:${site.line}  ${reached === 0 ? "never reached  " : ""}${site.text}`);
  }
  // A new process finds out first what reaches what.
  if (child === null) await run(-1);
}
(child as ChildProcess | null)?.kill();
const seconds = Math.round((performance.now() - began) / 1000);
const result = { checks: wanted.length, killed, excused: excused.length, survivors: survivors.length, seconds };
writeFileSync(
  join(root, ".cache/mutants/result.json"),
  JSON.stringify({ ...result, list: survivors, excused }, null, 2),
);
console.log(
  `${result.checks} checks: ${killed} missed when deleted, ${excused.length} with a reason not to be, ${survivors.length} not missed; ${seconds} s`,
);
process.exitCode = survivors.length === 0 ? 0 : 1;
