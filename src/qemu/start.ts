/**
 * Starts a QEMU: never through a shell, with a QMP socket of ours in a private folder, ended when it fails, and not left behind
 * when we end. Linux's parent-death signal (through setpriv of util-linux, where it is installed) covers even our own kill -9.
 */
import { type ChildProcess, spawn } from "node:child_process";
import { accessSync, constants, existsSync, readFileSync } from "node:fs";
import { delimiter, join } from "node:path";
import { isMainThread } from "node:worker_threads";
import { FixedramError } from "../errors.ts";
import { QmpClient } from "../qmp/client.ts";
import { abortError } from "../qmp/errors.ts";
import { type PrepareOptions, prepareArgv, type StartNotice, wantsTerminal } from "./arguments.ts";
import { makePrivateFolder } from "./private-folder.ts";
import { startTimeOf } from "./process.ts";
import { socketInodes } from "./sockets.ts";

export interface StartOptions {
  /** Adds `-incoming defer`; default true. */
  readonly incoming?: boolean;
  /** `terminal`: QEMU's console is ours; `captured` (default): no input, output kept for messages. */
  readonly console?: "terminal" | "captured";
  /**
   * A session of its own, so that what is typed on a terminal (Ctrl-C) reaches us alone; one whose console is the terminal stays in ours.
   * Default false.
   */
  readonly ownSession?: boolean;
  /** Where the private folder for the QMP socket is made. */
  readonly socketDir?: string;
  readonly cwd?: string;
  readonly onNotice?: (notice: StartNotice) => void;
  /** QEMU prints something on its standard output. With it a console on the terminal goes through us. */
  readonly onOutput?: () => void;
  readonly signal?: AbortSignal;
  /** Milliseconds until QMP must answer; default 30 000. */
  readonly timeout?: number;
  /** Default true: QEMU ends when we end, for whatever reason. False leaves it running. */
  readonly tether?: boolean;
  /**
   * Default true: a tethered QEMU dies even with our kill -9. False for one that gets a guest: once that runs, nothing that
   * happens to us may end it ({@link StartedQemu.untether}).
   */
  readonly deathSignal?: boolean;
}

export interface QemuEnd {
  readonly code: number | null;
  readonly signal: string | null;
}

export interface StartedQemu {
  readonly pid: number;
  /** Connected, in command mode. */
  readonly client: QmpClient;
  /** Path of the QMP socket; removed with its folder when QEMU has ended. */
  readonly qmp: string;
  /** As it was started, ours added. */
  readonly argv: readonly string[];
  /** A terminal's signals do not reach it. */
  readonly ownSession: boolean;
  /** The command line had `-S`. */
  readonly paused: boolean;
  readonly ended: Promise<QemuEnd>;
  /** The end of what QEMU printed on stderr (and stdout, when captured). */
  words(): string;
  /** From now on QEMU outlives us. */
  untether(): void;
  /** SIGTERM, after 5 s SIGKILL; resolves when the process is gone. */
  stop(): Promise<QemuEnd>;
}

/**
 * Starts a QEMU and waits until QMP answers.
 *
 * @param command program and arguments
 *
 * Errors: those of prepareArgv and makePrivateFolder; `qemu.not-started` (no such program, not executable), `qemu.exited` (ended
 * before QMP answered, with its words in `said`), `qemu.start-timeout`, `interrupted.aborted`. In each case no process is left.
 */
export async function startQemu(command: readonly string[], options: StartOptions = {}): Promise<StartedQemu> {
  if (options.signal?.aborted === true) throw abortError(options.signal, "starting QEMU");
  const folder = makePrivateFolder(options.socketDir);
  let running: Running;
  let prepared: ReturnType<typeof prepareArgv>;
  const qmp = folder.socket("qmp.sock");
  try {
    prepared = prepareArgv(command, { ...checks, qmp, ...choices(options) });
    for (const notice of prepared.notices) options.onNotice?.(notice);
    running = new Running(prepared.argv, options, () => folder.remove());
  } catch (error) {
    folder.remove();
    throw error;
  }
  try {
    const client = await waitForQmp(running, qmp, options);
    return {
      pid: running.pid,
      client,
      qmp,
      argv: prepared.argv,
      ownSession: running.ownSession,
      paused: prepared.paused,
      ended: running.ended,
      words: () => running.words(),
      untether: () => running.untether(),
      stop: () => running.stop(),
    };
  } catch (error) {
    await running.stop();
    throw error;
  }
}

