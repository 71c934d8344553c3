import { ExitCode } from "../errors.ts";
import { toolVersion } from "../installation.ts";
import type { Operations } from "./operations.ts";
import type { Surroundings } from "./terminal.ts";

/**
 * The command line as a program: connects {@link run} with this process. Importing it runs nothing.
 *
 * @param argv what stands after the program's name
 * @returns the exit code; standard output may still be on its way, so set process.exitCode and let Node end by itself
 */
export async function main(argv: readonly string[]): Promise<number> {
  return runHere(argv, operations);
}

/** As {@link main}, with the operations given: for tests of signals and pipes in a real process. */
export async function runHere(argv: readonly string[], operations: Operations): Promise<number> {
  watchOutputs();
  if (argv[0] === "--version" || argv[0] === "-V") return printVersion(argv.includes("--json"));
  if (argv[0] === "save") beginSave(argv);
  else await beginServing(argv);
  const [{ run }, { watchSignals }] = await Promise.all([import("./run.ts"), import("./signals.ts")]);
  const signals = watchSignals((name) => {
    if (process.stderr.isTTY) process.stderr.write(`\n${name}: ending; once more ends at once\n`);
  });
  const surroundings: Surroundings = {
    operations,
    stdout: process.stdout,
    stderr: process.stderr,
    env: process.env,
    folder: process.cwd(),
    version: toolVersion,
    ...(process.stdin.isTTY && process.stderr.isTTY ? { ask } : {}),
    signals,
  };
  try {
    return await run(argv, surroundings);
  } finally {
    signals.release();
  }
}

export const operations: Operations = {
  save: async (options) => (await import("../operations/save.ts")).save(options),
  resume: async (options) => (await import("../operations/resume.ts")).resume(options),
  resumeLazy: async (options) => (await import("../operations/resume-lazy.ts")).resumeLazy(options),
  recover: async (options) => (await import("../operations/recover.ts")).recover(options),
  clone: async (options) => (await import("../operations/clone.ts")).clone(options),
  info: async (file, options) => (await import("../operations/inspect.ts")).info(file, options),
  mapOf: async (file, options) => (await import("../operations/inspect.ts")).mapOf(file, options),
  exportMap: async (options) => (await import("../viewer/export.ts")).exportMap(options),
  view: async (options) => (await import("../viewer/view.ts")).view(options),
  viewResume: async (options) => (await import("../viewer/live-resume.ts")).viewResume(options),
  viewSave: async (options) => (await import("../viewer/live-save.ts")).viewSave(options),
  verify: async (options) => (await import("../operations/verify.ts")).verify(options),
  seal: async (options) => (await import("../operations/seal.ts")).seal(options),
  repair: async (options) => (await import("../operations/repair.ts")).repair(options),
  convert: async (options) => (await import("./standard-streams.ts")).convertHere(options),
  diff: async (options) => (await import("../operations/diff.ts")).diff(options),
  exportSnapshot: async (options) => (await import("../operations/export.ts")).exportSnapshot(options),
  read: async (options) => (await import("../operations/inside/read.ts")).read(options),
  translateAddress: async (options) => (await import("../operations/inside/translate.ts")).translateAddress(options),
  search: async (options) => (await import("../operations/inside/search.ts")).search(options),
  strings: async (options) => (await import("../operations/inside/search.ts")).strings(options),
  devices: async (options) => (await import("../operations/inside/devices.ts")).devices(options),
  cpus: async (options) => (await import("../operations/inside/cpus.ts")).cpus(options),
  gdb: async (options) => (await import("./standard-streams.ts")).gdbHere(options),
  doctor: async (options) => (await import("../operations/doctor.ts")).doctor(options),
};

/** What a save needs is started and loaded while its command line is read. */
function beginSave(argv: readonly string[]): void {
  if (argv.includes("--help") || argv.includes("-h") || argv.length < 3) return;
  // What fails here fails again where it is awaited.
  import("../operations/save/guard-process.ts").then(({ startSpareGuard }) => startSpareGuard()).catch(() => {});
  import("../operations/save.ts").catch(() => {});
}

/** The page server takes longer to start than the command line to be read, the file to be opened and a QEMU to be started. */
async function beginServing(argv: readonly string[]): Promise<void> {
  const end = argv.indexOf("--");
  const words = end < 0 ? argv : argv.slice(0, end);
  const [command, file] = words;
  const lazy = command === "clone" || command === "recover" || (command === "resume" && words.includes("--lazy"));
  if (!lazy || file === undefined || file.startsWith("-") || words.includes("--help") || words.includes("-h")) return;
  // Before anything else is loaded: what fails here fails again where it is needed.
  const { startSpareServer } = await import("../operations/lazy/server-process.ts");
  startSpareServer(file);
}

function printVersion(json: boolean): number {
  const text = json
    ? JSON.stringify({ schema: "fixedram/version/1", version: toolVersion })
    : `fixedram ${toolVersion}`;
  process.stdout.write(`${text}\n`);
  return 0;
}

/** `fixedram info FILE | head`: a reader that has enough is no failure; an answer that could not be written is one. */
function watchOutputs(): void {
  process.stderr.on("error", () => undefined);
  process.stdout.on("error", (error: NodeJS.ErrnoException) => {
    // Whoever writes a stream there listens too, and says it better.
    if (error.code === "EPIPE" || process.stdout.listenerCount("error") > 1) return;
    process.stderr.write(`error: the answer could not be written: ${error.code ?? error.message}\n`);
    process.once("exit", () => {
      process.exitCode = ExitCode.system;
    });
  });
}

async function ask(question: string, signal: AbortSignal): Promise<string> {
  const { createInterface } = await import("node:readline/promises");
  const lines = createInterface({ input: process.stdin, output: process.stderr });
  // In raw mode Ctrl-C comes as a character, not as a signal.
  lines.on("SIGINT", () => process.kill(process.pid, "SIGINT"));
  const closed = new Promise<string>((resolve) =>
    lines.once("close", () => {
      // The question's line has not been ended by an answer.
      if (!answered && !signal.aborted) process.stderr.write("\n");
      resolve("");
    }),
  );
  let answered = false;
  try {
    const reply = await Promise.race([lines.question(question, { signal }), closed]);
    answered = true;
    return reply;
  } finally {
    lines.close();
  }
}
