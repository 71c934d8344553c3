import type { ErrorJson } from "../errors.ts";
import { CloneRun } from "./clone/run.ts";
import type { Notice, OperationContext } from "./progress.ts";
import type { ResumeOptions } from "./resume.ts";
import type { LazyOptions, LazyResumeResult } from "./resume-lazy.ts";

export interface CloneOptions
  extends OperationContext,
    Pick<LazyOptions, "prefetch" | "around" | "pushRate">,
    Pick<
      ResumeOptions,
      "file" | "runRecorded" | "confirm" | "paused" | "verify" | "id" | "socketDir" | "bigEndian" | "force"
    > {
  /** Guests, 1 to {@link mostClones}. */
  readonly count: number;
  /** Program and arguments of each QEMU, `{n}` being its number from 1; default: what the snapshot records, after a yes. */
  readonly command?: readonly string[];
  /** Threads of the page server. Default: one for each processor but one, eight at most. */
  readonly threads?: number;
  /** Where the overlays are made, and stay. Default: a temporary folder, which goes when the last clone has ended. */
  readonly overlayDir?: string;
  /** Hears what has become of a clone: each change of state, and now and then how far it is. */
  readonly onClone?: (clone: CloneStatus) => void;
}

/** Guests at most: so that the page server's read-ahead stays within its 64 MiB with useful reads. */
export const mostClones = 256;

/** `starting` QEMU, `loading` the devices, `running` while pages are outstanding, `loaded`; `failed`, or (after loaded) `ended`. */
export type CloneState = "starting" | "loading" | "running" | "loaded" | "failed" | "ended";

export interface CloneStatus {
  /** From 1. */
  readonly number: number;
  readonly state: CloneState;
  readonly pid: number | null;
  /** QEMU's QMP socket. */
  readonly qmp: string | null;
  /** Bytes of pages with data that it has got, and of all. */
  readonly bytes: number;
  readonly total: number;
  readonly faults: number;
  /** Page servers that took over for it. */
  readonly recoveries: number;
  readonly runState: string | null;
  /** Milliseconds: of QEMU until it answered; from there to the guest running; from there to all RAM in. */
  readonly times: { readonly ready: number | null; readonly running: number | null; readonly complete: number | null };
  /** Microseconds, in the page server. */
  readonly latency: LazyResumeResult["faults"]["latency"] | null;
  /** The clone's own disks. */
  readonly overlays: readonly string[];
  readonly error: ErrorJson | null;
  /** How its QEMU ended. */
  readonly end: { readonly code: number | null; readonly signal: string | null } | null;
}

export interface CloneResult {
  readonly path: string;
  readonly uuid: string | null;
  readonly snapshot: string;
  /** In the order of their numbers; `loaded`, `failed`, or `ended` by now. */
  readonly clones: readonly CloneStatus[];
  /** null: the guest has no disks that it writes to, or the command names the clones' own. */
  readonly overlays: { readonly folder: string; readonly kept: boolean } | null;
  /** Milliseconds from the start of the operation: until the last one ran, until the last one had all of its memory. */
  readonly times: { readonly running: number | null; readonly total: number };
  readonly notices: readonly Notice[];
}

/** Clones that are running: the QEMUs are children of this process. */
export interface Clones {
  readonly result: CloneResult;
  /** As they are now. */
  readonly clones: readonly CloneStatus[];
  /** Settles when the last QEMU has ended, and temporary overlays are gone. */
  readonly ended: Promise<void>;
  /** Ends them all. Also done when the signal comes. */
  end(): Promise<void>;
}

/**
 * Starts guests from one snapshot, each lazily: they share the file in the page cache and a page server, whose threads serve all of them,
 * and nothing else. Disks that the guest writes to are replaced by overlays, so that the recorded images are only read; any other that all
 * would write to is refused. Returns when each guest has all of its memory, or has failed; one that fails takes no other with it.
 *
 * As with `resume`, our own death by SIGKILL ends no guest. Any other end of this process does.
 *
 * @throws FixedramError what concerns all: the file (as for `resumeLazy`), `usage.*` (`usage.clone-disk`, `usage.overlay-exists`),
 *   `guest.disk-shared`, `guest.memory-shared`, `usage.bad-number`, `system.qemu-img`; `interrupted.*`, with every QEMU ended. What
 *   concerns one is in its `error`.
 */
export async function clone(options: CloneOptions): Promise<Clones> {
  return new CloneRun(options).go();
}