function choices(options: StartOptions): Pick<PrepareOptions, "incoming" | "captured"> {
  return { incoming: options.incoming !== false, captured: options.console !== "terminal" };
}

const checks: Pick<PrepareOptions, "pidfileInUse" | "socketInUse"> = {
  pidfileInUse: (path) => {
    try {
      return startTimeOf(Number.parseInt(readFileSync(path, "utf8"), 10)) !== null;
    } catch {
      return false;
    }
  },
  socketInUse: (path) => socketInodes({ kind: "unix", path }, "listening").size > 0,
};

/** Bytes of QEMU's output that are kept. */
const KEPT = 16 * 1024;
/** Milliseconds between SIGTERM and SIGKILL. */
const PATIENCE = 5000;

/** Ends of QEMUs that go with this process. One listener for all: there may be many. */
const tied = new Set<() => void>();

function endWithUs(kill: () => void): void {
  if (tied.size === 0) process.once("exit", endTied);
  tied.add(kill);
}

function endTied(): void {
  for (const kill of tied) kill();
}

/** A child process with its last words. Also used for short runs (probe.ts). */
export class Running {
  readonly ended: Promise<QemuEnd>;
  readonly child: ChildProcess;
  readonly ownSession: boolean;
  /** Set once it has ended, or could not be started. */
  end: QemuEnd | null = null;
  failure: Error | null = null;
  #tail = Buffer.alloc(0);
  readonly #kill = () => void this.child.kill("SIGKILL");

