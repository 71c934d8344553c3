/**
 * Writes the figures of a run into docs/performance.md, between two marks, and its charts into docs/images. What a run did not measure stays
 * as an earlier one found it (docs/performance.json), each with the command that gave it.
 */
import { existsSync, mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import type { Growth } from "./growth.ts";
import type { LiveUse } from "./live.ts";
import type { MemoryUse } from "./memory.ts";
import { figureText, type Report } from "./report.ts";
import { chart } from "./svg.ts";
import { ratio, type Tournament } from "./tournament.ts";

const DOCS = fileURLToPath(new URL("../docs/", import.meta.url));
const BEGIN = "<!-- bench: begin -->";
const END = "<!-- bench: end -->";

/** One thing that was measured. */
interface Entry {
  readonly source: string;
  readonly tournament?: Tournament;
  readonly growth?: Growth;
  readonly live?: readonly LiveUse[];
  readonly memory?: readonly MemoryUse[];
}

export function publish(report: Report): void {
  const path = `${DOCS}performance.md`;
  const text = readFileSync(path, "utf8");
  const begin = text.indexOf(BEGIN);
  const end = text.indexOf(END);
  if (begin < 0 || end < begin) throw new Error(`${path} has no place for figures`);
  const store = `${DOCS}performance.json`;
  const kept: Record<string, Entry> = existsSync(store) ? JSON.parse(readFileSync(store, "utf8")) : {};
  const all = { ...kept, ...entriesOf(report) };
  const sorted = Object.fromEntries(Object.entries(all).sort(([a], [b]) => a.localeCompare(b)));
  writeFileSync(store, `${JSON.stringify(sorted, null, 1)}\n`);
  mkdirSync(`${DOCS}images`, { recursive: true });
  for (const { tournament } of Object.values(sorted))
    if (tournament !== undefined) writeFileSync(`${DOCS}images/${imageName(tournament)}`, chart(tournament));
  const section = Object.values(sorted).flatMap(textOf).join("\n");
  writeFileSync(path, `${text.slice(0, begin + BEGIN.length)}\n\n${section}\n${text.slice(end)}`);
}

function entriesOf(report: Report): Record<string, Entry> {
  const { machine, guest, runs, command, date } = report;
  const load = machine.load.map((each) => each.toFixed(0)).join(", ");
  const on = `${machine.cpu}, ${machine.cpus} CPUs, ${machine.memory} GiB, Linux ${machine.kernel}, Node ${machine.node}, load average ${load}`;
  const common = `\`${command}\`, ${date.slice(0, 10)}; ${on}`;
  const turns = `guest of ${guest.memoryMiB} MiB, ${guest.randomDataMiB} of it random data; medians of ${runs}; ${common}`;
  const entries: Record<string, Entry> = {};
  for (const tournament of report.tournaments)
    entries[`1 ${tournament.name}, ${tournament.qemu}`] = { source: turns, tournament };
  for (const growth of report.growth) entries[`2 growth, ${growth.qemu}`] = { source: common, growth };
  for (const { qemu } of report.live) {
    entries[`3 live, ${qemu}`] = { source: common, live: report.live.filter((each) => each.qemu === qemu) };
  }
  for (const { qemu } of report.memory) {
    entries[`4 memory, ${qemu}`] = { source: common, memory: report.memory.filter((each) => each.qemu === qemu) };
  }
  return entries;
}

function textOf({ source, tournament, growth, live = [], memory = [] }: Entry): string[] {
  const lines: string[] = [];
  if (tournament !== undefined) lines.push(...tableOf(tournament));
  if (growth !== undefined) lines.push(...growthText(growth));
  for (const each of live) lines.push(liveText(each));
  for (const each of memory) lines.push(memoryText(each));
  return [...lines, `(${source})`, ""];
}

function growthText({ qemu, guests, twiceTheData, sixteenTimesEmpty }: Growth): string[] {
  const each = guests.map(({ dataMiB, memoryMiB, median }) => `${dataMiB} of ${memoryMiB} MiB ${median.toFixed(0)} ms`);
  return [
    `**Growth, QEMU ${qemu}**: twice the data costs ${twiceTheData.toFixed(2)} times the time (target 2.1), 16 times the empty RAM ${sixteenTimesEmpty.toFixed(2)} (target 1.2): ${each.join(", ")}.`,
  ];
}

function liveText({ qemu, way, wall, rounds, fileMiB, memoryMiB, throughput }: LiveUse): string {
  return `**Live, QEMU ${qemu}, ${way}**: a guest of ${memoryMiB} MiB that writes as fast as it can, stopped after ${rounds} rounds: ${wall.toFixed(0)} ms, the file ${fileMiB.toFixed(0)} MiB, the guest at ${(throughput * 100).toFixed(0)} % of its pace meanwhile.  `;
}

function memoryText({ qemu, guestMiB, dataMiB, save, resume }: MemoryUse): string {
  const mib = (bytes: number) => (bytes / 2 ** 20).toFixed(0);
  return `**Peak memory, QEMU ${qemu}**, all processes of ours added up, a guest of ${guestMiB} MiB with ${dataMiB} MiB of data: save ${mib(save)} MiB, resume ${mib(resume)} MiB.  `;
}

function tableOf(tournament: Tournament): string[] {
  const { name, qemu, sides } = tournament;
  const names = [...new Set(sides.flatMap(({ more }) => Object.keys(more)))];
  const ours = sides.some((side) => side.name === "fixedram");
  const against = (side: string) =>
    side.startsWith("fixedram") ? "" : (ratio(tournament, "fixedram", side)?.toFixed(2) ?? "");
  const title = qemu === "none" ? name : `${name}, QEMU ${qemu}`;
  const head = [title, "ms", "from - to", ...(ours ? ["fixedram / it"] : []), ...names];
  const rows = sides.map((side) => [
    side.name,
    side.median.toFixed(0),
    `${side.spread[0].toFixed(0)} - ${side.spread[1].toFixed(0)}`,
    ...(ours ? [against(side.name)] : []),
    ...names.map((each) => figureText(each, side.more[each])),
  ]);
  return [
    `![${title}](images/${imageName(tournament)})`,
    "",
    ...[head, head.map(() => "---"), ...rows].map((cells) => `| ${cells.join(" | ")} |`),
    "",
  ];
}

function imageName({ name, qemu }: Tournament): string {
  return `bench-${`${name}-${qemu.split(".")[0]}`.toLowerCase().replace(/[^a-z0-9]+/g, "-")}.svg`;
}
