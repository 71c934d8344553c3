import { printable } from "../../bytes/text.ts";
import type { Problem } from "../../fixedram/problems.ts";
import type { VerifyResult } from "../../operations/verify.ts";
import type { Colors } from "./colors.ts";
import { aligned, count, duration, plural, rate, size } from "./format.ts";
import { safe } from "./safe.ts";

/** Problems shown as text; --json has more. */
const shown = 20;

const states: Readonly<Record<VerifyResult["sealState"], string>> = {
  sealed: "sealed",
  none: "no seal",
  half: "half a seal: sealing was cut short, or the file's end is lost",
  damaged: "sealed, and damaged since",
  stale: "a seal of another state of the file: it was written to after it was sealed",
};

/** The verdict first, then what is wrong, then what was covered and what was not. */
export function verifyText(result: VerifyResult, colors: Colors): string {
  const { coverage, problems } = result;
  const verdict = result.ok ? colors.green(verdictOf(result)) : colors.red("damaged");
  const left = problems.length - Math.min(shown, problems.length) + result.problemsLeftOut;
  const rows = aligned([
    ["seal", states[result.sealState]],
    ["id", result.id],
    ["snapshot", result.uuid === null ? null : safe(result.uuid)],
    ["file", size(result.size)],
    ["covered", coveredText(coverage)],
    ["not covered", uncoveredText(coverage)],
    ["time", timeText(result)],
  ]);
  return `${[
    `${colors.bold(safe(result.path))}: ${verdict}`,
    ...problems.slice(0, shown).map((problem) => `  ${colors.red("-")} ${problemText(problem)}`),
    ...(left > 0 ? [`  ${colors.dim(`and ${plural(left, "more problem")}`)}`] : []),
    ...rows,
    ...result.unchecked.map((sentence) => `  ${colors.dim(sentence)}`),
  ].join("\n")}\n`;
}

function verdictOf({ sealState, deep, coverage }: VerifyResult): string {
  if (sealState !== "sealed" || coverage === null) return "nothing wrong with its structure";
  return deep ? "as it was sealed" : "as it was sealed, as far as the quick check goes";
}

function coveredText({ pages, regions, tables, seal }: VerifyResult["coverage"]): string {
  const all = pages + regions + tables + seal;
  if (all === 0) return "nothing: there is no digest to go by";
  return `${size(all)}: pages ${size(pages)}, device state and headers ${size(regions)}, digests and seal ${size(tables + seal)}`;
}

function uncoveredText({ seal, uncovered }: VerifyResult["coverage"]): string {
  return seal === 0 ? `${size(uncovered)}, the whole file` : `${size(uncovered)} that no reader uses: gaps, zero pages`;
}

function timeText({ time, deep, coverage }: VerifyResult): string {
  const speed = deep && coverage.pages > 0 ? rate(coverage.pages, time) : "";
  return `${duration(time)}${speed === "" ? "" : `, ${speed}`}`;
}

function problemText({ code, message, block, page, pages, offset }: Problem): string {
  const places: string[] = [];
  if (block !== undefined) places.push(`block ${printable(block)}`);
  if (page !== undefined) {
    places.push(
      pages === undefined || pages === 1 ? `page ${count(page)}` : `pages ${count(page)} to ${count(page + pages - 1)}`,
    );
  }
  if (offset !== undefined) places.push(`byte ${count(offset)}`);
  return `${safe(message)}${places.length === 0 ? "" : `: ${places.join(", ")}`} [${code}]`;
}
