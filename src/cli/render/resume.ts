import type { ResumeResult } from "../../operations/resume.ts";
import type { Colors } from "./colors.ts";
import { aligned, duration } from "./format.ts";
import { argument, safe } from "./safe.ts";

export function resumeText(result: ResumeResult, colors: Colors): string {
  const { times, process: started } = result;
  const rows = aligned([
    [
      "guest",
      `${safe(result.runState)}, QEMU ${safe(result.qemuVersion)}${started === null ? "" : `, pid ${started.pid}`}`,
    ],
    ["loaded", `as ${result.transport}: ${safe(result.transportReason)}`],
    ["time", `${duration(times.total)} (QEMU ready ${duration(times.ready)}, load ${duration(times.load)})`],
    ["age", result.age === null ? null : `${duration(result.age)}; the guest's clock jumps by as much`],
    ["control", started === null ? null : `--qmp ${argument(started.qmp)}`],
    ["snapshot", result.uuid],
  ]);
  return `Resumed ${colors.bold(safe(result.path))}\n${rows.join("\n")}\n`;
}

/** Indices of arguments that can't be run again as they are. */
export interface Marks {
  readonly redacted: readonly number[];
  readonly descriptors: readonly number[];
}

/** The recorded command, an argument a line; what needs a look before it is run is marked. */
export function recordedText(argv: readonly string[], marks: Marks, colors: Colors): string {
  const { redacted, descriptors } = marks;
  const lines = argv.map((text, index) => {
    const remark = redacted.includes(index)
      ? "a secret was left out here"
      : descriptors.includes(index)
        ? "an open file of the first QEMU, gone now"
        : "";
    return `  ${argument(text)}${remark === "" ? "" : `  ${colors.yellow(`<- ${remark}`)}`}`;
  });
  return `The snapshot records this command:\n\n${lines.join("\n")}\n\n`;
}
