/** The table. */
import Table from "cli-table3";
import type { MachineFacts } from "./machine.ts";
import type { Comparison } from "./measure.ts";
import type { MemoryUse } from "./memory.ts";

export interface Report {
  readonly machine: MachineFacts;
  readonly filesystems: Readonly<Record<string, string>>;
  readonly qemu: readonly string[];
  readonly guest: { readonly randomDataMiB: number; readonly memoryMiB: number };
  readonly runs: number;
  readonly comparisons: readonly Comparison[];
  readonly memory: readonly MemoryUse[];
}

export function reportText(report: Report): string {
  const { machine, filesystems, qemu, guest, runs, comparisons } = report;
  const lines = [
    "",
    `${machine.cpu}, ${machine.cpus} CPUs, ${machine.memory} GiB, Linux ${machine.kernel}, Node ${machine.node}`,
    `QEMU ${qemu.join(" and ")} under TCG; tmpfs: ${filesystems["tmpfs"]}, disk: ${filesystems["disk"]}`,
  ];
  if (comparisons.length > 0) {
    lines.push(
      `Guest: ${guest.memoryMiB} MiB, ${guest.randomDataMiB} MiB of it random data. Medians of ${runs}, by turns, new files, no bandwidth limit.`,
      `Load average ${machine.load.map((load) => load.toFixed(1)).join(", ")}: what else runs on the machine is in the figures.`,
    );
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
          .map(([name, value]) => `${name} ${value.toFixed(name.endsWith(" s") || name.startsWith("GB/s") ? 2 : 0)}`)
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
