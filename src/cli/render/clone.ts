import type { CloneResult, CloneStatus } from "../../operations/clone.ts";
import { columnsOf, type Output } from "../terminal.ts";
import type { Colors } from "./colors.ts";
import { aligned, count, duration, percent, plural, size } from "./format.ts";
import type { ProgressView } from "./progress.ts";
import { argument, safe } from "./safe.ts";
import { plainTable } from "./table.ts";

/** Milliseconds between two drawings of the table. */
const drawTime = 100;
/** Rows that are drawn; of more clones only how many are in which state. */
const mostRows = 24;

export function cloneText(result: CloneResult, colors: Colors, columns: number): string {
  const { clones, overlays, times } = result;
  const failed = clones.filter(({ state }) => state === "failed");
  const rows = aligned([
    ["running", times.running === null ? null : `all after ${duration(times.running)}`],
    ["all RAM in", failed.length === clones.length ? null : duration(times.total)],
    ["overlays", overlays === null ? null : `${safe(overlays.folder)}${overlays.kept ? "" : ", removed at the end"}`],
    ["snapshot", result.uuid],
  ]);
  const failures = failed.map((clone) => `  ${colors.red(cloneLine(clone))}\n`);
  const what = `${plural(clones.length, "clone")} of ${colors.bold(safe(result.path))}`;
  const how = failed.length === 0 ? "" : `, ${count(failed.length)} failed`;
  const sockets = clones.flatMap(({ number, qmp }) => (qmp === null ? [] : [`  ${number}  --qmp ${argument(qmp)}\n`]));
  return `${what}${how}\n${rows.join("\n")}\n\n${cloneTable(clones, colors, columns)}\n${failures.join("")}\n${sockets.join("")}`;
}

/** One clone in a sentence. */
export function cloneLine({ number, state, pid, times, error, end, recoveries }: CloneStatus): string {
  const after = (time: number | null) => (time === null ? "" : ` after ${duration(time)}`);
  const told: Readonly<Record<CloneStatus["state"], string>> = {
    starting: "its QEMU starts",
    loading: `QEMU answers${after(times.ready)}, pid ${pid ?? "?"}`,
    running: `the guest runs${after(times.running)}`,
    loaded: `all of its memory is in${after(times.complete)}${recoveries === 0 ? "" : `, ${plural(recoveries, "recovery", "recoveries")}`}`,
    failed: `failed: ${error?.message ?? "?"}${error?.said === undefined ? "" : ` (${error.said})`}`,
    ended: `QEMU ended with ${end?.signal ?? `code ${end?.code ?? "?"}`}`,
  };
  return `clone ${number}: ${told[state]}`;
}

export function cloneTable(clones: readonly CloneStatus[], colors: Colors, columns: number): string {
  if (clones.length > mostRows) return tally(clones);
  const head = ["clone", "state", "pid", "running", "memory", "faults", "p99"];
  const rows = clones.map((clone) => [
    String(clone.number),
    stateText(clone, colors),
    clone.pid === null ? "" : String(clone.pid),
    clone.times.running === null ? "" : duration(clone.times.running),
    clone.total === 0 ? "" : `${percent(clone.bytes, clone.total)} of ${size(clone.total)}`,
    count(clone.faults),
    clone.latency === null || clone.latency.count === 0 ? "" : `${(clone.latency.p99 / 1000).toFixed(1)} ms`,
  ]);
  // A narrow terminal gets the left columns.
  const shown = columns < 70 ? 4 : head.length;
  const cut = (row: readonly string[]) => row.slice(0, shown);
  return plainTable(
    cut(head),
    [0, 2, 3, 4, 5, 6].filter((at) => at < shown),
    rows.map(cut),
    colors,
  );
}

function stateText({ state, runState, recoveries }: CloneStatus, colors: Colors): string {
  const text = state === "running" && runState !== null ? safe(runState) : state;
  const again = recoveries === 0 ? "" : ` (recovered ${recoveries})`;
  if (state === "failed") return colors.red(text);
  return state === "loaded" ? colors.green(`${text}${again}`) : `${text}${again}`;
}

function tally(clones: readonly CloneStatus[]): string {
  const states = new Map<string, number>();
  for (const { state } of clones) states.set(state, (states.get(state) ?? 0) + 1);
  return `  ${[...states].map(([state, each]) => `${count(each)} ${state}`).join(", ")}`;
}

/** The table on a terminal, drawn over itself; taken away for whatever else is written. */
export function liveClones(output: Output, colors: Colors): ProgressView & { note(clone: CloneStatus): void } {
  const clones = new Map<number, CloneStatus>();
  let drawn = 0;
  let last = Number.NEGATIVE_INFINITY;
  let timer: NodeJS.Timeout | undefined;
  const wipe = () => {
    if (drawn > 0) output.write(`\x1b[${drawn}A\x1b[J`);
    drawn = 0;
  };
  const draw = () => {
    clearTimeout(timer);
    timer = undefined;
    last = performance.now();
    const all = [...clones.values()].sort((a, b) => a.number - b.number);
    const text = cloneTable(all, colors, columnsOf(output));
    wipe();
    output.write(`${text}\n`);
    drawn = text.split("\n").length;
  };
  return {
    note: (clone) => {
      clones.set(clone.number, clone);
      const wait = last + drawTime - performance.now();
      // Once all is in the answer shows the table.
      const over = [...clones.values()].every(
        ({ state }) => state === "loaded" || state === "failed" || state === "ended",
      );
      if (over) return;
      if (wait <= 0) draw();
      else timer ??= setTimeout(draw, wait).unref();
    },
    show: () => undefined,
    pause: () => {
      clearTimeout(timer);
      timer = undefined;
      wipe();
    },
  };
}
