import { ExitCode } from "../../errors.ts";
import type { ResumeOptions } from "../../operations/resume.ts";
import type { Activity, LazyResumeOptions, LazyRunning } from "../../operations/resume-lazy.ts";
import type { ResumeViewer } from "../../viewer/live-resume.ts";
import type { Invocation } from "../command.ts";
import { type Events, openEvents } from "../events.ts";
import { duration } from "../render/format.ts";
import { lazyText } from "../render/resume-lazy.ts";
import { signalExitCode } from "../terminal.ts";
import { beginView, keepView } from "../viewing.ts";
import { confirm } from "./resume.ts";

/** `fixedram resume --lazy`: answers when all RAM is in; that the guest runs is said on the way. */
export async function runLazy(invocation: Invocation, options: ResumeOptions): Promise<number> {
  const { operations } = invocation.around;
  const { file, offset, bigEndian } = options;
  const path = invocation.text("events");
  const events = path === undefined ? null : openEvents(path, file);
  let viewer: ResumeViewer | null = null;
  try {
    viewer = await beginView(invocation, (listen) =>
      operations.viewResume({
        ...{ file, ...listen },
        ...(offset === undefined ? {} : { offset }),
        ...(bigEndian === undefined ? {} : { bigEndian }),
      }),
    );
    const code = await resumeWith(invocation, options, events, viewer);
    if (viewer !== null) await keepView(invocation, viewer);
    return code;
  } catch (error) {
    viewer?.failed(error);
    throw error;
  } finally {
    const lost = events?.close() ?? 0;
    if (lost > 0) {
      const message = `${lost} events are missing: whoever reads them was too slow`;
      invocation.notice({ level: "warning", code: "events-lost", message });
    }
    await viewer?.close();
  }
}

async function resumeWith(
  invocation: Invocation,
  options: ResumeOptions,
  events: Events | null,
  viewer: ResumeViewer | null,
): Promise<number> {
  const { operations, signals } = invocation.around;
  const watched = events !== null || viewer !== null;
  const onActivity = (batch: readonly Activity[]) => {
    events?.write(batch);
    viewer?.hooks.onActivity(batch);
  };
  let release = () => {};
  try {
    const result = await operations.resumeLazy({
      ...options,
      ...lazyOptions(invocation),
      ...(watched ? { onActivity } : {}),
      ...(viewer === null ? {} : { onOutput: viewer.hooks.onOutput }),
      confirm: (argv) => confirm(invocation, argv),
      ...(await invocation.context()),
      onRunning: (running) => {
        viewer?.hooks.onRunning(running);
        tellRunning(invocation, running);
        release = signals.hold?.(() => explain(invocation, running.process)) ?? release;
      },
    });
    release();
    viewer?.finished(result);
    if (result.process !== null) signals.handOver(result.process.pid, result.process.ownSession);
    for (const notice of result.notices) invocation.notice(notice);
    const { process: started, ...rest } = result;
    const json = { ...rest, process: started === null ? null : { pid: started.pid, qmp: started.qmp } };
    invocation.answer(json, (colors) => lazyText(result, colors), "resume-lazy");
    if (started === null) return ExitCode.ok;
    const { code, signal } = await started.ended;
    signals.takeBack?.();
    return signal === null ? (code ?? ExitCode.ok) : signalExitCode(signal);
  } finally {
    release();
  }
}

/** The options that --lazy has besides those of every resume. */
export function lazyOptions(invocation: Invocation): Pick<LazyResumeOptions, "prefetch" | "around" | "pushRate"> {
  const prefetch = invocation.text("prefetch");
  const around = invocation.count("around", 1, 1024);
  const pushRate = invocation.size("push-rate");
  return {
    ...(prefetch === undefined ? {} : { prefetch }),
    ...(around === undefined ? {} : { around }),
    ...(pushRate === undefined ? {} : { pushRate }),
  };
}

function tellRunning(invocation: Invocation, { runState, times, process: started, pageServer }: LazyRunning): void {
  const where = started === null ? "" : `, QEMU's pid ${started.pid}`;
  invocation.notice({
    level: "note",
    code: "running",
    message: `the guest is ${runState} after ${duration(times.running)}${where}; page server ${pageServer} brings the rest of its memory`,
  });
}

/** What Ctrl-C would mean now. */
function explain(invocation: Invocation, started: LazyRunning["process"]): void {
  const then =
    started === null
      ? "Once more ends fixedram, and leaves the page server to bring the rest by itself."
      : `Once more ends QEMU, and with it the guest${started.ownSession === true ? "" : " (now, if QEMU took the terminal's Ctrl-C for itself)"}; the snapshot stays as it is.`;
  invocation.notice({
    level: "warning",
    code: "pages-outstanding",
    message: `the guest still needs pages from the file. Wait until all of its memory is in. ${then}`,
  });
}
