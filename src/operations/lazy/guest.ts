import { accessSync, constants } from "node:fs";
import { dirname, resolve } from "node:path";
import { FixedramError } from "../../errors.ts";
import type { SnapshotMeta } from "../../fixedram/meta.ts";
import { type GuestFacts, queryMemory } from "../../qemu/inspect.ts";
import { makeMeetingFolder } from "../../qemu/meeting-folder.ts";
import { queryRamblocks } from "../../qemu/memory-map.ts";
import { startTimeOf } from "../../qemu/process.ts";
import type { QmpClient } from "../../qmp/client.ts";
import { cont, queryMigrate, queryStatus, stop, toVersion } from "../../qmp/commands.ts";
import { type MigrationSettings, restoreSettings, snapshotSettings } from "../../qmp/migration-settings.ts";
import { savedRunState } from "../../stream/global-state.ts";
import type { Reporter } from "../reporter.ts";
import { requireDisks, requireOwnMemory } from "../resume/choose.ts";
import type { Destination } from "../resume/destination.ts";
import { requireRunning } from "../resume/load.ts";
import { loadFailure } from "../resume/load-failure.ts";
import { runAsLibvirtWould } from "../resume/ran.ts";
import type { LazyResumeOptions, LazyResumeResult, LazyTimes } from "../resume-lazy.ts";
import { type LazyFile, workingSetPath } from "./file.ts";
import { hostPageSize } from "./host-pages.ts";
import { LazyLoad, type LoadEnd } from "./load.ts";
import { removeNote, writeNote } from "./note.ts";
import { excluded, largePages, noUserfaultfd, preflight, requireNotOnDisk } from "./preflight.ts";
import type { ServeJob, ServeStatus } from "./protocol.ts";
import type { PutBack } from "./put-back.ts";

/** Pages that a fault brings along (docs/performance.md, "Instant resume"). */
export const usualAround = 32;
/** Milliseconds that a QEMU which could not be loaded gets to take its settings back. */
const lastTry = 2000;
/** Run states in which a guest goes on by itself after loading. */
const runs: ReadonlySet<string> = new Set(["running", "finish-migrate"]);

export type LazyGuestOptions = Omit<LazyResumeOptions, "qmp" | "runRecorded" | "confirm" | "verify" | "id" | "console">;

/** What guests that are loaded from one file by one page server share, and what is each one's own there. */
export interface Serving {
  readonly file: LazyFile;
  readonly meta: SnapshotMeta | null;
  readonly place: Pick<ServeJob, "guest" | "shared" | "held" | "readAhead">;
  /** Its first touches become the snapshot's working set. */
  readonly records: boolean;
}

/** A guest that has all of its memory. */
export interface LazyGuestEnd {
  readonly load: LoadEnd;
  readonly qemuVersion: string;
  readonly runState: string;
  readonly times: LazyTimes;
  readonly prefetch: LazyResumeResult["prefetch"];
}

/** One guest that is loaded lazily: checks what its QEMU needs, lets it run, sees it through, and puts QEMU's settings back. */
export class LazyGuest {
  readonly #options: LazyGuestOptions;
  readonly #reporter: Reporter;
  readonly #serving: Serving;
  readonly #onStatus: (status: ServeStatus) => void;

  constructor(
    options: LazyGuestOptions,
    serving: Serving,
    reporter: Reporter,
    onStatus: (status: ServeStatus) => void,
  ) {
    this.#options = options;
    this.#serving = serving;
    this.#reporter = reporter;
    this.#onStatus = onStatus;
  }

