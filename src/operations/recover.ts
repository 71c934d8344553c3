import type { LatencySummary } from "../postcopy/latency.ts";
import { recoverGuest } from "./lazy/recover-run.ts";
import type { Notice, OperationContext } from "./progress.ts";

export interface RecoverOptions extends OperationContext {
  readonly file: string;
  /** Control socket of the QEMU that waits: `PATH`, `unix:PATH` or `tcp:HOST:PORT` on loopback. */
  readonly qmp: string;
  /** Check each page against its digest as it is served. */
  readonly verify?: boolean;
  /** The order of the words of a mapped-ram file's bitmaps, as for openSnapshot. */
  readonly bigEndian?: boolean;
  readonly around?: number;
  readonly pushRate?: number;
  readonly socketDir?: string;
  /** Go on although no note tells from which snapshot the guest was resumed. */
  readonly force?: boolean;
}

export interface RecoverResult {
  readonly path: string;
  readonly snapshot: string;
  readonly qemuVersion: string;
  readonly runState: string;
  /** Milliseconds. */
  readonly times: { readonly total: number };
  /** Bytes of pages with data that the guest lacked, and of all. */
  readonly missing: number;
  readonly bytes: number;
  readonly faults: { readonly served: number; readonly ignored: number; readonly latency: LatencySummary };
  /** Page servers, the first included. */
  readonly recoveries: number;
  readonly notices: readonly Notice[];
}

/**
 * Goes on with a lazy resume whose page server and supervisor are gone. The destination itself says which pages it has; the file must be
 * the same snapshot, or a copy of it. Returns when all RAM is in.
 *
 * @throws FixedramError `qemu.not-paused` (nothing to recover), `guest.other-snapshot`, `guest.unknown-snapshot`; those of resumeLazy
 */
export async function recover(options: RecoverOptions): Promise<RecoverResult> {
  return recoverGuest(options);
}
