/**
 * npm run bench -- [--quick] [--qemu old|new] [--only NAME[,NAME]] [--runs N] [--size MIB] [--disk FOLDER] [--publish]
 *   [--snapshots FOLDER]
 *
 * Names: save-tmpfs, save-disk, limits, resume, convert (with resume), memory, growth, live, search, diff, lazy (or one of lazy-running,
 * lazy-output, lazy-output-large, lazy-checksum), clone. With --snapshots the guests of lazy and clone are kept in that folder for the next time. Tables on
 * stderr, one JSON object on stdout. Everything else it writes lies in temporary folders; with --publish also the figures of
 * docs/performance.md, and its charts.
 */
import { rmSync, statSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { developerOptions } from "../script/lib/options.ts";
import { type Qemu, qemus } from "../test/qemu/harness/qemus.ts";
import { cloneContest } from "./clone.ts";
import { convertContests } from "./convert.ts";
import { type Growth, growth } from "./growth.ts";
import { BenchGuest, loader, memoryFor, randomGuest, writeRandom } from "./guest.ts";
import { checksumContest, outputContest, runningContest, savedGuest } from "./lazy.ts";
import { type LiveUse, liveUse } from "./live.ts";
import { diffContests, searchContests } from "./look.ts";
import { filesystemOf, machineFacts } from "./machine.ts";
import { type Comparison, type Contest, compare } from "./measure.ts";
import { type MemoryUse, memoryUse } from "./memory.ts";
import { limitSides, saveSides, warmMemory } from "./peers.ts";
import { temporaryFolder } from "./processes.ts";
import { publish } from "./publish.ts";
import { reportText } from "./report.ts";
import { resumeSides } from "./resume.ts";
import { type Place, preparePeer, save, streamOfRunning } from "./save.ts";
import { play, type Side, type Tournament } from "./tournament.ts";

const usage =
  "npm run bench -- [--quick] [--qemu old|new] [--only NAME[,NAME]] [--runs N] [--size MIB] [--disk FOLDER] [--publish] [--snapshots FOLDER]";
const { values } = developerOptions(usage, {
  options: {
    quick: { type: "boolean", default: false },
    qemu: { type: "string" },
    only: { type: "string" },
    runs: { type: "string" },
    size: { type: "string" },
    disk: { type: "string", default: tmpdir() },
    snapshots: { type: "string" },
    publish: { type: "boolean", default: false },
  },
});
const quick = values.quick;
const runs = Number(values.runs ?? (quick ? 5 : 7));
const size = Number(values.size ?? (quick ? 256 : 1331));
const everything = "save-tmpfs,save-disk,limits,resume,convert,memory,growth,live,search,diff,lazy,clone";
const wanted = new Set((values.only ?? everything).split(","));
if (wanted.has("lazy"))
  for (const name of ["lazy-running", "lazy-output", "lazy-output-large", "lazy-checksum"]) wanted.add(name);
const chosen = qemus().filter(({ label }) => values.qemu === undefined || values.qemu === label);
const memory = temporaryFolder("/dev/shm");
const disk = temporaryFolder(values.disk);

const comparisons: Comparison[] = [];
const tournaments: Tournament[] = [];
const growths: Growth[] = [];
const lives: LiveUse[] = [];
const memoryUses: MemoryUse[] = [];
const failures: string[] = [];
for (const qemu of chosen) {
  await part(() => speed(qemu));
  await part(() => instant(qemu));
  if (wanted.has("growth")) {
    say(`QEMU ${qemu.version}: growth`);
    await part(async () => void growths.push(await growth(qemu, quick ? 128 : 512, quick ? 3 : runs, memory)));
  }
  // Without --force a QEMU that loses memory this way refuses; and it has no file of its own to compare with.
  if (wanted.has("live") && qemu.label === "new") {
    say(`QEMU ${qemu.version}: live`);
    await part(async () => void lives.push(...(await liveUse(qemu, memory))));
  }
  if (wanted.has("memory")) {
    for (const guest of quick ? ([512] as const) : ([512, 8192] as const)) {
      say(`QEMU ${qemu.version}: memory, guest of ${guest} MiB`);
      await part(async () => {
        memoryUses.push(await memoryUse(qemu, guest, memory));
      });
    }
  }
}
for (const [name, contests] of Object.entries({ search: searchContests, diff: diffContests })) {
  if (!wanted.has(name)) continue;
  say(`${name}, ${size} MiB of data`);
  const folder = temporaryFolder("/dev/shm");
  await part(async () => {
    for (const each of await contests(size, folder)) await run(each);
  });
  rmSync(folder, { recursive: true });
}
const report = {
  schema: "fixedram/bench/2",
  date: new Date().toISOString(),
  machine: machineFacts(),
  filesystems: { tmpfs: filesystemOf(memory), disk: filesystemOf(disk) },
  qemu: chosen.map(({ version }) => version),
  command: `npm run bench -- ${process.argv.slice(2).join(" ")}`.trim(),
  guest: { randomDataMiB: size, memoryMiB: memoryFor(size), machine: "pc-i440fx-7.2", accelerator: "tcg", cpus: 1 },
  runs,
  tournaments,
  comparisons,
  growth: growths,
  live: lives,
  memory: memoryUses,
  failures,
};
process.stderr.write(reportText(report));
if (values.publish) publish(report);
process.stdout.write(`${JSON.stringify(report, null, 2)}\n`);
process.exit(failures.length === 0 ? 0 : 1);

/** What fails is told, and costs only itself. */
async function part(run: () => Promise<void>): Promise<void> {
  try {
    await run();
  } catch (error) {
    failures.push(String(error));
    say(`FAILED: ${error instanceof Error ? error.stack : String(error)}`);
  }
}

async function speed(qemu: Qemu): Promise<void> {
  const places: readonly Place[] = [
    { name: "tmpfs", folder: memory },
    { name: "disk", folder: disk },
  ];
  if (!["save-tmpfs", "save-disk", "limits", "resume"].some((name) => wanted.has(name))) return;
  say(`QEMU ${qemu.version}: a guest with ${size} MiB of random data`);
  const data = join(memory, "random");
  writeRandom(data, size);
  const options = randomGuest(qemu, size);
  const guest = await BenchGuest.start({ ...options, extraArgs: loader(data) }, memory, `source-${qemu.label}`);
  rmSync(data);
  try {
    await preparePeer(guest);
    const modern = qemu.label === "new";
    for (const place of places) {
      if (!wanted.has(`save-${place.name}`)) continue;
      say(`QEMU ${qemu.version}: save, ${place.name}`);
      await tournament(`save, ${place.name}`, qemu.version, saveSides(guest, place, modern), place);
    }
    if (!wanted.has("resume") && !wanted.has("limits")) return;
    const saved = { fixedram: join(memory, "saved.fram"), stream: join(memory, "saved.stream"), bootId: "" };
    const { match } = await guest.serial.ask("?", /^alive (\w+) /);
    await save(guest, saved.fixedram, memory);
    await streamOfRunning(guest, saved.stream);
    await guest.end();
    if (wanted.has("limits") && qemu === chosen[0]) {
      const mib = Math.round((statSync(saved.fixedram).blocks * 512) / 2 ** 20);
      for (const place of places)
        await tournament(`limits, ${place.name}`, "none", limitSides(saved.fixedram, place, mib), place);
    }
    if (!wanted.has("resume")) return;
    say(`QEMU ${qemu.version}: resume`);
    const contestants = resumeSides(options, { ...saved, bootId: match[1] ?? "" }, modern, memory);
    await tournament("resume, tmpfs", qemu.version, contestants, null);
    if (wanted.has("convert")) for (const each of convertContests(saved, qemu.version, memory)) await run(each);
    for (const path of [saved.fixedram, saved.stream]) rmSync(path);
  } finally {
    await guest.end();
  }
}

/** Instant resume. The file lies on a disk: it has to be taken out of the page cache. */
async function instant(qemu: Qemu): Promise<void> {
  const folder = values.snapshots ?? disk;
  const guest = (kind: "boot" | "linux", mib: number) => savedGuest(qemu, kind, mib, folder);
  const parts: readonly (readonly [name: string, work: () => Promise<Contest>])[] = [
    ["lazy-running", async () => runningContest(await guest("boot", 512), qemu.version, disk)],
    ["lazy-running", async () => runningContest(await guest("boot", quick ? 1024 : 4096), qemu.version, disk)],
    ["lazy-output", async () => outputContest(await guest("linux", 512), qemu.version, disk, false)],
    ["lazy-output", async () => outputContest(await guest("linux", 512), qemu.version, disk, true)],
    [
      "lazy-output-large",
      async () => outputContest(await guest("boot", quick ? 1024 : 4096), qemu.version, disk, false),
    ],
    [
      "lazy-output-large",
      async () => outputContest(await guest("boot", quick ? 1024 : 4096), qemu.version, disk, true),
    ],
    ["lazy-checksum", async () => checksumContest(await guest("boot", 512), qemu.version, disk)],
    ["clone", async () => cloneContest(await guest("boot", 512), qemu.version, disk, 8)],
  ];
  for (const [name, work] of parts) {
    if (!wanted.has(name)) continue;
    say(`QEMU ${qemu.version}: ${name}`);
    // Each pair of these takes half a minute, and tells more than the rest: a few do.
    await run(await work(), name === "lazy-output-large" ? 3 : runs);
  }
}

/** @param place where as much memory is taken and given back before each run; null: nowhere */
async function tournament(name: string, version: string, sides: readonly Side[], place: Place | null): Promise<void> {
  const before = place?.name === "tmpfs" ? () => warmMemory(place.folder, size + 64) : () => {};
  const result = await play(name, version, sides, runs, before);
  tournaments.push(result);
  for (const { name: side, median } of result.sides) say(`  ${median.toFixed(0).padStart(6)} ms  ${side}`);
}

async function run(contest: Contest, most = runs): Promise<void> {
  const result = await compare(contest, Math.min(runs, most));
  comparisons.push(result);
  say(
    `  ${result.ratio.toFixed(2)}: ${result.medians.ours.toFixed(0)} ms against ${result.medians.peer.toFixed(0)} ms`,
  );
}

function say(text: string): void {
  process.stderr.write(`${text}\n`);
}
