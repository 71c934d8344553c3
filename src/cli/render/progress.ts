import type { SingleBar } from "cli-progress";
import type { Progress } from "../../operations/progress.ts";
import { columnsOf, type Output } from "../terminal.ts";
import { duration, rate, size } from "./format.ts";

/** Shows how far an operation is. `pause` takes the bar off the line, so that something else can be written. */
export interface ProgressView {
  show(progress: Progress): void;
  pause(): void;
}

const phaseNames: Readonly<Record<Progress["phase"], string>> = {
  preflight: "checking",
  connect: "connecting",
  ram: "memory",
  switchover: "last pages",
  "device-state": "devices",
  sync: "to disk",
  commit: "finishing",
  start: "starting",
  load: "loading",
  verify: "verifying",
  compare: "comparing",
  search: "searching",
  seal: "sealing",
  finish: "finishing",
};

/** No view: `--quiet`, or standard error is not a terminal. */
export const noProgress: ProgressView = { show: () => undefined, pause: () => undefined };

/** Rate since the phase began and what is left at that rate, both from the operation's own clock. */
export class Pace {
  #phase: string | null = null;
  #since = 0;
  #bytesThen = 0;

  /** Bytes a second and milliseconds left; null while too little is known. */
  note(progress: Progress): { rate: string; left: number | null } {
    if (progress.phase !== this.#phase) {
      this.#phase = progress.phase;
      this.#since = progress.elapsed;
      this.#bytesThen = progress.bytes;
    }
    const time = progress.elapsed - this.#since;
    const moved = progress.bytes - this.#bytesThen;
    // The first few pages take as long as whatever went before them.
    const little = Math.min(progress.total / 100, 16 * 2 ** 20);
    if (time < 300 || moved <= little) return { rate: "", left: null };
    const left = progress.total > progress.bytes ? ((progress.total - progress.bytes) / moved) * time : null;
    return { rate: rate(moved, time), left };
  }
}

/** The line without its bar: `memory  41 %  210 MiB of 512 MiB  180 MiB/s  2.0 s left  round 2`. */
export function progressLine(progress: Progress, pace: Pace, bar: (share: number) => string, columns: number): string {
  const { rate: speed, left } = pace.note(progress);
  const known = progress.total > 0;
  const share = known ? Math.min(1, progress.bytes / progress.total) : 0;
  const parts = [phaseNames[progress.phase].padEnd(10)];
  if (known) {
    parts.push(bar(share), `${Math.floor(share * 100)} %`.padStart(5));
    parts.push(`${size(progress.bytes)} of ${size(progress.total)}`);
  } else if (progress.bytes > 0) {
    parts.push(size(progress.bytes));
  }
  if (speed !== "") parts.push(speed);
  if (left !== null) parts.push(`${duration(left)} left`);
  if (progress.round > 1) parts.push(`round ${progress.round}`);
  // The last column stays free: some terminals wrap when it is written.
  return parts.join("  ").slice(0, columns - 1);
}

/** A bar on a terminal's standard error, taken away when the operation ends. */
export async function progressBar(output: Output): Promise<ProgressView> {
  const { default: progress } = await import("cli-progress");
  const pace = new Pace();
  let latest: Progress | null = null;
  let bar: SingleBar | null = null;
  let running = false;

  const format: import("cli-progress").GenericFormatter = (options) => {
    if (latest === null) return "";
    const columns = columnsOf(output);
    const width = Math.max(8, Math.min(30, columns - 72));
    const draw = (share: number): string => {
      const full = Math.round(share * width);
      return `[${(options.barCompleteString ?? "").slice(0, full)}${(options.barIncompleteString ?? "").slice(0, width - full)}]`;
    };
    return progressLine(latest, pace, draw, columns);
  };
  return {
    show: (next) => {
      latest = next;
      bar ??= new progress.SingleBar({
        format,
        stream: output as NodeJS.WritableStream,
        clearOnComplete: true,
        // The line is cut to fit; the terminal's settings stay alone, whatever way we end.
        linewrap: true,
        hideCursor: false,
        gracefulExit: false,
        forceRedraw: true,
        barCompleteChar: "#",
        barIncompleteChar: "-",
      });
      if (running) bar.update(next.bytes);
      else bar.start(Math.max(1, next.total), next.bytes);
      running = true;
    },
    pause: () => {
      if (running) bar?.stop();
      running = false;
    },
  };
}

/** NDJSON, at most four lines a second and one at every change of phase or round. */
export function progressLines(write: (progress: Progress) => void): ProgressView {
  let last: Progress | null = null;
  return {
    show: (next) => {
      const same = last !== null && last.phase === next.phase && last.round === next.round;
      if (same && last !== null && next.elapsed - last.elapsed < 250) return;
      last = next;
      write(next);
    },
    pause: () => undefined,
  };
}
