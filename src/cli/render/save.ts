import type { SaveResult } from "../../operations/save.ts";
import type { Colors } from "./colors.ts";
import { aligned, count, duration, plural, rate, size } from "./format.ts";
import { safe } from "./safe.ts";

const now: Readonly<Record<string, string>> = {
  running: "running again",
  paused: "paused",
  postmigrate: "paused (QEMU calls it postmigrate)",
};

/** What was saved, what it cost the guest, how large it is: a short block. */
export function saveText(result: SaveResult, colors: Colors): string {
  const { pages, sizes, times } = result;
  const name = result.guestName === null ? "the guest" : safe(result.guestName);
  const after = result.then === "quit" ? "QEMU has ended" : runStateText(result);
  const speed = rate(sizes.ram, times.total);
  const rows = aligned([
    ["guest", `${safe(result.machine)}, QEMU ${safe(result.qemuVersion)}, ${after}`],
    ["pause", pauseText(result)],
    [
      "memory",
      `${size(sizes.ram)}, ${plural(pages.total, "page")}: ${count(pages.data)} data, ${count(pages.zero)} zero`,
    ],
    ["rounds", roundsText(result)],
    ["file", `${size(sizes.apparent)}, ${size(sizes.allocated)} on disk`],
    [
      "time",
      `${duration(times.total)} (memory ${duration(times.ram)}, to disk ${duration(times.sync)})${speed === "" ? "" : `, ${speed} of RAM`}`,
    ],
    ["transport", `${result.transport}: ${safe(result.transportReason)}`],
    ["snapshot", result.uuid],
    ["id", result.id],
  ]);
  return `Saved ${colors.bold(name)} to ${colors.bold(safe(result.path))} (mode ${result.mode})\n${rows.join("\n")}\n`;
}

/** One round that wrote nothing twice needs no words. */
function roundsText({ rounds, pages }: SaveResult): string | null {
  return rounds <= 1 && pages.rewritten === 0 ? null : `${count(rounds)}, ${plural(pages.rewritten, "page")} rewritten`;
}

function runStateText(result: SaveResult): string {
  const { before, after } = result.runState;
  if (after === "running" && before !== "running") return `running (was ${safe(before)})`;
  return now[after] ?? safe(after);
}

function pauseText(result: SaveResult): string {
  const { guestPause } = result.times;
  if (guestPause !== null) return duration(guestPause);
  if (result.runState.before !== "running") return "none: it was not running";
  return result.then === "resume" ? "not known" : `does not go on (--then ${result.then})`;
}
