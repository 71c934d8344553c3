import type { Notice, OperationContext } from "./progress.ts";
import { SaveRun } from "./save/run.ts";
import type { SaveTransport } from "./save/transport.ts";
import type { SaveWatcher } from "./save/watcher.ts";

export type { SaveWatcher } from "./save/watcher.ts";

export type SaveMode = "stop" | "live" | "background";
export type ThenAction = "resume" | "pause" | "quit";
export type OnLimit = "stop" | "abort";

export interface SaveOptions extends OperationContext {
  /** Final path of the snapshot. */
  readonly out: string;
  /** `PATH`, `unix:PATH` or `tcp:HOST:PORT` on loopback. */
  readonly qmp: string;
  /** Default `stop`. */
  readonly mode?: SaveMode;
  /** Default `resume`: the guest goes on in the state it was in. */
  readonly then?: ThenAction;
  /** Bytes a second; default: no limit. */
  readonly maxBandwidth?: number;
  /** Live only: milliseconds after which `onLimit` applies. */
  readonly maxTime?: number;
  /** Live only: dirty rounds after which `onLimit` applies. */
  readonly maxRounds?: number;
  /** Live only, default `stop`: the guest is stopped and the rest saved; `abort`: the save fails, the guest goes on. */
  readonly onLimit?: OnLimit;
  /** How pages come out of QEMU; default `auto`: the fastest way there is, but never `mapped-ram` (docs/decisions/0011). */
  readonly transport?: "auto" | SaveTransport;
  /** `on`: pages come by multifd, or QEMU writes them itself, past the page cache where the system lets them. Default `auto`, which is off today. */
  readonly directIo?: "auto" | "on" | "off";
  /** Folder for our migration socket, reachable by QEMU's user. */
  readonly socketDir?: string;
  /** Go on where a combination is known to lose guest memory. */
  readonly force?: boolean;
  /** Looks on while pages come. */
  readonly watcher?: SaveWatcher;
}

export interface SaveResult {
  readonly path: string;
  /** Snapshot uuid, as in the trailer. */
  readonly uuid: string;
  /** SHA-256 of the seal's directory: what verify and resume can be asked to find. */
  readonly id: string;
  readonly mode: SaveMode;
  readonly then: ThenAction;
  /** How pages came out of QEMU, and why so: one sentence. */
  readonly transport: SaveTransport;
  readonly transportReason: string;
  /** Bytes that went past the page cache. */
  readonly directBytes: number;
  readonly qemuVersion: string;
  readonly machine: string;
  readonly guestName: string | null;
  /** Run state before, and after the command. */
  readonly runState: { readonly before: string; readonly after: string };
  /** Milliseconds. `guestPause` is from STOP to RESUME (null: it was not running, or does not go on). */
  readonly times: {
    readonly total: number;
    readonly ram: number;
    readonly sync: number;
    readonly guestPause: number | null;
  };
  /** Bytes. */
  readonly sizes: {
    readonly ram: number;
    readonly apparent: number;
    readonly allocated: number;
    readonly received: number;
  };
  /** Counts of pages; `rewritten` is how many PAGE records hit a page that was written before (0 where QEMU writes the file and does not tell). */
  readonly pages: { readonly total: number; readonly data: number; readonly zero: number; readonly rewritten: number };
  readonly rounds: number;
  readonly notices: readonly Notice[];
}

/**
 * Saves a QEMU guest into a fixed-ram file and leaves it as `then` says. Until the file is complete, on disk and under its name,
 * QEMU keeps the guest, and an older file of that name stays as it is; whatever fails, the guest goes on in its former state.
 *
 * @throws FixedramError `usage.*`, `system.*` for the target; `qmp.*`, `qemu.*`, `guest.*`; the signal's reason
 */
export async function save(options: SaveOptions): Promise<SaveResult> {
  const run = new SaveRun(options);
  try {
    await run.prepare();
    await run.take();
    return await run.conclude();
  } catch (error) {
    throw await run.fail(error);
  } finally {
    run.release();
  }
}