  constructor(
    argv: readonly string[],
    options: StartOptions & { readonly input?: "pipe" },
    cleanUp: () => void = () => {},
  ) {
    const tether = options.tether !== false;
    const [program, ...words] = tether && options.deathSignal !== false ? tethered(argv) : argv;
    const terminal = options.console === "terminal";
    this.ownSession = !tether || (options.ownSession === true && !(terminal && wantsTerminal(argv)));
    const input = options.input ?? (terminal ? "inherit" : "ignore");
    const { onOutput } = options;
    const output = terminal && onOutput === undefined ? "inherit" : "pipe";
    this.child = spawn(program ?? "", words, {
      stdio: [input, output, "pipe"],
      ...(options.cwd === undefined ? {} : { cwd: options.cwd }),
      detached: this.ownSession,
    });
    if (tether) endWithUs(this.#kill);
    if (options.input !== "pipe") {
      this.child.stdout?.on("data", (chunk: Buffer) => {
        if (!terminal) this.#keep(chunk);
        onOutput?.();
      });
      if (terminal) this.child.stdout?.pipe(process.stdout, { end: false });
    }
    this.child.stderr?.on("data", (chunk: Buffer) => {
      this.#keep(chunk);
      if (terminal) process.stderr.write(chunk);
    });
    this.child.stdin?.on("error", () => {});
    this.ended = new Promise((resolve) => {
      const settle = (end: QemuEnd) => {
        if (this.end !== null) return;
        this.end = end;
        this.untether();
        cleanUp();
        resolve(end);
      };
      this.child.once("error", (error) => {
        // "error" also comes when a signal could not be sent; only a child without a pid has not been started.
        if (this.child.pid !== undefined) return;
        this.failure = error;
        settle({ code: null, signal: null });
      });
      // Not "exit": stderr may still hold the reason. Nor "close" alone: a grandchild may keep stderr open.
      this.child.once("exit", (code, signal) => {
        const timer = setTimeout(() => settle({ code, signal }), 200);
        this.child.once("close", () => {
          clearTimeout(timer);
          settle({ code, signal });
        });
      });
    });
  }

  get pid(): number {
    return this.child.pid ?? -1;
  }

  untether(): void {
    tied.delete(this.#kill);
    if (tied.size === 0) process.off("exit", endTied);
  }

  words(): string {
    return this.#tail.toString("utf8").trim();
  }

  async stop(patience = PATIENCE): Promise<QemuEnd> {
    if (this.end === null) this.child.kill("SIGTERM");
    const timer = setTimeout(() => this.child.kill("SIGKILL"), patience);
    const end = await this.ended;
    clearTimeout(timer);
    return end;
  }

  #keep(chunk: Buffer): void {
    this.#tail = Buffer.concat([this.#tail, chunk]).subarray(-KEPT);
  }
}

/** The kernel kills the child when the thread that made it ends: right for our main thread, wrong for a worker. */
function tethered(argv: readonly string[]): readonly string[] {
  const setpriv = isMainThread ? onPath("setpriv") : null;
  // setpriv would report a missing program in its own words; a path or a name that is found stays as it is.
  const program = argv[0] ?? "";
  const found = program.includes("/") ? isExecutable(program) : onPath(program) !== null;
  return setpriv === null || !found ? argv : [setpriv, "--pdeathsig", "KILL", "--", ...argv];
}

/** Path of a program on PATH, or null. */
export function onPath(name: string): string | null {
  const folders = (process.env.PATH ?? "").split(delimiter);
  return folders.map((folder) => join(folder || ".", name)).find(isExecutable) ?? null;
}

function isExecutable(path: string): boolean {
  try {
    accessSync(path, constants.X_OK);
    return true;
  } catch {
    return false;
  }
}

/** Milliseconds between two looks whether QEMU has made its socket, of which it gives no sign; and between two tries to connect. */
const LOOK = 2;
const AGAIN = 5;

async function waitForQmp(running: Running, qmp: string, options: StartOptions): Promise<QmpClient> {
  const { signal, timeout = 30_000 } = options;
  const deadline = performance.now() + timeout;
  const over = new AbortController();
  void running.ended.then(() => over.abort());
  const both = signal === undefined ? over.signal : AbortSignal.any([over.signal, signal]);
  for (;;) {
    if (running.end !== null) throw exited(running);
    if (signal?.aborted === true) throw abortError(signal, "starting QEMU");
    const left = deadline - performance.now();
    if (left <= 0) throw startTimeout(running, timeout);
    // To look is a hundred times cheaper than to fail to connect, and there may be many that start.
    const there = existsSync(qmp);
    const client = there ? await tryToConnect(running, qmp, both, left, timeout) : null;
    if (client !== null) return client;
    // A connection that closes means that the process is about to end: its words come with its end.
    await Promise.race([running.ended, new Promise((resolve) => setTimeout(resolve, there ? AGAIN : LOOK))]);
  }
}

/** @returns null: QEMU does not listen yet, or is about to end */
async function tryToConnect(
  running: Running,
  path: string,
  signal: AbortSignal,
  left: number,
  timeout: number,
): Promise<QmpClient | null> {
  try {
    return await QmpClient.connect({ kind: "unix", path }, { signal, greetingTimeout: left, outOfBand: true });
  } catch (error) {
    const code = error instanceof FixedramError ? error.code : "";
    if (code === "qmp.busy" || code === "qmp.timeout") throw startTimeout(running, timeout);
    const notYet = code === "qmp.no-socket" || code === "qmp.nobody-listening" || code === "qmp.closed";
    if (!notYet && !signal.aborted) throw error;
    return null;
  }
}

function exited(running: Running): FixedramError {
  const { failure, end } = running;
  const program = running.child.spawnargs[0] ?? "";
  if (failure !== null) {
    return new FixedramError("qemu.not-started", `${program} could not be started`, {
      path: program,
      said: failure.message,
      hint: "Check the program's name, or install QEMU.",
    });
  }
  const how = end?.signal ? `signal ${end.signal}` : `code ${end?.code ?? "?"}`;
  const said = running.words();
  return new FixedramError("qemu.exited", `QEMU ended before it could be spoken to (${how})`, {
    ...(said === "" ? { hint: "It said nothing: is that program a QEMU?" } : { said }),
    found: how,
  });
}

function startTimeout(running: Running, timeout: number): FixedramError {
  return new FixedramError("qemu.start-timeout", `QEMU did not answer on its QMP socket within ${timeout} ms`, {
    said: running.words(),
    hint: "A -chardev or -serial with server=on waits for a client unless it has wait=off.",
  });
}
