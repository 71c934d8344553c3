import { FixedramError } from "../../errors.ts";
import { queryDisks } from "../../qemu/disks.ts";
import type { CloneStatus } from "../clone.ts";
import type { LazyGuestOptions, Serving } from "../lazy/guest.ts";
import { LazyGuest } from "../lazy/guest.ts";
import { errorJson } from "../lazy/session.ts";
import type { Notice } from "../progress.ts";
import { Reporter } from "../reporter.ts";
import { type Destination, start } from "../resume/destination.ts";
import { type DiskOwners, requireOwnDisks } from "./own-disks.ts";

/** QEMUs that are started for a clone, when page servers die before its guest has run an instruction. */
const mostTries = 5;

/** What a clone needs besides what all share. */
export interface MemberPlan {
  readonly number: number;
  readonly argv: readonly string[];
  /** Command lines of the others. */
  readonly others: readonly (readonly string[])[];
  /** Shared by all. */
  readonly owners: DiskOwners;
  readonly cwd: string | null;
  readonly overlays: readonly string[];
}

/** One clone: its QEMU, its guest's loading, and what can be told of it. */
export class Member {
  status: CloneStatus;
  readonly #plan: MemberPlan;
  readonly #options: LazyGuestOptions;
  readonly #serving: Serving;
  readonly #notice: (notice: Notice) => void;
  readonly #tell: (status: CloneStatus) => void;
  #destination: Destination | null = null;
  #gone: Promise<void> = Promise.resolve();
  #ran: () => void = () => {};
  /** Settles when the guest runs, or never will. */
  readonly running = new Promise<void>((resolve) => {
    this.#ran = resolve;
  });

  constructor(
    plan: MemberPlan,
    options: LazyGuestOptions,
    serving: Serving,
    notice: (notice: Notice) => void,
    tell: (status: CloneStatus) => void,
  ) {
    this.#plan = plan;
    this.#options = options;
    this.#serving = serving;
    this.#notice = notice;
    this.#tell = tell;
    this.status = {
      ...{ number: plan.number, state: "starting", pid: null, qmp: null, bytes: 0, total: 0, faults: 0, recoveries: 0 },
      ...{ runState: null, latency: null, overlays: plan.overlays, error: null, end: null },
      times: { ready: null, running: null, complete: null },
    };
  }

  /** Settles when the guest has all of its memory, or has failed: never throws, for the others go on. */
  async load(): Promise<void> {
    for (let tries = 1; ; tries++) {
      try {
        return await this.#once();
      } catch (error) {
        await this.#destination?.giveUp();
        // Nothing of the guest has run, and nothing was written to its disks: another QEMU can take its place.
        const again = error instanceof FixedramError && error.code === "qemu.lost-before-run" && tries < mostTries;
        if (again && this.#options.signal?.aborted !== true) continue;
        return this.#set({ state: "failed", error: errorJson(error) });
      }
    }
  }

  /** Settles when its QEMU has ended, if there was one. */
  get gone(): Promise<void> {
    return this.#gone;
  }

  async end(): Promise<void> {
    await this.#destination?.giveUp();
    await this.#gone;
  }

  async #once(): Promise<void> {
    const { argv, cwd } = this.#plan;
    const reporter = new Reporter({ onNotice: this.#notice }, () => ({ bytes: 0, total: 0, round: 0 }));
    this.#set({ state: "starting", pid: null, qmp: null });
    const destination = await this.#start(argv, cwd);
    const ready = reporter.elapsed;
    const { meta } = this.#serving;
    const { number, others, owners } = this.#plan;
    const disks = await queryDisks(destination.client, destination.process);
    requireOwnDisks(disks, meta, others, (disk) => owners.claim(disk, number));
    const { pid = null, qmp = null } = destination.started ?? {};
    this.#set({ state: "loading", pid, qmp, times: { ready, running: null, complete: null } });
    const guest = new LazyGuest(this.#withNews(), this.#serving, reporter, ({ bytes, total, faults, latency }) =>
      this.#set({ bytes, total, faults, latency }),
    );
    const { load, times, runState } = await guest.into(destination, ready);
    destination.client.close();
    const { faults, recoveries, latency, total } = load;
    this.#set({ state: "loaded", runState, faults, recoveries, latency, bytes: total, total, times });
  }

  async #start(argv: readonly string[], cwd: string | null): Promise<Destination> {
    const started = await start({ ...this.#options, console: "captured", ownSession: true }, argv, cwd, this.#notice);
    // Clones end with us, whatever they have come to; but for our own SIGKILL.
    const destination: Destination = { ...started, letGo: () => {} };
    this.#destination = destination;
    this.#gone = (started.started?.ended ?? Promise.resolve(null)).then((end) => {
      if (end !== null && this.status.state !== "failed") this.#ended(end);
    });
    return destination;
  }

  #withNews(): LazyGuestOptions {
    return {
      ...this.#options,
      command: this.#plan.argv,
      onRunning: ({ runState, times }) =>
        this.#set({
          state: "running",
          runState,
          times: { ready: times.ready, running: times.running, complete: null },
        }),
    };
  }

  /** One that ends while it is loaded fails instead, which load() says. */
  #ended(end: NonNullable<CloneStatus["end"]>): void {
    if (this.status.state === "loaded") this.#set({ state: "ended", end });
  }

  #set(news: Partial<CloneStatus>): void {
    const { times } = news;
    this.status = {
      ...this.status,
      ...news,
      ...(times === undefined
        ? {}
        : { times: { ready: times.ready, running: times.running, complete: times.complete } }),
    };
    if (this.status.state !== "starting" && this.status.state !== "loading") this.#ran();
    this.#tell(this.status);
  }
}
