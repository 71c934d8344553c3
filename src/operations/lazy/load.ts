import { FixedramError } from "../../errors.ts";
import { LatencyHistogram, type LatencySummary } from "../../postcopy/latency.ts";
import type { PrivateFolder } from "../../qemu/private-folder.ts";
import { queryMigrate, queryStatus } from "../../qmp/commands.ts";
import type { Notice } from "../progress.ts";
import type { Destination } from "../resume/destination.ts";
import { incoming, notRunning } from "../resume/load.ts";
import { type PageServer, serverLost } from "./page-server.ts";
import type { Activity, FromServer, ServeJob, ServeStatus } from "./protocol.ts";

/** Milliseconds between two looks at QEMU, where it sends no event. */
const LOOK = 5;
/** Milliseconds that QEMU gets to notice that its connection broke. */
const NOTICE_TIME = 10_000;
/** Milliseconds that QEMU gets for an answer: its main thread may be waiting for a page. */
const ANSWER_TIME = 250;
/** Milliseconds that a page server which is just taking over gets, before it is left to itself. */
const HAND_OVER_TIME = 3000;
/** Recoveries in a row after which not one byte more had come. */
const MOST_IN_VAIN = 10;

type Server = Pick<PageServer, "pid" | "opened" | "ended" | "serve">;

/** Has a page server, and another one when that is gone. */
export interface ServerSource {
  readonly server: Server;
  instead(lost: Server): Promise<Server>;
}

export interface LoadHandlers {
  readonly onStatus: (status: ServeStatus) => void;
  readonly onNotice: (notice: Notice) => void;
  readonly onActivity?: ((batch: readonly Activity[]) => void) | undefined;
}

/** What a guest's loading came to. */
export interface LoadEnd {
  readonly recoveries: number;
  /** Faults answered and ignored, over all page servers. */
  readonly faults: number;
  readonly ignored: number;
  readonly latency: LatencySummary;
  readonly bytes: number;
  readonly total: number;
  readonly prefetched: number;
  /** Milliseconds from running until the faults were quiet. */
  readonly settled: number | null;
}

/**
 * Sees one guest through its lazy load, whatever becomes of the page server:
 *
 *     start -> listening -> running <-> lost -> recovering -> running ... -> complete
 *                  |            |
 *                  v            v
 *               failed       failed, with the guest waiting (attached) or ended (ours)
 */
export class LazyLoad {
  readonly #destination: Destination;
  readonly #keeper: ServerSource;
  readonly #job: Omit<ServeJob, "mode" | "socket">;
  readonly #folder: PrivateFolder;
  readonly #handlers: LoadHandlers;
  readonly #settle: number;
  #server: Server;
  #serverEnd: FixedramError | null = null;
  #failure: FixedramError | null = null;
  #gone = false;
  #loaded = false;
  #shut: number | null = null;
  #status: ServeStatus | null = null;
  #changed: () => void = () => {};
  readonly #latency = new LatencyHistogram();
  readonly #counts = { faults: 0, ignored: 0, prefetched: 0 };
  #settled: number | null = null;
  #recoveries = 0;
  #running = false;
  /** The page server that is followed has QEMU's connection. */
  #atWork = false;
  #missing: number | null = null;
  #listens: Promise<void> | null = null;

  /** @param settle milliseconds that a QEMU which has the device state may take to leave `inmigrate` */
  constructor(
    destination: Destination,
    keeper: ServerSource,
    job: Omit<ServeJob, "mode" | "socket">,
    folder: PrivateFolder,
    handlers: LoadHandlers,
    settle = NOTICE_TIME,
  ) {
    this.#settle = settle;
    this.#destination = destination;
    this.#keeper = keeper;
    this.#job = job;
    this.#folder = folder;
    this.#handlers = handlers;
    this.#server = keeper.server;
    const gone = () => {
      this.#gone = true;
      this.#changed();
    };
    if (destination.client.closed) this.#gone = true;
    destination.client.once("close", gone);
    void destination.started?.ended.then(gone);
  }

