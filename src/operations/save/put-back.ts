import { rmSync } from "node:fs";
import { FixedramError } from "../../errors.ts";
import type { QmpClient } from "../../qmp/client.ts";
import { cont, migrateCancel, queryMigrate, queryStatus, setMigrateParameters } from "../../qmp/commands.ts";
import { cleanedUp } from "../../qmp/migration-commands.ts";
import { restoreSettings } from "../../qmp/migration-settings.ts";
import type { Journal } from "./journal.ts";
import { STOP_AT_ONCE } from "./plan.ts";

/** States in which a migration is over or never began. */
export const terminalStates: ReadonlySet<string> = new Set(["none", "completed", "failed", "cancelled"]);

/** Milliseconds between two looks at a migration that is being cancelled; there is no event without the `events` capability. */
const LOOK = 20;

/** What a guest was like, and of its save what {@link Journal} tells; `patient`: it never leads through the state `paused`. */
export type FormerState = Pick<Journal, "runState" | "settings"> & {
  readonly patient?: boolean;
  readonly cancelCrashes?: boolean;
};

export interface PutBackOptions {
  /** Milliseconds for QEMU to end its migration; default 10 000. */
  readonly timeout?: number;
  /** Default true. False: the migration that is under way, if any, is not ours, or must not break (docs/decisions/0004). */
  readonly cancel?: boolean;
  /** Names of settings that QEMU would not take back, with its words. */
  readonly onRefused?: (names: readonly string[]) => void;
}

/**
 * Puts a guest back into the state a save found it in: ends a migration under way, lets a guest that ran run, puts
 * capabilities and parameters back. Safe to repeat.
 *
 * @returns the run state the guest ends in; `postmigrate` where QEMU knows no way back to `paused`
 * @throws FixedramError `qmp.*`; `qemu.migration-stuck` when QEMU does not end its migration in time
 */
export async function putBack(client: QmpClient, before: FormerState, options: PutBackOptions = {}): Promise<string> {
  // QEMU is silent while it writes a stopped guest's memory into a file: the time begins when it has answered.
  await queryMigrate(client);
  const deadline = performance.now() + (options.timeout ?? 10_000);
  if (options.cancel !== false) {
    if (before.cancelCrashes === true) await finishMigration(client);
    else await endMigration(client, deadline);
  }
  try {
    let status = await settledStatus(client, deadline);
    const byUs = stoppedBySave.has(status) && !(before.patient === true && status === "paused");
    if (before.runState === "running" && byUs) {
      await cont(client);
      status = (await queryStatus(client)).status;
    }
    return status;
  } finally {
    // Whatever became of the guest, and even when it cannot go on.
    if (!client.closed) {
      await cleanedUp(client);
      const { failed } = await restoreSettings(client, before.settings);
      if (failed.length > 0) options.onRefused?.(failed.map(({ name, said }) => `${name} (${said})`));
    }
  }
}

/** A migration that has just ended leaves `finish-migrate` a moment later, by itself; `cont` is refused until then. */
async function settledStatus(client: QmpClient, deadline: number): Promise<string> {
  for (;;) {
    const { status } = await queryStatus(client);
    if (status !== "finish-migrate" || performance.now() > deadline) return status;
    await new Promise((resolve) => setTimeout(resolve, LOOK));
  }
}

/** Run states a save leads through; any other (a panic, an I/O error) is the guest's own and stays. */
const stoppedBySave: ReadonlySet<string> = new Set(["paused", "finish-migrate", "postmigrate"]);

async function endMigration(client: QmpClient, deadline: number): Promise<void> {
  let asked = false;
  for (;;) {
    const { status } = await queryMigrate(client);
    if (status === undefined || terminalStates.has(status)) return;
    if (!asked) {
      asked = true;
      await migrateCancel(client);
      continue;
    }
    if (performance.now() > deadline) {
      throw new FixedramError("qemu.migration-stuck", "QEMU does not end its migration", {
        found: `status ${status}`,
        hint: "The guest may be stopped: look at it with query-status, and use cont.",
      });
    }
    await new Promise((resolve) => setTimeout(resolve, LOOK));
  }
}

/** Has QEMU stop the guest and write what is left, however long that takes: it is not to be cancelled. */
async function finishMigration(client: QmpClient): Promise<void> {
  for (let asked = false; ; asked = true) {
    const { status } = await queryMigrate(client);
    if (terminalStates.has(status)) return;
    if (!asked) await setMigrateParameters(client, { "downtime-limit": STOP_AT_ONCE, "max-bandwidth": 0 });
    await new Promise((resolve) => setTimeout(resolve, LOOK));
  }
}

/**
 * What a note says of the guest. Where it could not name QEMU's process, another QEMU may answer at that address by now: settings
 * do no harm there, but a guest that somebody has stopped must not be let run.
 */
export function formerState(journal: Journal): FormerState {
  return journal.qemu === null ? { ...journal, runState: "unknown" } : journal;
}

/** Removes what a saver left in the file system: its half-made file and its socket folder. */
export function removeLeftOvers(journal: Pick<Journal, "partial" | "folder">): void {
  if (journal.partial !== null) rmSync(journal.partial, { force: true });
  if (journal.folder !== null) rmSync(journal.folder, { recursive: true, force: true });
}
