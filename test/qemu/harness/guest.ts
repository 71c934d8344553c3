/** A running guest: its process, its sockets, and its own word on whether it is well. */
import { mkdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { QmpClient } from "../../../src/qmp/client.ts";
import { type GuestOptions, guestArgv, type SettledOptions, settle, socketsIn } from "./argv.ts";
import { type Exit, type Started, startProcess, testFolder } from "./processes.ts";
import { type Heard, Serial } from "./serial.ts";

/** What the guest says of itself. */
export interface Status {
  /** Made when the guest booted: another one means it booted again. */
  readonly bootId: string;
  /** Grows while this boot lives. */
  readonly counter: number;
}

export interface Verdict extends Status {
  /** All of the guest's memory (and its disk file) is what it must be, and nothing bad was reported before. */
  readonly ok: boolean;
  /** The guest's own line, and every complaint it made. */
  readonly said: readonly string[];
}

const READY = { boot: /^(?:ready|ok|alive|BAD) /, linux: /^ready / };

export class Guest {
  readonly options: SettledOptions;
  /** Holds the sockets, the disk and QEMU's own output. */
  readonly folder: string;
  readonly argv: readonly string[];
  readonly serial: Serial;
  readonly qmpPath: string;
  readonly testQmpPath: string;
  readonly serialPath: string;
  readonly exited: Promise<Exit>;
  readonly #process: Started;
  #qmp: QmpClient | undefined;

  constructor(options: SettledOptions, folder: string, argv: readonly string[], serial: Serial, process: Started) {
    const { qmpPath, testQmpPath, serialPath } = socketsIn(folder);
    this.options = options;
    this.folder = folder;
    this.argv = argv;
    this.serial = serial;
    this.qmpPath = qmpPath;
    this.testQmpPath = testQmpPath;
    this.serialPath = serialPath;
    this.exited = process.exited;
    this.#process = process;
  }

  get pid(): number {
    return this.#process.pid;
  }

  get running(): boolean {
    return this.#process.exit() === undefined;
  }

  /** What QEMU printed. */
  output(): string {
    return readFileSync(join(this.folder, "qemu.log"), "utf8");
  }

  /** A QMP connection of the test's own (not the one fixedram uses), opened once. */
  async qmp(): Promise<QmpClient> {
    this.#qmp ??= await QmpClient.connect(this.testQmpPath);
    return this.#qmp;
  }

  /** Waits until the guest has booted and filled its memory. Milliseconds. */
  async ready(timeout = 60_000): Promise<Status> {
    await this.serial.waitFor(READY[this.options.kind], timeout);
    return await this.status();
  }

  /** Boot id and counter; rejects when it does not answer within `timeout` ms. */
  async status(timeout = 10_000): Promise<Status> {
    return await statusOf(this.serial, this.options.kind, timeout);
  }

  /** Does it answer on serial within so many ms? */
  async answers(timeout = 2000): Promise<boolean> {
    return await this.status(timeout).then(
      () => true,
      () => false,
    );
  }

  /** Has the guest verify everything. */
  async verdict(timeout = 60_000): Promise<Verdict> {
    return await verdictOf(this.serial, this.options.kind, timeout);
  }

  /** Asks the guest something in its own words (a line for Linux, bytes for the boot guest). */
  async ask(text: string, pattern: RegExp, timeout = 10_000): Promise<Heard> {
    return await this.serial.ask(this.options.kind === "linux" ? `${text}\n` : text, pattern, timeout);
  }

  /** Linux: unmounts its disk and switches itself off. */
  async powerOff(timeout = 20_000): Promise<Exit> {
    await this.ask("poweroff", /^poweroff ok/, timeout);
    return await this.exited;
  }

  async kill(signal: NodeJS.Signals = "SIGKILL"): Promise<Exit> {
    this.#qmp?.close();
    this.serial.close();
    return await this.#process.kill(signal);
  }
}

let number = 0;

/**
 * Starts a guest; it ends with the test. Everything of it lies in a folder of its own, inside `folder` when given (a disk to be used by
 * the next QEMU too must outlive this guest, which it does: folders go when the test ends).
 */
export async function startGuest(options: GuestOptions, folder = testFolder()): Promise<Guest> {
  number++;
  const own = join(folder, `guest-${number}`);
  mkdirSync(own, { mode: 0o700 });
  const settled = settle(options, own);
  const sockets = socketsIn(own);
  const argv = guestArgv(settled, sockets);
  const log = join(own, "qemu.log");
  const process = await startProcess(argv, log);
  const gone = (): string | undefined =>
    process.exit() === undefined
      ? undefined
      : `QEMU ended at once: ${readFileSync(log, "utf8").trim() || "(it said nothing)"}`;
  const serial = await Serial.connect(sockets.serialPath, 20_000, gone);
  return new Guest(settled, own, argv, serial, process);
}

/** `Guest.status` for a guest that somebody else started, such as `fixedram resume`. */
export async function statusOf(serial: Serial, kind: "boot" | "linux", timeout = 10_000): Promise<Status> {
  if (kind === "boot") {
    const { match } = await serial.ask("?", /^(?:alive|BAD) (\w+) (\w+)/, timeout);
    return { bootId: match[1] ?? "", counter: Number.parseInt(match[2] ?? "", 16) };
  }
  const { match } = await serial.ask("status\n", /^status (\S+) (\d+) /, timeout);
  return { bootId: match[1] ?? "", counter: Number(match[2]) };
}

/** `Guest.verdict` for a guest that somebody else started. */
export async function verdictOf(serial: Serial, kind: "boot" | "linux", timeout = 60_000): Promise<Verdict> {
  const [text, pattern] = kind === "boot" ? ["!", /^(?:verified|BAD) /] : ["verify\n", /^verify /];
  const { line } = await serial.ask(text, pattern, timeout);
  const complaints = serial.lines.filter(
    (one) => /\bBAD\b|Kernel panic|Oops|I\/O error|soft lockup/.test(one) && one !== line,
  );
  const ok = complaints.length === 0 && /^(?:verified|verify PASS) /.test(line);
  // A corrupted boot guest answers BAD whatever it is asked, with its boot id in the same place.
  const status = await statusOf(serial, kind, timeout);
  return { ...status, ok, said: [line, ...complaints] };
}
