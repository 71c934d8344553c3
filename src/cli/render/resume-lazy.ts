import type { RecoverResult } from "../../operations/recover.ts";
import type { LazyResumeResult } from "../../operations/resume-lazy.ts";
import type { Colors } from "./colors.ts";
import { aligned, count, duration, plural, size } from "./format.ts";
import { argument, safe } from "./safe.ts";

export function lazyText(result: LazyResumeResult, colors: Colors): string {
  const { times, process: started, prefetch } = result;
  const rows = aligned([
    [
      "guest",
      `${safe(result.runState)}, QEMU ${safe(result.qemuVersion)}${started === null ? "" : `, pid ${started.pid}`}`,
    ],
    ["running", `${duration(times.running)} after QEMU was ready (${duration(times.ready)})`],
    ["settled", times.settled === null ? "not before all RAM was in" : `${duration(times.settled)} later`],
    ["all RAM in", `${duration(times.complete)} after it ran; ${size(result.bytes)}`],
    [
      "stall",
      `${duration(times.stall)}, ${times.stallFrom === "qemu" ? "by QEMU's count" : "added up from the faults served"}`,
    ],
    ["faults", faultsText(result)],
    ["prefetch", prefetch.path === null ? null : `${plural(prefetch.pages, "page")} from ${safe(prefetch.path)}`],
    [
      "page servers",
      result.recoveries === 0
        ? null
        : `${count(result.recoveries + 1)}: ${plural(result.recoveries, "took", "took")} over`,
    ],
    ["age", result.age === null ? null : `${duration(result.age)}; the guest's clock jumps by as much`],
    ["control", started === null ? null : `--qmp ${argument(started.qmp)}`],
    ["snapshot", result.uuid],
  ]);
  return `Resumed ${colors.bold(safe(result.path))}, all of it\n${rows.join("\n")}\n`;
}

export function recoverText(result: RecoverResult, colors: Colors): string {
  const rows = aligned([
    ["guest", `${safe(result.runState)}, QEMU ${safe(result.qemuVersion)}`],
    ["sent", `${size(result.missing)} of ${size(result.bytes)} were missing`],
    ["time", duration(result.times.total)],
    ["faults", faultsText(result)],
  ]);
  return `Recovered from ${colors.bold(safe(result.path))}\n${rows.join("\n")}\n`;
}

function faultsText({ faults }: Pick<LazyResumeResult, "faults">): string {
  const { latency } = faults;
  if (latency.count === 0) return "none";
  return `${count(faults.served)}, answered in ${micro(latency.p50)} (half), ${micro(latency.p99)} (99 %), ${micro(latency.max)} (longest)`;
}

function micro(microseconds: number): string {
  return microseconds < 1000 ? `${Math.round(microseconds)} us` : `${(microseconds / 1000).toFixed(1)} ms`;
}
