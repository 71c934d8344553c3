import { CommanderError } from "commander";
import { ExitCode, FixedramError } from "../errors.ts";
import { type Given, Invocation, type Run } from "./command.ts";
import { type CommandDefinition, commands } from "./definitions/index.ts";
import { buildProgram } from "./program.ts";
import { colorsFor } from "./render/colors.ts";
import { errorText, exitCodeOf } from "./render/errors.ts";
import { writeJsonError } from "./render/json.ts";
import { columnsOf, type Surroundings, signalExitCode } from "./terminal.ts";
import { usageError } from "./usage.ts";

/** Each command is loaded when it is meant, not before. */
const runs: Readonly<Record<string, () => Promise<{ run: Run }>>> = {
  save: () => import("./commands/save.ts"),
  resume: () => import("./commands/resume.ts"),
  clone: () => import("./commands/clone.ts"),
  recover: () => import("./commands/recover.ts"),
  info: () => import("./commands/info.ts"),
  map: () => import("./commands/map.ts"),
  view: () => import("./commands/view.ts"),
  verify: () => import("./commands/verify.ts"),
  seal: () => import("./commands/seal.ts"),
  repair: () => import("./commands/repair.ts"),
  convert: () => import("./commands/convert.ts"),
  diff: () => import("./commands/diff.ts"),
  export: () => import("./commands/export.ts"),
  read: () => import("./commands/read.ts"),
  translate: () => import("./commands/translate.ts"),
  search: () => import("./commands/search.ts"),
  strings: () => import("./commands/strings.ts"),
  devices: () => import("./commands/devices.ts"),
  cpus: () => import("./commands/cpus.ts"),
  gdb: () => import("./commands/gdb.ts"),
  doctor: () => import("./commands/doctor.ts"),
  completions: () => import("./commands/completions.ts"),
};

/**
 * Runs one command line to its end. Never throws: what goes wrong is told on standard error (or as JSON on standard output)
 * and in the exit code, as docs/cli.md lists them.
 *
 * @param argv what stands after the program's name
 */
export async function run(argv: readonly string[], around: Surroundings): Promise<number> {
  const { command, head, tail } = split(argv);
  const json = head.includes("--json");
  let invocation: Invocation | null = null;
  try {
    const meant = parse(head, tail, command, around);
    if (meant === null) return ExitCode.ok;
    invocation = new Invocation(meant.definition, meant.given, around);
    const load = runs[meant.definition.name];
    if (load === undefined) throw new Error(`no module for ${meant.definition.name}`);
    const { run: runCommand } = await load();
    return await runCommand(invocation);
  } catch (error) {
    invocation?.settle();
    return report(error, json, command ?? "error", around);
  }
}

/** Everything after the first `--` of `resume` is QEMU's; commander would mix it with the arguments. */
function split(argv: readonly string[]): {
  command: string | null;
  head: readonly string[];
  tail: readonly string[] | null;
} {
  const first = argv.find((word) => !word.startsWith("-"));
  const command = commands.find((known) => known.name === first) ?? null;
  const dashes = argv.indexOf("--");
  if (command?.tail === undefined || dashes < 0) return { command: command?.name ?? null, head: argv, tail: null };
  return { command: command.name, head: argv.slice(0, dashes), tail: argv.slice(dashes + 1) };
}

/** What was meant; null when only help was asked for and has been shown. */
function parse(
  head: readonly string[],
  tail: readonly string[] | null,
  command: string | null,
  around: Surroundings,
): { definition: CommandDefinition; given: Given } | null {
  let meant: { definition: CommandDefinition; given: Given } | null = null;
  const program = buildProgram(
    (definition, words, options) => {
      meant = { definition, given: { words, options, tail } };
    },
    { write: (text) => around.stdout.write(text), columns: columnsOf(around.stdout) },
  );
  if (head.length === 0) {
    throw new FixedramError("usage.missing-command", "a command is missing", {
      expected: commands.map((known) => known.name).join(", "),
      hint: "fixedram --help shows what there is.",
    });
  }
  try {
    program.parse(head, { from: "user" });
  } catch (error) {
    if (!(error instanceof CommanderError)) throw error;
    if (error.exitCode === 0) return null;
    throw usageError(error, command, head);
  }
  return meant;
}

function report(error: unknown, json: boolean, command: string, around: Surroundings): number {
  const { stdout, stderr, env, signals } = around;
  const signal = signals.received();
  if (json) {
    writeJsonError(stdout, command, signal === null ? error : interrupted(error, signal));
  } else {
    const shown = signal === null ? error : interrupted(error, signal);
    stderr.write(errorText(shown, colorsFor(stderr, env), columnsOf(stderr), env.FIXEDRAM_DEBUG === "1"));
  }
  return signal === null ? exitCodeOf(error) : signalExitCode(signal);
}

/** After a signal the operation's failure is not news; what it says about the guest still is. */
function interrupted(error: unknown, signal: NodeJS.Signals): FixedramError {
  const own = error instanceof FixedramError ? error : null;
  const news = own !== null && !own.code.startsWith("interrupted.");
  const details = news ? { found: own.message, ...own.details } : (own?.details ?? {});
  return new FixedramError("interrupted.signal", `ended by ${signal}`, details, { cause: error });
}
