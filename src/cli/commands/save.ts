import { ExitCode, FixedramError } from "../../errors.ts";
import type { SaveMode, SaveOptions } from "../../operations/save.ts";
import type { Invocation } from "../command.ts";
import { saveText } from "../render/save.ts";

export async function run(invocation: Invocation): Promise<number> {
  const options = saveOptions(invocation);
  const result = await invocation.around.operations.save({ ...options, ...(await invocation.context()) });
  for (const notice of result.notices) invocation.notice(notice);
  invocation.answer(result, (colors) => saveText(result, colors));
  return ExitCode.ok;
}

function saveOptions(invocation: Invocation): SaveOptions {
  const out = invocation.word(0);
  const qmp = invocation.required("qmp");
  const mode = invocation.choice("mode", ["stop", "live", "background"]);
  const then = invocation.choice("then", ["resume", "pause", "quit"]);
  const maxBandwidth = invocation.size("max-bandwidth");
  const maxTime = invocation.time("max-time");
  const maxRounds = invocation.count("max-rounds");
  const onLimit = invocation.choice("on-limit", ["stop", "abort"]);
  const socketDir = invocation.text("socket-dir");
  if (mode !== "live") refuseLiveOptions(mode ?? "stop", { maxTime, maxRounds, onLimit });
  if (mode === "background" && (then === "pause" || then === "quit")) {
    throw new FixedramError("usage.background-then", `--then ${then} does not go with --mode background`, {
      expected: "--then resume, or another mode",
      hint: "A background snapshot shows the guest as it was at the start, and the guest runs on meanwhile: what it did since would be in no file. Use --mode stop or --mode live.",
    });
  }
  return {
    out,
    qmp,
    ...(mode === undefined ? {} : { mode }),
    ...(then === undefined ? {} : { then }),
    ...(maxBandwidth === undefined ? {} : { maxBandwidth }),
    ...(maxTime === undefined ? {} : { maxTime }),
    ...(maxRounds === undefined ? {} : { maxRounds }),
    ...(onLimit === undefined ? {} : { onLimit }),
    ...(socketDir === undefined ? {} : { socketDir }),
    ...(invocation.flag("force") ? { force: true } : {}),
  };
}

const why: Readonly<Record<Exclude<SaveMode, "live">, string>> = {
  stop: "With --mode stop the guest stands still and there is one pass: nothing to limit.",
  background:
    "With --mode background the guest stands still for milliseconds only and there is one pass: nothing to limit.",
};

function refuseLiveOptions(mode: Exclude<SaveMode, "live">, given: Readonly<Record<string, unknown>>): void {
  const names: Readonly<Record<string, string>> = {
    maxTime: "--max-time",
    maxRounds: "--max-rounds",
    onLimit: "--on-limit",
  };
  for (const [key, value] of Object.entries(given)) {
    if (value === undefined) continue;
    throw new FixedramError("usage.live-only", `${names[key]} is for --mode live only`, {
      found: `--mode ${mode}`,
      hint: `${why[mode]} Leave ${names[key]} out, or use --mode live.`,
    });
  }
}
