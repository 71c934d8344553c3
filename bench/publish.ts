/** Writes the figures of one run into docs/performance.md, between two marks, and its charts into docs/images. */
import { mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { figureText, type Report } from "./report.ts";
import { chart } from "./svg.ts";
import { ratio, type Tournament } from "./tournament.ts";

const DOCS = fileURLToPath(new URL("../docs/", import.meta.url));
const BEGIN = "<!-- bench: begin -->";
const END = "<!-- bench: end -->";

export function publish(report: Report): void {
  const path = `${DOCS}performance.md`;
  const text = readFileSync(path, "utf8");
  const begin = text.indexOf(BEGIN);
  const end = text.indexOf(END);
  if (begin < 0 || end < begin) throw new Error(`${path} has no place for figures`);
  mkdirSync(`${DOCS}images`, { recursive: true });
  for (const each of report.tournaments) writeFileSync(`${DOCS}images/${imageName(each)}`, chart(each));
  writeFileSync(path, `${text.slice(0, begin + BEGIN.length)}\n${figures(report)}${text.slice(end)}`);
}

/** The marked section's text. */
export function figures(report: Report): string {
  const { machine, qemu, guest, runs, filesystems, date, command } = report;
  const lines = [
    `Written by \`${command} --publish\`, ${date.slice(0, 10)}. ${machine.cpu}, ${machine.cpus} CPUs, ${machine.memory} GiB, Linux ${machine.kernel}, Node ${machine.node}; QEMU ${qemu.join(" and ")}`.replace(
      " --publish --publish",
      " --publish",
    ),
    `under TCG; \`tmpfs\` is ${filesystems["tmpfs"]}, \`disk\` ${filesystems["disk"]}. A guest of ${guest.memoryMiB} MiB, ${guest.randomDataMiB} MiB of it random data; by turns, medians of ${runs}, no`,
    `bandwidth limit, new files. Load average ${machine.load.map((load) => load.toFixed(1)).join(", ")} (2 of it this benchmark). On tmpfs as much memory is taken and given back before each run; on disk both sides end`,
    "with the file on the disk (fsync, or `sync FILE`). `own cpu s` and `peak MiB` are all processes of ours; `written` is what they gave to the system.",
    "",
  ];
  for (const each of report.tournaments) lines.push(...tableOf(each));
  for (const { qemu: version, guests, twiceTheData, sixteenTimesEmpty } of report.growth) {
    lines.push(
      `Growth on ${version}: twice the data costs ${twiceTheData.toFixed(2)} times the time (target 2.1), 16 times the empty RAM ${sixteenTimesEmpty.toFixed(2)} (target 1.2);`,
      `${guests.map(({ dataMiB, memoryMiB, median }) => `${dataMiB} of ${memoryMiB} MiB ${median.toFixed(0)} ms`).join(", ")}.`,
      "",
    );
  }
  for (const { qemu: version, way, wall, rounds, fileMiB, memoryMiB, throughput } of report.live) {
    lines.push(
      `Live, ${version}, ${way}, a guest of ${memoryMiB} MiB that writes as fast as it can, ended after ${rounds} rounds: ${wall.toFixed(0)} ms, the file ${fileMiB.toFixed(0)} MiB, the guest at ${(throughput * 100).toFixed(0)} % of its pace.`,
      "",
    );
  }
  return `${lines.join("\n")}\n`;
}

function tableOf(tournament: Tournament): string[] {
  const { name, qemu, sides } = tournament;
  const others = sides.filter((side) => !side.name.startsWith("fixedram")).map((side) => side.name);
  const names = [...new Set(sides.flatMap(({ more }) => Object.keys(more)))];
  const ours = sides.some((side) => side.name === "fixedram");
  const head = [`${name}, QEMU ${qemu}`, "ms", "from - to", ...(ours ? ["fixedram / it"] : []), ...names];
  const rows = sides.map((side) => [
    side.name,
    side.median.toFixed(0),
    `${side.spread[0].toFixed(0)} - ${side.spread[1].toFixed(0)}`,
    ...(ours ? [others.includes(side.name) ? (ratio(tournament, "fixedram", side.name)?.toFixed(2) ?? "") : ""] : []),
    ...names.map((each) => figureText(each, side.more[each])),
  ]);
  return [
    `![${name}, QEMU ${qemu}](images/${imageName(tournament)})`,
    "",
    ...[head, head.map(() => "---"), ...rows].map((cells) => `| ${cells.join(" | ")} |`),
    "",
  ];
}

function imageName({ name, qemu }: Tournament): string {
  return `bench-${`${name}-${qemu.split(".")[0]}`.toLowerCase().replace(/[^a-z0-9]+/g, "-")}.svg`;
}
