/** What the tests of save and resume do over and over, through `bin/fixedram` as a user would. */
import { mkdirSync } from "node:fs";
import { join } from "node:path";
import { expect } from "vitest";
import type { ErrorJson } from "../../../src/errors.ts";
import type { ResumeResult } from "../../../src/operations/resume.ts";
import type { SaveResult } from "../../../src/operations/save.ts";
import { QmpClient } from "../../../src/qmp/client.ts";
import {
  type CliRun,
  fixedram,
  type Guest,
  type GuestOptions,
  guestArgv,
  type Heard,
  type Qemu,
  qemu,
  Serial,
  type Status,
  serialArgs,
  startFixedram,
  startGuest,
  testFolder,
  type Verdict,
  verdictOf,
} from "../harness/index.ts";

/** Tests marked "[long]" run with FIXEDRAM_LONG=1 only. */
export const long = (process.env.FIXEDRAM_LONG ?? "") !== "";

/** Saves through the CLI; anything but success fails the test with what was said. */
export async function save(guest: Guest, out: string, ...args: readonly string[]): Promise<SaveResult> {
  const run = await fixedram(["save", out, "--qmp", guest.qmpPath, "--json", ...args]);
  expect(run, run.stdout + run.stderr).toMatchObject({ code: 0 });
  return JSON.parse(run.stdout) as SaveResult;
}

export interface Refusal {
  readonly code: number | null;
  readonly error: ErrorJson;
  readonly stderr: string;
}

/** Runs a command that has to fail, with `--json`. */
export async function refused(args: readonly string[]): Promise<Refusal> {
  const run = await fixedram(args);
  expect(run.code, run.stdout + run.stderr).not.toBe(0);
  return refusalOf(run);
}

export function refusalOf(run: CliRun): Refusal {
  const { error } = JSON.parse(run.stdout) as { readonly error: ErrorJson };
  return { code: run.code, error, stderr: run.stderr };
}

/** `fixedram save` that has to be refused. */
export function saveRefused(guest: Guest, out: string, ...args: readonly string[]): Promise<Refusal> {
  return refused(["save", out, "--qmp", guest.qmpPath, "--json", ...args]);
}

/** What the notices on standard error say, `code message` each. */
export function noticesOf(stderr: string): readonly string[] {
  return stderr
    .split("\n")
    .filter((line) => line.startsWith("{"))
    .map((line) => JSON.parse(line) as { readonly type?: string; readonly code?: string; readonly message?: string })
    .filter((line) => line.type === "notice")
    .map((line) => `${line.code} ${line.message}`);
}

/** A guest that `fixedram resume` runs in the foreground. */
export interface Resumed {
  readonly result: Omit<ResumeResult, "process"> & { readonly process: { readonly pid: number; readonly qmp: string } };
  readonly serial: Serial;
  /** The QEMU's QMP socket, free for the test. */
  readonly qmpPath: string;
  /** Of the fixedram that waits. */
  readonly pid: number;
  readonly kind: "boot" | "linux";
  verdict(timeout?: number): Promise<Verdict>;
  /** Asks a Linux guest something, a line. */
  ask(text: string, pattern: RegExp): Promise<Heard>;
  /** One QMP command, on a connection of its own. */
  execute(command: string, args?: Readonly<Record<string, unknown>>): Promise<unknown>;
  runState(): Promise<string>;
  /** Ends QEMU through QMP; the exit code is fixedram's. */
  quit(): Promise<CliRun>;
  readonly ended: Promise<CliRun>;
}

export interface ResumeChoices {
  /** Options of `fixedram resume`, before `--`. */
  readonly args?: readonly string[];
  /** Arguments of QEMU, at the end. */
  readonly qemuArgs?: readonly string[];
}

let number = 0;

/** The command line of a QEMU like the guest's, for `--`, and the serial line it will serve. */
export function resumeCommand(
  options: GuestOptions & { readonly machine: string; readonly memory: number; readonly smp: number },
  qemuArgs: readonly string[] = [],
): { readonly argv: readonly string[]; readonly serialPath: string } {
  number++;
  const folder = join(testFolder(), `resume-${number}`);
  mkdirSync(folder);
  const serialPath = join(folder, "serial");
  const { incoming: _incoming, ...bare } = options;
  return { argv: [...guestArgv(bare, undefined), ...serialArgs(serialPath), ...qemuArgs], serialPath };
}

