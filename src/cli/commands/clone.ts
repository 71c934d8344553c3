import { ExitCode, FixedramError } from "../../errors.ts";
import { type CloneOptions, type CloneStatus, mostClones } from "../../operations/clone.ts";
import type { Invocation } from "../command.ts";
import { orderOf } from "../order.ts";
import { cloneLine, cloneText, liveClones } from "../render/clone.ts";
import { colorsFor } from "../render/colors.ts";
import { writeJson } from "../render/json.ts";
import { signalExitCode } from "../terminal.ts";
import { confirm } from "./resume.ts";
import { lazyOptions } from "./resume-lazy.ts";

/** Answers when every guest has all of its memory, or has failed; ends with the last QEMU. */
export async function run(invocation: Invocation): Promise<number> {
  const { operations, signals } = invocation.around;
  const { signal, onNotice, onProgress } = await invocation.context();
  const onClone = newsOf(invocation);
  const clones = await operations.clone({
    ...cloneOptions(invocation),
    confirm: (argv) => confirm(invocation, argv),
    ...{ signal, onNotice, onClone },
    // On a terminal the table tells it.
    ...(invocation.json ? { onProgress } : {}),
  });
  for (const notice of clones.result.notices) invocation.notice(notice);
  invocation.answer(clones.result, (colors, columns) => cloneText(clones.result, colors, columns));
  await clones.ended;
  invocation.settle();
  const received = signals.received();
  return received === null ? exitCodeOf(clones.clones) : signalExitCode(received);
}

function cloneOptions(invocation: Invocation): CloneOptions {
  const command = invocation.tail;
  invocation.required("count");
  const id = invocation.text("id");
  const overlayDir = invocation.text("overlay-dir");
  const socketDir = invocation.text("socket-dir");
  if (command !== null && command.length === 0) {
    throw new FixedramError("usage.missing-argument", "there is no QEMU command after --", {
      expected: "fixedram clone FILE -n N -- QEMU-COMMAND ...",
    });
  }
  return {
    file: invocation.word(0),
    count: invocation.count("count", 1, mostClones) ?? 1,
    ...lazyOptions(invocation),
    ...(command === null ? {} : { command }),
    ...(overlayDir === undefined ? {} : { overlayDir }),
    ...(socketDir === undefined ? {} : { socketDir }),
    ...(id === undefined ? {} : { id }),
    ...(invocation.flag("run-recorded") ? { runRecorded: true } : {}),
    ...(invocation.flag("paused") ? { paused: true } : {}),
    ...(invocation.flag("verify") ? { verify: true } : {}),
    ...orderOf(invocation),
    ...(invocation.flag("force") ? { force: true } : {}),
  };
}

/** On a terminal a table that is drawn again and again; else, and once all is told, a line for each change of state. */
function newsOf(invocation: Invocation): (clone: CloneStatus) => void {
  const { stderr, env } = invocation.around;
  const states = new Map<number, CloneStatus["state"]>();
  const live = !invocation.quiet && !invocation.json && stderr.isTTY === true;
  const view = live ? liveClones(stderr, colorsFor(stderr, env)) : null;
  if (view !== null) invocation.watch(view);
  return (clone) => {
    const changed = states.get(clone.number) !== clone.state;
    states.set(clone.number, clone.state);
    view?.note(clone);
    if (!changed) return;
    if (invocation.json) writeJson(stderr, "clone", { type: "clone", ...clone });
    else if (clone.state === "failed")
      invocation.notice({ level: "warning", code: "clone", message: cloneLine(clone) });
    else if (view === null || clone.state === "ended")
      invocation.notice({ level: "note", code: "clone", message: cloneLine(clone) });
  };
}

/** Of the first that failed; of a QEMU that ended as no guest ends it, 4. */
function exitCodeOf(clones: readonly CloneStatus[]): number {
  for (const { error } of clones) if (error !== null) return FixedramError.from(error).exitCode;
  return clones.every(({ end }) => end === null || end.code === 0) ? ExitCode.ok : ExitCode.qemu;
}