  /** The guest runs: from now on it must not be given up. */
  get running(): boolean {
    return this.#running;
  }

  /** Bytes of data that the first destination to be recovered lacked. */
  get missing(): number {
    return this.#missing ?? 0;
  }

  /** Pids of the page servers, for who has to know. */
  get serverPid(): number {
    return this.#server.pid;
  }

  /**
   * Has QEMU listen, and the page server bring it to where the guest runs (or is in, and paused). Capabilities are set before.
   *
   * @throws FixedramError `qemu.load-failed`, `qemu.lost-before-run`, `qemu.died`, `system.page-server`, what the server found wrong
   */
  async begin(signal?: AbortSignal): Promise<void> {
    await this.#opened();
    await this.listen();
    const path = this.#incoming;
    const abort = () => this.#changed();
    signal?.addEventListener("abort", abort, { once: true });
    try {
      for (;;) {
        this.#follow(this.#server);
        this.#server.serve({ ...this.#job, mode: "begin", socket: path }, (message) => this.#hear(message));
        await this.#until(() => {
          if (signal?.aborted === true && !this.#bound) throw signal.reason;
          return this.#running || this.#loaded || this.#over();
        });
        if (!this.#running && this.#loaded) await this.#untilIn(signal);
        if (this.#running) return;
        if (!(await this.#nobodyCame())) return await this.#beforeRun();
        this.#server = await this.#keeper.instead(this.#server);
      }
    } finally {
      signal?.removeEventListener("abort", abort);
    }
  }

  /** Has QEMU listen, once; begin() does it too. @throws FixedramError */
  listen(): Promise<void> {
    if (this.#listens !== null) return this.#listens;
    const { client } = this.#destination;
    const since = client.sequence;
    void client
      .waitForEvent(({ event }) => event === "RESUME", { since })
      .then(
        () => this.#run(),
        () => {},
      );
    this.#listens = incoming(client, { uri: `unix:${this.#incoming}` });
    this.#listens.catch(() => {});
    return this.#listens;
  }

  get #incoming(): string {
    return this.#folder.socket("incoming.sock");
  }

  /** A QEMU that is not ours has the package, and will run the guest whatever becomes of us: it is seen to that. */
  get #bound(): boolean {
    return this.#atWork && this.#destination.started === null;
  }

  /**
   * Before we end, and the guest does not. One that is just taking over is waited for, for then its socket is still needed.
   *
   * @returns whether a page server is at work that brings the guest the rest, or it has everything
   */
  async handedOver(): Promise<boolean> {
    for (const since = performance.now(); performance.now() - since < HAND_OVER_TIME; await pause(LOOK)) {
      if (this.#shut !== null) return true;
      if (this.#gone || (this.#failure !== null && !isLoss(this.#failure))) return false;
      if (this.#atWork && this.#serverEnd === null && this.#failure === null) return true;
    }
    return false;
  }

  /** The page server ended before it had connected: QEMU still listens, and can be served by another. */
  async #nobodyCame(): Promise<boolean> {
    if (this.#serverEnd === null || this.#gone) return false;
    // QEMU 7.2 gives no status while it listens.
    return ["none", "setup"].includes((await this.#migration()).status) && !this.#gone;
  }

  /** Of a guest that waits for a page server: what begin() is for a new one. @throws FixedramError */
  async recover(): Promise<void> {
    this.#running = true;
    await this.#opened();
    this.#follow(this.#server);
    await this.#recoverOnce();
  }

  /**
   * Waits until all RAM is in, with as many page servers as it takes.
   *
   * @throws FixedramError `qemu.died`, or what keeps the rest from being sent: then an attached guest waits
   */
  async complete(): Promise<LoadEnd> {
    let inVain = 0;
    let bytes = -1;
    for (;;) {
      await this.#until(() => this.#over());
      if (this.#shut !== null || (await this.#completedAlone())) return this.#end();
      if (this.#gone) throw died();
      if (this.#failure !== null && !isLoss(this.#failure)) throw this.#failure;
      const now = this.#status?.bytes ?? 0;
      inVain = now > bytes ? 0 : inVain + 1;
      bytes = Math.max(bytes, now);
      if (inVain > MOST_IN_VAIN) throw this.#failure ?? this.#serverEnd ?? new Error("nothing was lost");
      await this.#recoverOnce();
    }
  }

  /** Has a page server with the file open. Until QEMU listens, one that is killed costs nothing. */
  async #opened(): Promise<void> {
    try {
      await this.#server.opened;
    } catch (error) {
      if (!(error instanceof FixedramError && error.code === "system.page-server")) throw error;
      await this.#server.ended;
      this.#server = await this.#keeper.instead(this.#server);
    }
  }

  #over(): boolean {
    return this.#shut !== null || this.#failure !== null || this.#gone || this.#serverEnd !== null;
  }

  #end(): LoadEnd {
    if (this.#shut !== null && this.#shut !== 0) {
      throw new FixedramError("qemu.load-failed", "QEMU says that the guest's memory is not as it should be", {
        found: `verdict ${this.#shut}`,
      });
    }
    this.#add();
    const { bytes = 0, total = 0 } = this.#status ?? {};
    return {
      recoveries: this.#recoveries,
      ...this.#counts,
      latency: this.#latency.summary(),
      bytes,
      total,
      settled: this.#settled,
    };
  }

  /** Adds what a page server has done to what those before it had. */
  #add(): void {
    const status = this.#status;
    if (status === null) return;
    this.#latency.merge(status.latency);
    this.#counts.faults += status.faults;
    this.#counts.ignored += status.ignored;
    this.#counts.prefetched += status.prefetched;
    this.#settled ??= status.settled;
  }

  #hear(message: FromServer): void {
    switch (message.say) {
      case "packaged":
        this.#atWork = true;
        break;
      case "loaded":
        this.#atWork = true;
        this.#loaded = true;
        break;
      case "recovered":
        this.#atWork = true;
        this.#missing ??= message.missing;
        return;
      case "status":
        this.#status = message.status;
        this.#handlers.onStatus(message.status);
        return;
      case "activity":
        this.#handlers.onActivity?.(message.batch);
        return;
      case "note":
        this.#handlers.onNotice({ level: "note", code: message.code, message: message.message });
        return;
      case "shut":
        this.#status = message.status;
        this.#shut = message.value;
        break;
      case "failed":
        this.#failure = FixedramError.from(message.error);
        break;
    }
    this.#changed();
  }

  #follow(server: Server): void {
    this.#server = server;
    this.#serverEnd = null;
    this.#failure = null;
    this.#atWork = false;
    void server.ended.then((end) => {
      if (this.#server !== server) return;
      this.#serverEnd = serverLost(end);
      this.#changed();
    });
  }

  /**
   * Has a page server take over. Returns when it was asked to, or when there is nothing to recover (QEMU is gone, or has everything), which
   * complete() looks into. QEMU is asked out of band: its main thread may itself be waiting for a page.
   */
  async #recoverOnce(): Promise<void> {
    const { client } = this.#destination;
    this.#add();
    this.#status = null;
    this.#recoveries++;
    const server = await this.#keeper.instead(this.#server);
    const path = this.#folder.socket(`recover-${this.#recoveries}.sock`);
    const deadline = performance.now() + NOTICE_TIME;
    for (let waits = false; ; ) {
      if (this.#gone) return;
      try {
        await client.executeOutOfBand("migrate-recover", { uri: `unix:${path}` });
        break;
      } catch (error) {
        const { status } = await this.#migration();
        if (this.#gone || status === "completed") return;
        // It has not yet noticed that its connection broke.
        if (waits || status === "failed" || performance.now() > deadline) throw notRecovered(error, status);
        waits = status === "postcopy-paused";
        await pause(LOOK);
      }
    }
    this.#follow(server);
    server.serve({ ...this.#job, mode: "recover", socket: path }, (message) => this.#hear(message));
  }

  /** The last word of a page server that died at the very end may be missing; QEMU knows. */
  async #completedAlone(): Promise<boolean> {
    if (this.#gone) return false;
    return (await this.#migration()).status === "completed";
  }

  async #migration(): Promise<{ readonly status: string }> {
    try {
      return await queryMigrate(this.#destination.client, { timeout: ANSWER_TIME });
    } catch (error) {
      if (error instanceof FixedramError && error.code === "qmp.timeout") return { status: "unknown" };
      if (this.#destination.client.closed) {
        this.#gone = true;
        return { status: "gone" };
      }
      throw error;
    }
  }

  /** A guest that stays paused says so in no event. Newer QEMUs (10.0) stay in `inmigrate` when another process has a disk. */
  async #untilIn(signal?: AbortSignal): Promise<void> {
    let since: number | null = null;
    for (;;) {
      if (!this.#bound) signal?.throwIfAborted();
      if (this.#over() || this.#running) return;
      const { status } = await queryStatus(this.#destination.client).catch(() => ({ status: "inmigrate" }));
      if (status !== "inmigrate") return this.#run();
      // From the first answer: before it, QEMU's main thread was at work.
      since ??= performance.now();
      if (performance.now() - since > this.#settle) throw notRunning(status);
      await pause(1);
    }
  }

  #run(): void {
    this.#running = true;
    this.#destination.letGo();
    this.#changed();
  }

  /**
   * Something ended before the guest ran, or just then. QEMU goes on without a page server only when it has come to RUN; before that it
   * ends itself.
   */
  async #beforeRun(): Promise<void> {
    const deadline = performance.now() + NOTICE_TIME;
    const failure = this.#failure;
    // QEMU may be seen to end before the page server whose death ended it.
    await Promise.race([this.#server.ended, pause(ANSWER_TIME)]);
    while (!this.#gone && !this.#running && performance.now() < deadline) {
      const state = await Promise.race([this.#state(), pause(100).then(() => null)]);
      if (state === "failed") break;
      if (state === "running") return this.#run();
      await pause(LOOK);
    }
    if (this.#running) return;
    if (failure !== null && !isLoss(failure)) throw failure;
    if (this.#serverEnd === null) {
      throw new FixedramError("qemu.load-failed", "QEMU could not load the snapshot", {}, { cause: failure });
    }
    throw new FixedramError(
      "qemu.lost-before-run",
      "the page server ended before the guest ran, and QEMU cannot go on without it",
      {
        ...(this.#serverEnd.details.found === undefined
          ? {}
          : { found: `the page server ended with ${this.#serverEnd.details.found}` }),
        hint: "The snapshot is as it was: run the command again.",
      },
    );
  }

  async #state(): Promise<"running" | "failed" | "between"> {
    const { client } = this.#destination;
    try {
      const [{ status: migration }, { status }] = await Promise.all([queryMigrate(client), queryStatus(client)]);
      if (migration === "failed") return "failed";
      return status !== "inmigrate" ? "running" : "between";
    } catch {
      return "between";
    }
  }

  async #until(check: () => boolean): Promise<void> {
    while (!check()) {
      await new Promise<void>((resolve) => {
        this.#changed = resolve;
      });
    }
  }
}

/** The guest can be had back by another page server. */
function isLoss({ code }: FixedramError): boolean {
  return code === "qemu.connection-lost" || code === "system.page-server";
}

function notRecovered(error: unknown, status: string): FixedramError {
  return new FixedramError(
    "qemu.not-recovered",
    "QEMU does not take a new connection for the rest of the guest's memory",
    {
      said: error instanceof FixedramError ? (error.details.said ?? error.message) : String(error),
      found: `migration status ${status}`,
      hint: "The guest waits at the next page that it lacks. Try again: fixedram recover FILE --qmp SOCKET.",
    },
    { cause: error },
  );
}

function died(): FixedramError {
  return new FixedramError("qemu.died", "QEMU ended before all of the guest's memory was in", {
    hint: "The snapshot is as it was: the guest can be resumed again from it.",
  });
}

function pause(milliseconds: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, milliseconds));
}