/** `fixedram resume FILE -- QEMU like the guest's`, until the guest is loaded. */
export async function resume(
  guest: Pick<Guest, "options">,
  file: string,
  on: Qemu,
  { args = [], qemuArgs = [] }: ResumeChoices = {},
): Promise<Resumed> {
  const { argv, serialPath } = resumeCommand({ ...guest.options, qemu: on }, qemuArgs);
  return await follow(["resume", file, "--json", ...args, "--", ...argv], serialPath, guest.options.kind);
}

/** Starts `fixedram resume` and waits for its answer and the guest's serial line. */
export async function follow(args: readonly string[], serialPath: string, kind: "boot" | "linux"): Promise<Resumed> {
  const { child, ended } = startFixedram(args);
  const text = await new Promise<string>((resolve, reject) => {
    let all = "";
    child.stdout.on("data", (more: string) => {
      all += more;
      if (all.includes("\n")) resolve(all);
    });
    ended.then((run) => reject(new Error(`fixedram ended with ${run.code}: ${run.stdout}${run.stderr}`)), reject);
  });
  const result = JSON.parse(text) as Resumed["result"];
  expect(result, text).not.toHaveProperty("error");
  const serial = await Serial.connect(serialPath, 10_000);
  const { qmp } = result.process;
  return {
    result,
    serial,
    qmpPath: qmp,
    pid: child.pid ?? -1,
    kind,
    ended,
    ask: (text, pattern) => serial.ask(`${text}\n`, pattern, 30_000),
    verdict: (timeout) => verdictOf(serial, kind, timeout),
    execute: (command, args) => withQmp(qmp, (client) => client.execute(command, args)),
    runState: () => withQmp(qmp, runState),
    quit: async () => {
      await withQmp(qmp, (client) => client.execute("quit").catch(() => {}));
      return await ended;
    },
  };
}

async function withQmp<T>(path: string, work: (client: QmpClient) => Promise<T>): Promise<T> {
  const client = await QmpClient.connect(path);
  try {
    return await work(client);
  } finally {
    client.close();
  }
}

/** How stock QEMU may read a mapped-ram file. */
export type StockWay = "plain" | "multifd" | "multifd + direct-io";
export const stockWays: readonly StockWay[] = ["plain", "multifd", "multifd + direct-io"];

/** Stock QEMU loads the file, with no help of ours. The guest is in the state the file says. */
export async function loadStock(options: GuestOptions, file: string, way: StockWay, on = qemu("new")): Promise<Guest> {
  const guest = await startGuest({ ...options, qemu: on, incoming: "defer" });
  const qmp = await guest.qmp();
  const capability = (name: string) => ({ capability: name, state: true });
  const names = ["mapped-ram", "events", ...(way === "plain" ? [] : ["multifd"])];
  await qmp.execute("migrate-set-capabilities", { capabilities: names.map(capability) });
  const directIo = way === "multifd + direct-io";
  if (way !== "plain") await qmp.execute("migrate-set-parameters", { "multifd-channels": 2, "direct-io": directIo });
  const since = qmp.sequence;
  await qmp.execute("migrate-incoming", { uri: `file:${file}` });
  const last = await qmp.waitForEvent(
    ({ event, data }) => event === "MIGRATION" && (data["status"] === "completed" || data["status"] === "failed"),
    { since, timeout: 30_000 },
  );
  expect(last.data["status"], guest.output()).toBe("completed");
  await untilState(qmp, (state) => state !== "inmigrate");
  return guest;
}

export async function runState(qmp: QmpClient): Promise<string> {
  return ((await qmp.execute("query-status")) as { status: string }).status;
}

/** Looks until the run state is as wanted; QEMU says so in no event while it loads. */
export async function untilState(qmp: QmpClient, wanted: (state: string) => boolean): Promise<string> {
  for (const end = performance.now() + 20_000; ; ) {
    const state = await runState(qmp);
    if (wanted(state)) return state;
    if (performance.now() > end) throw new Error(`the run state stays ${state}`);
    await new Promise((resolve) => setTimeout(resolve, 5));
  }
}

/** All migration capabilities and parameters, to be compared whole. */
export async function settingsOf(qmp: QmpClient): Promise<Record<string, unknown>> {
  const capabilities = (await qmp.execute("query-migrate-capabilities")) as { capability: string; state: boolean }[];
  return {
    capabilities: Object.fromEntries(capabilities.map(({ capability, state }) => [capability, state])),
    parameters: await qmp.execute("query-migrate-parameters"),
  };
}

/** The guest's own word: all of its memory right, the same boot, and it has gone on since. */
export function expectWell(verdict: Verdict, before: Status): void {
  expect(verdict.ok, verdict.said.join("\n")).toBe(true);
  expect(verdict.bootId).toBe(before.bootId);
  expect(verdict.counter).toBeGreaterThan(before.counter);
}
