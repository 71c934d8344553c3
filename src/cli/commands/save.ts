import { ExitCode } from "../../errors.ts";
import type { Progress } from "../../operations/progress.ts";
import type { SaveOptions } from "../../operations/save.ts";
import type { SaveViewer } from "../../viewer/live-save.ts";
import type { Invocation } from "../command.ts";
import { saveText } from "../render/save.ts";
import { beginView, keepView } from "../viewing.ts";

export async function run(invocation: Invocation): Promise<number> {
  const options = saveOptions(invocation);
  const { operations } = invocation.around;
  const viewer = await beginView(invocation, (listen) => operations.viewSave({ file: options.out, ...listen }));
  try {
    const context = await invocation.context();
    const result = await operations.save({ ...options, ...context, ...watching(viewer, context.onProgress) });
    for (const notice of result.notices) invocation.notice(notice);
    invocation.answer(result, (colors) => saveText(result, colors));
    if (viewer === null) return ExitCode.ok;
    await viewer.finished(result);
    await keepView(invocation, viewer);
    return ExitCode.ok;
  } catch (error) {
    viewer?.failed(error);
    throw error;
  } finally {
    await viewer?.close();
  }
}

function watching(
  viewer: SaveViewer | null,
  show: (progress: Progress) => void,
): Pick<SaveOptions, "watcher" | "onProgress"> {
  if (viewer === null) return {};
  const { watcher, onProgress } = viewer.hooks;
  return {
    watcher,
    onProgress: (progress) => {
      onProgress(progress);
      show(progress);
    },
  };
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
  const transport = invocation.choice("transport", ["auto", "stream", "multifd", "mapped-ram"]);
  const directIo = invocation.choice("direct-io", ["auto", "on", "off"]);
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
    ...(directIo === undefined ? {} : { directIo }),
    ...(socketDir === undefined ? {} : { socketDir }),
    ...(invocation.flag("force") ? { force: true } : {}),
  };
}
