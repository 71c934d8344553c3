import { ExitCode } from "../../errors.ts";
import type { SaveOptions } from "../../operations/save.ts";
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
  const transport = invocation.choice("transport", ["auto", "stream", "multifd"]);
  const socketDir = invocation.text("socket-dir");
  return {
    out,
    qmp,
    ...(mode === undefined ? {} : { mode }),
    ...(then === undefined ? {} : { then }),
    ...(maxBandwidth === undefined ? {} : { maxBandwidth }),
    ...(maxTime === undefined ? {} : { maxTime }),
    ...(maxRounds === undefined ? {} : { maxRounds }),
    ...(onLimit === undefined ? {} : { onLimit }),
    ...(transport === undefined ? {} : { transport }),
    ...(socketDir === undefined ? {} : { socketDir }),
    ...(invocation.flag("force") ? { force: true } : {}),
  };
}
