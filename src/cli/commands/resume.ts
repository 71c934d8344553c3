import { ExitCode, FixedramError } from "../../errors.ts";
import type { ResumeOptions, ResumeResult } from "../../operations/resume.ts";
import { redactArgv } from "../../qemu/redact.ts";
import type { Invocation } from "../command.ts";
import { orderOf } from "../order.ts";
import { colorsFor } from "../render/colors.ts";
import { type Marks, recordedText, resumeText } from "../render/resume.ts";
import { signalExitCode } from "../terminal.ts";

export async function run(invocation: Invocation): Promise<number> {
  const { operations, signals } = invocation.around;
  const options = resumeOptions(invocation);
  if (invocation.flag("lazy")) return (await import("./resume-lazy.ts")).runLazy(invocation, options);
  refuseWithoutLazy(invocation);
  const result = await operations.resume({
    ...options,
    confirm: (argv) => confirm(invocation, argv),
    ...(await invocation.context()),
  });
  if (result.process !== null) signals.handOver(result.process.pid);
  for (const notice of result.notices) invocation.notice(notice);
  invocation.answer(answerOf(result), (colors) => resumeText(result, colors));
  if (result.process === null) return ExitCode.ok;
  const { code, signal } = await result.process.ended;
  return signal === null ? (code ?? ExitCode.ok) : signalExitCode(signal);
}

function refuseWithoutLazy(invocation: Invocation): void {
  const words = ["prefetch", "around", "push-rate", "events", "listen"];
  const given = [
    ...words.filter((name) => invocation.text(name) !== undefined),
    ...["view", "no-open"].filter((name) => invocation.flag(name)),
  ];
  if (given.length === 0) return;
  throw new FixedramError("usage.conflict", "that goes together with --lazy only", {
    found: given.map((name) => `--${name}`).join(" and "),
    expected: "--lazy",
  });
}

function resumeOptions(invocation: Invocation): ResumeOptions {
  const file = invocation.word(0);
  const qmp = invocation.text("qmp");
  const command = invocation.tail;
  const id = invocation.text("id");
  const offset = invocation.size("offset");
  const socketDir = invocation.text("socket-dir");
  const runRecorded = invocation.flag("run-recorded");
  if (command !== null && command.length === 0) {
    throw new FixedramError("usage.missing-argument", "there is no QEMU command after --", {
      expected: "fixedram resume FILE -- QEMU-COMMAND ...",
    });
  }
  return {
    file,
    // With --json stdout is the answer's alone, so QEMU gets no terminal then.
    console: invocation.json ? "captured" : "terminal",
    ...(qmp === undefined ? {} : { qmp }),
    ...(command === null ? {} : { command }),
    ...(runRecorded ? { runRecorded } : {}),
    ...(invocation.flag("verify") ? { verify: true } : {}),
    ...(id === undefined ? {} : { id }),
    ...(socketDir === undefined ? {} : { socketDir }),
    ...(invocation.flag("paused") ? { paused: true } : {}),
    ...orderOf(invocation),
    ...(offset === undefined ? {} : { offset }),
    ...(invocation.flag("force") ? { force: true } : {}),
  };
}

/** Shows the recorded command and asks. A file from elsewhere must not run commands, so no terminal means no. */
export async function confirm(invocation: Invocation, argv: readonly string[]): Promise<boolean> {
  const { ask, stderr, env, signals } = invocation.around;
  invocation.settle();
  if (!invocation.json) stderr.write(recordedText(argv, marksOf(argv), colorsFor(stderr, env)));
  if (ask === undefined || invocation.json) {
    throw new FixedramError("usage.not-confirmed", "the command recorded in the file is run only after a yes", {
      ...(invocation.json ? { found: argv.map((text) => JSON.stringify(text)).join(" ") } : {}),
      hint: "There is no terminal to ask on. If you trust the file, add --run-recorded; or give a QEMU command after --, or --qmp.",
    });
  }
  const reply = await ask("Run this command? [y/N] ", signals.abort);
  return /^\s*y(es)?\s*$/i.test(reply);
}

/** The record is redacted already; its marks are found again, in case it was made elsewhere. */
function marksOf(argv: readonly string[]): Marks {
  const { redacted, descriptors } = redactArgv(argv);
  const left = argv.flatMap((text, index) => (text.includes("<redacted>") ? [index] : []));
  return { redacted: [...redacted, ...left], descriptors };
}

/** The result without what JSON can't hold. */
function answerOf(result: ResumeResult): object {
  const { process: started, ...rest } = result;
  return { ...rest, process: started === null ? null : { pid: started.pid, qmp: started.qmp } };
}