  /**
   * @param ready milliseconds on the reporter's clock at which QEMU answered
   * @throws FixedramError those of resumeLazy for one guest
   */
  async into(destination: Destination, ready: number): Promise<LazyGuestEnd> {
    const { client, process: qemu } = destination;
    const { signal } = this.#options;
    const { file } = this.#serving;
    const sockets = makeMeetingFolder(qemu, this.#options.socketDir).folder;
    let before: MigrationSettings | null = null;
    let load: LazyLoad | null = null;
    try {
      const prepared = await this.#prepare(destination);
      before = prepared.before;
      this.#reporter.enter("load");
      load = new LazyLoad(destination, file.keeper, prepared.job, sockets, {
        onStatus: this.#onStatus,
        onNotice: this.#reporter.notice,
        onActivity: this.#options.onActivity,
      });
      if (destination.started !== null) load.listen();
      await prepared.memory;
      if (qemu !== null) this.#note(file, qemu, before, prepared.job);
      await load.begin(signal);
      const running = this.#reporter.elapsed - ready;
      const asIs = this.#options.command?.includes("-S") ?? false;
      const wish = { paused: this.#options.paused === true, asIs };
      await this.#requireRunning(destination);
      await runAsLibvirtWould(client, file.snapshot, wish, this.#reporter.notice);
      const runState = (await queryStatus(client)).status;
      this.#options.onRunning?.({
        runState,
        times: { ready, running },
        process: destination.started,
        pageServer: load.serverPid,
      });
      const end = await abortable(load.complete(), signal);
      const complete = this.#reporter.elapsed - ready - running;
      const stall = await stallOf(client, end);
      if (qemu !== null) removeNote(qemu);
      this.#reporter.enter("finish");
      await this.#putBack(client, before);
      const times = { ready, running, settled: end.settled, complete, ...stall, total: this.#reporter.elapsed };
      return {
        load: end,
        qemuVersion: prepared.version,
        runState: (await queryStatus(client).catch(() => ({ status: runState }))).status,
        times,
        prefetch: { path: prepared.job.prefetch, pages: end.prefetched },
      };
    } catch (error) {
      throw await this.#failed(error, destination, load, before);
    } finally {
      sockets.remove();
    }
  }

  /**
   * Looks at everything that may be in the way, and changes QEMU's settings; nothing runs yet. Another's QEMU is looked at before anything is
   * changed. One of ours gets its settings in the same breath as the questions, for it ends with what is refused.
   *
   * @returns `memory` settles when the guest's memory was looked at too: no page may be sent before that
   */
  async #prepare(destination: Destination) {
    const { client, started } = destination;
    const { file, meta, place, records } = this.#serving;
    const { snapshot } = file;
    // No more is asked than is needed, and all at once: the guest waits for it.
    const memory = queryMemory(client).then((known) => this.#requireMemory(known, destination));
    memory.catch(() => {});
    const [blocks, before, early] = await Promise.all([
      queryRamblocks(client),
      snapshotSettings(client),
      started === null ? false : setFresh(client),
      ...(meta === null ? [] : [requireDisks(this.#options, meta, destination, this.#reporter.notice)]),
    ]);
    const { capabilities } = before;
    const version = toVersion(client.greeting.version);
    if (started === null) await memory;
    for (const notice of preflight({ snapshot, facts: { capabilities, version }, blocks }))
      this.#reporter.notice(notice);
    const size = hostPageSize();
    const workset = this.#workset();
    const job: Omit<ServeJob, "mode" | "socket"> = {
      ...place,
      hostPageSize: size,
      hostPageSizes: largePages(snapshot, blocks, size),
      around: this.#options.around ?? usualAround,
      pushRate: this.#options.pushRate ?? null,
      prefetch: workset.prefetch,
      record: records ? workset.record : null,
      watch: this.#options.onActivity !== undefined,
      after: afterwards(destination, before),
    };
    try {
      if (!early || excluded.some((name) => capabilities[name] === true))
        await setLazy(client, capabilities, destination);
      // RUN starts the guest, however it was saved.
      const state = savedRunState(snapshot.devices);
      if (destination.paused || (state !== null && !runs.has(state))) await stop(client);
    } catch (error) {
      if (started === null && !client.closed) await restoreSettings(client, before).catch(() => {});
      throw error;
    }
    return { before, job, version: version.text, memory };
  }

  #requireMemory({ backends }: GuestFacts["memory"], destination: Destination): void {
    requireOwnMemory(this.#options, backends, destination, this.#reporter.notice);
    for (const backend of backends) requireNotOnDisk(backend);
  }

  /** A QEMU of ours is ended. In another's the guest is loaded all the same: it can run when the disk is free. */
  async #requireRunning(destination: Destination): Promise<void> {
    try {
      await requireRunning(this.#serving.file.snapshot, destination);
    } catch (error) {
      if (destination.started !== null || !isNotLoaded(error)) throw error;
      const { hint } = error.details;
      this.#reporter.note("warning", "not-running", hint === undefined ? error.message : `${error.message}. ${hint}`);
    }
  }

  #workset(): { readonly prefetch: string | null; readonly record: string | null } {
    const path = workingSetPath(this.#options);
    if (path === null) return { prefetch: null, record: null };
    try {
      accessSync(dirname(path), constants.W_OK);
      return { prefetch: path, record: path };
    } catch {
      this.#reporter.note("note", "working-set", `the working set cannot be kept in ${dirname(path)}`);
      return { prefetch: path, record: null };
    }
  }

  #note(
    { key }: LazyFile,
    qemu: { readonly pid: number; readonly startTime: number },
    settings: MigrationSettings,
    { hostPageSizes }: Pick<ServeJob, "hostPageSizes">,
  ): void {
    const supervisor = { pid: process.pid, startTime: startTimeOf(process.pid) ?? 0 };
    const { pid, startTime } = qemu;
    writeNote({
      qemu: { pid, startTime },
      snapshot: key,
      path: resolve(this.#options.file),
      settings,
      supervisor,
      hostPageSizes: hostPageSizes.map(([name, size]) => [name, size]),
    });
  }

  /** The guest is in: what fails from here on is told, and ends nothing. */
  async #putBack(client: QmpClient, before: MigrationSettings): Promise<void> {
    try {
      await restoreSettings(client, before);
    } catch (error) {
      const message = `the guest is loaded, but QEMU's migration settings could not be put back: ${String(error)}`;
      this.#reporter.note("warning", "settings-not-restored", message);
    }
  }

  async #failed(
    error: unknown,
    destination: Destination,
    load: LazyLoad | null,
    before: MigrationSettings | null,
  ): Promise<unknown> {
    const { client, started, process: qemu } = destination;
    const running = load?.running === true;
    // A guest that QEMU has but does not let run: older ones (7.2) say so after it has all that it needs from us.
    const failure =
      running && !isNotLoaded(error) ? error : await loadFailure(error, destination, this.#options.signal);
    if (started !== null || client.closed) {
      await destination.giveUp();
      if (qemu !== null) removeNote(qemu);
      return running && started !== null && !isNotLoaded(failure) ? withEnd(failure) : failure;
    }
    if (load?.running === true) {
      return (await leftAlone(load, this.#serving.file, this.#options.signal, this.#reporter))
        ? failure
        : waiting(failure);
    }
    if (before !== null) {
      // Its main thread may be waiting for a page that never comes.
      const restored = await within(
        restoreSettings(client, before).catch(() => {}),
        lastTry,
      );
      if (qemu !== null) removeNote(qemu);
      if (!restored) return failure;
      const status = await queryStatus(client).catch(() => null);
      if (this.#options.paused === true && status?.status === "inmigrate") await cont(client).catch(() => {});
    }
    if (qemu !== null) removeNote(qemu);
    return failure;
  }
}

/** What is on for a lazy load. */
const lazyCapabilities = { events: true, "postcopy-ram": true } as const;

/**
 * Capabilities for a lazy load of a QEMU that has just been started, where what excludes them is off as a rule.
 *
 * @returns whether QEMU took them: if not, {@link setLazy} finds out why
 */
async function setFresh(client: QmpClient): Promise<boolean> {
  const wanted = Object.keys({ ...lazyCapabilities, "postcopy-blocktime": true });
  try {
    await client.execute("migrate-set-capabilities", {
      capabilities: wanted.map((capability) => ({ capability, state: true })),
    });
    return true;
  } catch (error) {
    if (!(error instanceof FixedramError && error.code === "qmp.command")) throw error;
    return false;
  }
}

/** Capabilities for a lazy load. `postcopy-blocktime` is left out where the host has not what it needs. */
export async function setLazy(
  client: QmpClient,
  known: Readonly<Record<string, boolean>>,
  { process: qemu }: Pick<Destination, "process">,
): Promise<void> {
  const set = (wanted: Readonly<Record<string, boolean>>) =>
    client.execute("migrate-set-capabilities", {
      capabilities: Object.entries(wanted)
        .filter(([name]) => Object.hasOwn(known, name))
        .map(([capability, state]) => ({ capability, state })),
    });
  const off = Object.fromEntries(excluded.map((name) => [name, false]));
  const wanted = { ...off, ...lazyCapabilities };
  try {
    await set({ ...wanted, "postcopy-blocktime": true });
  } catch {
    try {
      await set(wanted);
    } catch (error) {
      if (!(error instanceof FixedramError && error.code === "qmp.command")) throw error;
      throw noUserfaultfd(error.details.said ?? error.message, qemu);
    }
  }
}

/**
 * Told to end while a guest that is not ours still lacks pages: its page server, if one is at work, goes on by itself.
 *
 * @returns whether it does
 */
export async function leftAlone(
  load: Pick<LazyLoad, "handedOver" | "serverPid">,
  { keeper }: Pick<LazyFile, "keeper">,
  signal: AbortSignal | undefined,
  reporter: Pick<Reporter, "note">,
): Promise<boolean> {
  if (signal?.aborted !== true || !(await load.handedOver())) return false;
  keeper.leave();
  const message = `the guest goes on: page server ${load.serverPid} brings it the rest of its memory by itself, gives QEMU its migration settings back, and ends then`;
  reporter.note("warning", "page-server-stays", message);
  return true;
}

/** What a page server does for a QEMU when it is through, and nobody else is there. */
export function afterwards(
  { client, process: qemu }: Pick<Destination, "client" | "process">,
  settings: MigrationSettings,
): PutBack | null {
  if (qemu === null) return null;
  const { pid, startTime } = qemu;
  return { qmp: client.name, qemu: { pid, startTime }, settings };
}

/** What QEMU counted, or the sum of what the faults took. */
export async function stallOf(
  client: QmpClient,
  { latency }: Pick<LoadEnd, "latency">,
): Promise<{ readonly stall: number; readonly stallFrom: "qemu" | "faults" }> {
  const info = await queryMigrate(client).catch(() => ({}));
  const counted = "postcopy-blocktime" in info ? info["postcopy-blocktime"] : undefined;
  if (typeof counted === "number") return { stall: counted, stallFrom: "qemu" };
  return { stall: latency.sum / 1000, stallFrom: "faults" };
}

/** @returns whether it settled within so many milliseconds */
async function within(work: Promise<unknown>, milliseconds: number): Promise<boolean> {
  let timer: NodeJS.Timeout | undefined;
  const late = new Promise<false>((resolve) => {
    timer = setTimeout(() => resolve(false), milliseconds);
  });
  const settled = await Promise.race([work.then(() => true), late]);
  clearTimeout(timer);
  return settled;
}

/** Waits, unless the signal comes: then its reason is thrown. */
export function abortable<T>(work: Promise<T>, signal: AbortSignal | undefined): Promise<T> {
  if (signal === undefined) return work;
  return new Promise((done, fail) => {
    const abort = () => fail(signal.reason);
    if (signal.aborted) abort();
    signal.addEventListener("abort", abort, { once: true });
    work.then(done, fail).finally(() => signal.removeEventListener("abort", abort));
  });
}

/** QEMU's own verdict: no page was missing. */
function isNotLoaded(error: unknown): error is FixedramError {
  return error instanceof FixedramError && error.code === "qemu.load-failed";
}

function withEnd(error: unknown): unknown {
  return because(error, "The guest was ended, because it lacked pages.", null);
}

function waiting(error: unknown): unknown {
  return because(
    error,
    "The guest waits at the next page that it lacks.",
    "Go on with: fixedram recover FILE --qmp SOCKET, from a whole copy of the snapshot if this one is damaged.",
  );
}

/** The same error, with what became of the guest. */
function because(error: unknown, what: string, hint: string | null): unknown {
  if (!(error instanceof FixedramError)) return error;
  const { details } = error;
  return new FixedramError(
    error.code,
    `${error.message}. ${what}`,
    { ...details, ...(hint === null ? {} : { hint }) },
    { cause: error },
  );
}
