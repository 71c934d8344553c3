import { printable } from "../../bytes/text.ts";
import { type ErrorJson, FixedramError } from "../../errors.ts";
import type { Colors } from "./colors.ts";
import { count, wrap } from "./format.ts";
import { safe } from "./safe.ts";

/** Exit code of a fault of our own; the same as for the system's faults (docs/cli.md). */
export function exitCodeOf(error: unknown): number {
  return asFixedramError(error).exitCode;
}

/** What is not a FixedramError is a fault of ours: `internal.error`. */
export function asFixedramError(error: unknown): FixedramError {
  if (error instanceof FixedramError) return error;
  const words = error instanceof Error ? `${error.name}: ${error.message}` : String(error);
  return new FixedramError(
    "internal.error",
    "something went wrong inside fixedram",
    {
      found: words,
      hint: "Please report this with the command you ran; FIXEDRAM_DEBUG=1 shows where it happened.",
    },
    { cause: error },
  );
}

/** The error as `--json` gives it. */
export function errorJson(error: unknown): ErrorJson {
  return asFixedramError(error).toJSON();
}

/** Lines for a person: what, what was found there, where, QEMU's own words, what to do. */
export function errorText(error: unknown, colors: Colors, columns: number, debug: boolean): string {
  const known = asFixedramError(error);
  const { found, expected, said, hint } = known.details;
  const lines = [`${colors.red(colors.bold("error:"))} ${safe(known.message)} ${colors.dim(`[${known.code}]`)}`];
  const add = (label: string, text: string): void => {
    const [first = "", ...rest] = text.split("\n");
    lines.push(`  ${colors.dim(`${label}:`)} ${safe(first)}`);
    for (const line of rest) lines.push(`    ${safe(line)}`);
  };
  if (found !== undefined) add("found", found);
  if (expected !== undefined) add("expected", expected);
  const place = where(known);
  if (place !== "") lines.push(`  ${colors.dim("at:")} ${place}`);
  if (said !== undefined) add(speaker(known.code, said), said.trimEnd());
  if (hint !== undefined) {
    const [first = "", ...rest] = wrap(safe(hint), columns - 7);
    lines.push(`  ${colors.cyan("try:")} ${first}`, ...rest.map((line) => `       ${line}`));
  }
  if (debug) lines.push(...stackOf(known));
  return `${lines.join("\n")}\n`;
}

/** Node's messages carry the name of the errno; QEMU's never do. What is wrong with the input we say ourselves. */
function speaker(code: string, said: string): string {
  if (/^system\./.test(code) || /\bE[A-Z]{3,}\b/.test(said)) return "the system says";
  return /^(?:qmp|qemu|guest)\./.test(code) ? "QEMU says" : "why";
}

function where(error: FixedramError): string {
  const { path, offset, block, page } = error.details;
  const parts: string[] = [];
  if (path !== undefined) parts.push(safe(path));
  if (offset !== undefined) parts.push(`byte ${count(offset)} (0x${offset.toString(16)})`);
  if (block !== undefined) parts.push(`block ${printable(block)}`);
  if (page !== undefined) parts.push(`page ${count(page)}`);
  return parts.join(", ");
}

function stackOf(error: FixedramError): string[] {
  const stack = (error.cause instanceof Error ? error.cause.stack : undefined) ?? error.stack ?? "";
  return stack.split("\n").map((line) => `  ${safe(line)}`);
}
