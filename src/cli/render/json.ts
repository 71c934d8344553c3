import type { Notice, Progress } from "../../operations/progress.ts";
import type { Output } from "../terminal.ts";
import { errorJson } from "./errors.ts";

/** `fixedram/save/1`. A field more does not change the number, one that goes or changes its meaning does. */
export function schemaOf(command: string): string {
  return `fixedram/${command}/1`;
}

/** The answer: one object on one line. */
export function writeJson(output: Output, command: string, answer: object): void {
  output.write(`${JSON.stringify({ schema: schemaOf(command), ...answer })}\n`);
}

export function writeJsonError(output: Output, command: string, error: unknown): void {
  writeJson(output, command, { error: errorJson(error) });
}

/** Progress as one line on standard error. */
export function writeJsonProgress(output: Output, command: string, progress: Progress): void {
  writeJson(output, command, { type: "progress", ...progress });
}

export function writeJsonNotice(output: Output, command: string, notice: Notice): void {
  writeJson(output, command, { type: "notice", ...notice });
}
