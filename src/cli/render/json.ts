import { unsafe } from "../../bytes/text.ts";
import type { Notice, Progress } from "../../operations/progress.ts";
import type { Output } from "../terminal.ts";
import { errorJson } from "./errors.ts";

/** `fixedram/save/1`. A field more does not change the number, one that goes or changes its meaning does. */
export function schemaOf(command: string): string {
  return `fixedram/${command}/1`;
}

/** The answer: one object on one line. What could steer a terminal is escaped, which JSON itself does only below U+0020. */
export function writeJson(output: Output, command: string, answer: object): void {
  const text = JSON.stringify({ schema: schemaOf(command), ...answer });
  output.write(`${text.replace(unsafe, escaped)}\n`);
}

function escaped(character: string): string {
  return Array.from(
    { length: character.length },
    (_, i) => `\\u${character.charCodeAt(i).toString(16).padStart(4, "0")}`,
  ).join("");
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
