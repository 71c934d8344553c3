import { FixedramError } from "../../errors.ts";
import type { QmpClient, QmpEvent } from "../../qmp/client.ts";
import { queryStatus } from "../../qmp/commands.ts";
import { migrateCancel, queryMigrate, setMigrateParameters } from "../../qmp/migration-commands.ts";
import type { OnLimit } from "../save.ts";
import { STOP_AT_ONCE } from "./plan.ts";

/** Milliseconds QEMU gets to end a migration after our verdict. */
const END_TIME = 60_000;

export interface Limits {
  /** QEMU ends its migration as failed when all is well: see OwnFileWay. Default false. */
  readonly failsAsPlanned?: boolean;
  /** Nothing is cancelled here: putBack brings the migration to its end. Default false. */
  readonly cancelCrashes?: boolean;
  /** Milliseconds. */
  readonly maxTime: number | null;
  readonly maxRounds: number | null;
  readonly onLimit: OnLimit;
}

/**
 * Follows one outgoing migration through QMP's events: rounds, when the guest stopped and ran again, how it ended.
 * Made before the `migrate` command is sent, so that nothing is missed. Needs the `events` capability.
 */
export class MigrationWatch {
  /** Dirty rounds begun. */
  rounds = 0;
  /** QEMU's clock, ms: the first STOP and the first RESUME after it; null: not seen. */
  stopped: number | null = null;
  resumed: number | null = null;
  /** Rejects when the migration fails or QMP closes. Never resolves. */
  readonly failure: Promise<never>;
  /** What a limit did, once one was reached. */
  limit: "time" | "rounds" | null = null;

  readonly #client: QmpClient;
  readonly #since: number;
  readonly #limits: Limits;
  readonly #onRound: (round: number) => void;
  readonly #timer: NodeJS.Timeout | undefined;
  #fail: (error: unknown) => void = () => {};
  /** Once we have given our verdict, "failed" is what QEMU calls going on by itself. */
  #verdictGiven = false;

  constructor(client: QmpClient, limits: Limits, onRound: (round: number) => void) {
    this.#client = client;
    this.#since = client.sequence;
    this.#limits = limits;
    this.#onRound = onRound;
    this.failure = new Promise((_resolve, reject) => {
      this.#fail = reject;
    });
    this.failure.catch(() => {});
    client.on("event", this.#onEvent);
    client.on("close", this.#onClose);
    if (limits.maxTime !== null) this.#timer = setTimeout(() => this.#reach("time"), limits.maxTime);
  }

  /** The stream is complete and the file on disk: from here on a "failed" migration is as planned. */
  verdictGiven(): void {
    this.#verdictGiven = true;
    clearTimeout(this.#timer);
  }

  /**
   * The migration's last status.
   *
   * @param timeout milliseconds; null: however long QEMU takes
   * @throws FixedramError `qmp.*`; the signal's reason
   */
  async end(timeout: number | null = END_TIME, signal?: AbortSignal): Promise<string> {
    const isLast = (event: QmpEvent) => event.event === "MIGRATION" && lastStates.has(String(event.data["status"]));
    const event = await this.#client.waitForEvent(isLast, {
      since: this.#since,
      ...(timeout === null ? {} : { timeout }),
      ...(signal === undefined ? {} : { signal }),
    });
    return String(event.data["status"]);
  }

  /** Waits until a guest that QEMU lets go on runs again. */
  async running(): Promise<void> {
    const { status } = await queryStatus(this.#client);
    if (status === "running") return;
    await this.#client.waitForEvent((event) => event.event === "RESUME", { since: this.#since, timeout: END_TIME });
  }

  stop(): void {
    clearTimeout(this.#timer);
    this.#client.off("event", this.#onEvent);
    this.#client.off("close", this.#onClose);
  }

  readonly #onEvent = (event: QmpEvent): void => {
    if (event.event === "STOP") this.stopped ??= milliseconds(event);
    else if (event.event === "RESUME" && this.stopped !== null) this.resumed ??= milliseconds(event);
    else if (event.event === "MIGRATION_PASS") this.#pass(Number(event.data["pass"]));
    else if (event.event === "MIGRATION" && !this.#verdictGiven) {
      const status = String(event.data["status"]);
      const planned = status === "failed" && this.#limits.failsAsPlanned === true;
      if (!planned && (status === "failed" || status === "cancelled")) void this.#report(status);
    }
  };

  readonly #onClose = (error: FixedramError | null): void => {
    this.#fail(error ?? new FixedramError("qmp.closed", "the QMP connection was closed during the save"));
  };

  #pass(pass: number): void {
    this.rounds = pass;
    this.#onRound(pass);
    const { maxRounds } = this.#limits;
    if (maxRounds !== null && pass > maxRounds) this.#reach("rounds");
  }

  #reach(limit: "time" | "rounds"): void {
    if (this.limit !== null || this.stopped !== null) return;
    this.limit = limit;
    this.#act(limit).catch((error: unknown) => this.#fail(error));
  }

  async #act(limit: "time" | "rounds"): Promise<void> {
    if (this.#limits.onLimit === "stop") {
      await setMigrateParameters(this.#client, { "downtime-limit": STOP_AT_ONCE });
      return;
    }
    const { maxTime, maxRounds } = this.#limits;
    this.#fail(
      new FixedramError("guest.not-converging", "the guest writes faster than its memory can be saved", {
        found: limit === "time" ? `not done after ${maxTime} ms` : `not done after ${maxRounds} rounds`,
        hint: "Use --on-limit stop, a higher limit, or --mode stop or background.",
      }),
    );
    if (this.#limits.cancelCrashes !== true) await migrateCancel(this.#client);
  }

  async #report(status: string): Promise<void> {
    let said: string | undefined;
    try {
      said = (await queryMigrate(this.#client))["error-desc"];
    } catch {
      // Its end is reported by the connection.
    }
    this.#fail(
      new FixedramError("qemu.migration-failed", `QEMU's migration ended: ${status}`, {
        ...(said === undefined ? {} : { said }),
      }),
    );
  }
}

const lastStates: ReadonlySet<string> = new Set(["completed", "failed", "cancelled"]);

function milliseconds(event: QmpEvent): number | null {
  return event.time === null ? null : event.time / 1000;
}
