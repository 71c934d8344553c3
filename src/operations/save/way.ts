import type { SnapshotMeta } from "../../fixedram/meta.ts";
import type { QmpClient } from "../../qmp/client.ts";
import type { TargetFile } from "../../storage/target-file.ts";
import type { Reporter } from "../reporter.ts";
import type { SaveOptions } from "../save.ts";
import type { Guarded } from "./guarded.ts";
import type { MigrationWatch } from "./migration.ts";
import type { SavePlan } from "./plan.ts";
import type { FormerState } from "./put-back.ts";
import type { GuestRecord } from "./record.ts";

/** Everything that exists once the guest may be touched. */
export interface Prepared {
  readonly options: SaveOptions;
  readonly client: QmpClient;
  readonly plan: SavePlan;
  readonly guest: GuestRecord;
  readonly target: TargetFile;
  readonly guarded: Guarded;
  readonly before: FormerState;
  readonly reporter: Reporter;
  readonly signal: AbortSignal;
}

/** What the answer says of the pages. */
export interface Taken {
  readonly id: string;
  readonly machine: string;
  /** Bytes. */
  readonly received: number;
  readonly directBytes: number;
  readonly pages: { readonly total: number; readonly data: number; readonly zero: number; readonly rewritten: number };
}

/**
 * A way of the guest's memory into our file. One object a save; its calls come in this order, `fail` instead from any point,
 * `release` at last.
 */
export interface SaveWay {
  /** Bytes of pages so far, and of all RAM blocks; 0 while they are not known. */
  readonly pageBytes: number;
  readonly ramBytes: number;
  /** Makes what it needs beside the target. Nothing of the guest is changed. */
  open(): Promise<void>;
  /** Lets QEMU migrate, until nothing of its stream is missing. The settings are made. */
  take(watch: MigrationWatch): Promise<void>;
  /** Writes what the file still lacks: it is whole then, but not yet on disk. */
  complete(meta: SnapshotMeta): Promise<void>;
  /** The file is on disk and has its name. @param stays the guest is to stay stopped */
  decide(stays: boolean): Promise<void>;
  /** QEMU's migration is over. */
  end(): Promise<void>;
  taken(): Taken;
  /** Takes nothing more. After this, nothing of ours writes to the target. Never throws. */
  fail(): Promise<void>;
  /** Closes what is still open; may be called again. */
  release(): void;
}
