/** The table. */
import Table from "cli-table3";
import type { Growth } from "./growth.ts";
import type { LiveUse } from "./live.ts";
import type { MachineFacts } from "./machine.ts";
import type { Comparison } from "./measure.ts";
import type { MemoryUse } from "./memory.ts";
import { ratio, type Tournament } from "./tournament.ts";

export interface Report {
  readonly date: string;
  /** As it was called. */
  readonly command: string;
  readonly machine: MachineFacts;
  readonly filesystems: Readonly<Record<string, string>>;
  readonly qemu: readonly string[];
  readonly guest: { readonly randomDataMiB: number; readonly memoryMiB: number };
  readonly runs: number;
  readonly tournaments: readonly Tournament[];
  readonly comparisons: readonly Comparison[];
  readonly growth: readonly Growth[];
  readonly live: readonly LiveUse[];
  readonly memory: readonly MemoryUse[];
}

export function reportText(report: Report): string {
  const { machine, filesystems, qemu, guest, runs, comparisons } = report;
  const lines = [
    "",
    `${machine.cpu}, ${machine.cpus} CPUs, ${machine.memory} GiB, Linux ${machine.kernel}, Node ${machine.node}`,
    `QEMU ${qemu.join(" and ")} under TCG; tmpfs: ${filesystems["tmpfs"]}, disk: ${filesystems["disk"]}`,
  ];
  lines.push(
    `Guest: ${guest.memoryMiB} MiB, ${guest.randomDataMiB} MiB of it random data. Medians of ${runs}, by turns, new files, no bandwidth limit.`,
    `Load average ${machine.load.map((load) => load.toFixed(1)).join(", ")}: what else runs on the machine is in the figures.`,
  );
  for (const each of report.tournaments) lines.push(tournamentTable(each));
  for (const { qemu: version, twiceTheData, sixteenTimesEmpty } of report.growth)
    lines.push(
      `QEMU ${version}: twice the data ${twiceTheData.toFixed(2)} times the time (target 2.1), 16 times the empty RAM ${sixteenTimesEmpty.toFixed(2)} (target 1.2)`,
    );
  for (const { qemu: version, way, wall, fileMiB, memoryMiB, throughput } of report.live)
    lines.push(
      `QEMU ${version}, live, ${way}: ${ms(wall)}, file ${fileMiB.toFixed(0)} MiB of ${memoryMiB} MiB RAM, the guest at ${(throughput * 100).toFixed(0)} % of its pace`,
    );
  if (comparisons.length > 0) {
    const table = new Table({
      head: ["", "QEMU", "ours", "peer", "ratio", "own", "pairs", "ours in detail"],
      style: plain,
    });
    for (const each of comparisons) {
      const [low, high] = each.spread;
      table.push([
        each.name,
        each.qemu,
        ms(each.medians.ours),
        ms(each.medians.peer),
        each.ratio.toFixed(2),
        each.ownRatio?.toFixed(2) ?? "",
        `${low.toFixed(2)}-${high.toFixed(2)}`,
        Object.entries(each.details)
          .map(([name, value]) => `${name} ${figureText(name, value)}`)
          .join(", "),
      ]);
    }
    lines.push(table.toString());
    const said = new Map(comparisons.map(({ name, ours, peer }) => [name, `${name}: ${ours}; peer: ${peer}`]));
    lines.push(
      ...said.values(),
      "own: the ratio without the start and end of node; the peer is driven over an open QMP connection.",
    );
  }
  if (report.memory.length > 0) lines.push(memoryTable(report.memory));
  return `${lines.join("\n")}\n`;
}

/** Names the figures of other sides are told against, the first that is there. */
const references = ["exec:cat", "cp --sparse=always"];

function tournamentTable(tournament: Tournament): string {
  const { name, qemu, sides } = tournament;
  const reference = references.find((each) => sides.some((side) => side.name === each)) ?? "";
  const figures = [...new Set(sides.flatMap(({ more }) => Object.keys(more)))];
  const table = new Table({
    head: [`${name}, QEMU ${qemu}`, "median", "spread", `/ ${reference}`, ...figures],
    style: plain,
  });
  for (const side of sides)
    table.push([
      side.name,
      ms(side.median),
      `${side.spread[0].toFixed(0)}-${side.spread[1].toFixed(0)}`,
      ratio(tournament, side.name, reference)?.toFixed(2) ?? "",
      ...figures.map((figure) => figureText(figure, side.more[figure])),
    ]);
  return table.toString();
}

/** A figure by its name's unit: seconds and GB/s with two digits, everything else without. */
export function figureText(name: string, value: number | undefined): string {
  return value === undefined ? "" : value.toFixed(name.endsWith(" s") || name.startsWith("GB/s") ? 2 : 0);
}

const plain = { head: [], border: [] };

function memoryTable(uses: readonly MemoryUse[]): string {
  const table = new Table({
    head: ["peak memory of all our processes", "QEMU", "save", "resume", "target"],
    style: plain,
  });
  for (const { qemu, guestMiB, dataMiB, save, resume } of uses)
    table.push([`guest of ${guestMiB} MiB, ${dataMiB} in use`, qemu, mib(save), mib(resume), "200 MiB"]);
  return table.toString();
}

function ms(value: number): string {
  return `${value.toFixed(0)} ms`;
}

function mib(bytes: number): string {
  return `${(bytes / 2 ** 20).toFixed(0)} MiB`;
}
