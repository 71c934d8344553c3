/**
 * What watching costs, with a page that listens, by turns with and without: `node --import tsx bench/view-cost.ts save|resume|count`. One JSON object;
 * medians.
 */
import { spawn } from "node:child_process";
import { join } from "node:path";
import { QmpClient } from "../src/qmp/client.ts";
import { SaveRecording } from "../src/viewer/server/live/save-recording.ts";
import { qemu } from "../test/qemu/harness/qemus.ts";
import { BenchGuest, commandOf, loader, randomGuest, writeRandom } from "./guest.ts";
import { temporaryFolder } from "./processes.ts";

const MIB = 512;
const turns = 5;

interface Answer {
  readonly times: { readonly ram: number; readonly running: number; readonly complete: number };
  readonly faults: { readonly served: number; readonly latency: { readonly p50: number; readonly p99: number } };
  readonly process: { readonly qmp: string } | null;
}

/** Runs a command; with `viewed`, follows its page to the end. */
async function run(args: readonly string[], viewed: boolean, tail: readonly string[] = []): Promise<Answer> {
  const words = [...args, "--json", ...(viewed ? ["--view", "--no-open"] : []), ...tail];
  const child = spawn(process.execPath, [join(import.meta.dirname, "../bin/fixedram"), ...words], {
    stdio: ["ignore", "pipe", "pipe"],
  });
  const ended = new Promise<void>((resolve) => child.once("close", () => resolve()));
  let [out, err, following] = ["", "", false];
  child.stderr.on("data", (chunk: Buffer) => {
    err += String(chunk);
    const url = /"code":"view","message":"([^"]+)"/.exec(err)?.[1];
    if (url === undefined || following) return;
    following = true;
    void fetch(`${url}api/live`).then((answer) => answer.arrayBuffer());
  });
  await new Promise<void>((resolve) => {
    child.stdout.on("data", (chunk: Buffer) => {
      out += String(chunk);
      if (out.endsWith("\n")) resolve();
    });
    void ended.then(resolve);
  });
  const answer = JSON.parse(out) as Answer;
  if (answer.process?.qmp !== undefined) {
    const client = await QmpClient.connect(answer.process.qmp);
    await client.execute("quit").catch(() => undefined);
    client.close();
  }
  if (viewed) {
    while (!err.includes("view-stays")) await new Promise((resolve) => child.stderr.once("data", resolve));
    child.kill("SIGINT");
  }
  await ended;
  return answer;
}

function median(values: readonly number[]): number {
  return Number(([...values].sort((a, b) => a - b)[Math.floor(values.length / 2)] ?? 0).toFixed(1));
}

async function byTurns(
  work: (viewed: boolean) => Promise<Answer>,
  figures: (answer: Answer) => Record<string, number>,
) {
  const all: Record<string, number[]>[] = [{}, {}];
  for (let turn = 0; turn < 2 * turns; turn++) {
    const viewed = turn % 2 === 1;
    for (const [name, value] of Object.entries(figures(await work(viewed)))) {
      const into = all[viewed ? 1 : 0];
      if (into !== undefined) into[name] = [...(into[name] ?? []), value];
    }
  }
  const [without = {}, viewed = {}] = all.map((each) =>
    Object.fromEntries(Object.entries(each).map(([name, values]) => [name, median(values)])),
  );
  return { without, viewed };
}

/** Nanoseconds a page that the recording costs in the thread that takes pages. */
function counting(): Record<string, number> {
  const pages = 2 ** 20;
  const cost = (place: (i: number) => number) => {
    const recording = new SaveRecording([pages]);
    const batch = new Float64Array(64);
    const began = performance.now();
    for (let i = 0; i < pages; i += batch.length) {
      for (let k = 0; k < batch.length; k++) batch[k] = place(i + k);
      recording.came(0, batch, batch.length, i / 1000);
    }
    return Number((((performance.now() - began) * 1e6) / pages).toFixed(1));
  };
  return { inOrder: cost((i) => i), scattered: cost((i) => (i * 7919) % pages) };
}

const what = process.argv[2] ?? "count";
if (what === "count") {
  console.log(JSON.stringify({ nanosecondsAPage: [counting(), counting(), counting()].at(-1) }));
} else {
  const folder = temporaryFolder("/dev/shm");
  const data = join(folder, "data");
  writeRandom(data, MIB);
  const options = randomGuest(qemu("new"), MIB);
  const guest = await BenchGuest.start({ ...options, extraArgs: loader(data) }, folder, "guest");
  const file = join(folder, "guest.fram");
  const save = (viewed: boolean) => run(["save", file, "--qmp", guest.sockets.qmpPath], viewed);
  if (what === "save") console.log(JSON.stringify(await byTurns(save, ({ times }) => ({ ram: times.ram }))));
  else {
    await save(false);
    await guest.end();
    let number = 0;
    const resume = (viewed: boolean) => {
      const { argv } = commandOf(options, folder, `resumed-${number++}`);
      return run(["resume", file, "--lazy", "--prefetch", "none"], viewed, ["--", ...argv]);
    };
    const result = await byTurns(resume, ({ times, faults }) => ({
      ...{ running: times.running, complete: times.complete, faults: faults.served },
      ...{ p50: faults.latency.p50, p99: faults.latency.p99 },
    }));
    console.log(JSON.stringify(result));
  }
  process.exit(0);
}
