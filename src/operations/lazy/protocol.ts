/**
 * What goes between whoever supervises a lazy resume and its page server (a process), and between that process and the threads in which
 * it serves several guests. All of it plain data.
 *
 *     supervisor -> server   open { file }, serve { job }, push, stop
 *     server -> supervisor   opened | cannot-open, and of each guest packaged, loaded | recovered, status ..., activity ..., shut | failed
 */
import type { ErrorJson } from "../../errors.ts";
import type { LatencySummary } from "../../postcopy/latency.ts";
import type { SendKind } from "../../postcopy/pages.ts";
import type { PutBack } from "./put-back.ts";
import type { FileToServe } from "./served-file.ts";

/** Bytes of {@link ServeJob.readAhead} for one guest: two reads of 1 MiB, one of which goes out. */
export const usualReadAhead = 2 * 2 ** 20;

/** One guest to be served. */
export interface ServeJob {
  /** Its number among those of this server. */
  readonly guest: number;
  /** `recover`: the guest runs, and lost its page server. */
  readonly mode: "begin" | "recover";
  /** Where its QEMU listens. */
  readonly socket: string;
  /** Bytes: the host's own page size, and that of blocks which have another. */
  readonly hostPageSize: number;
  readonly hostPageSizes: readonly (readonly [block: string, size: number])[];
  /** Pages that a fault brings along, its own included. */
  readonly around: number;
  /** Bytes a second that are pushed at most; null: no limit. */
  readonly pushRate: number | null;
  /** Working set to be sent first; null: none. */
  readonly prefetch: string | null;
  /** Where the working set is kept afterwards; null: nowhere. */
  readonly record: string | null;
  /** Tell what is done, page by page. */
  readonly watch: boolean;
  /** Bytes that the background push may hold, read ahead. */
  readonly readAhead: number;
  /** There are other guests: they share a few threads, and no read may hold one. */
  readonly shared: boolean;
  /** The background push waits until the supervisor lets it go, for all guests. */
  readonly held: boolean;
  /** What the server does when all RAM is in and its supervisor is gone; null: nothing. */
  readonly after: PutBack | null;
}

/** How far a guest is. Bytes of pages, counts of faults, of the server that says so. */
export interface ServeStatus {
  readonly faults: number;
  readonly ignored: number;
  readonly dataPages: number;
  readonly zeroPages: number;
  /** Bytes of pages with data that the destination has, and of all. */
  readonly bytes: number;
  readonly total: number;
  /** Milliseconds from when the guest ran (or was recovered) until its faults were quiet; null: not yet. */
  readonly settled: number | null;
  readonly latency: LatencySummary;
  /** Pages of the prefetch list that went out before the guest ran. */
  readonly prefetched: number;
}

/** What was done: [kind, block, first page, pages, milliseconds since 1970, microseconds that a fault took]. */
export type Activity = readonly [SendKind, number, number, number, number, number];

export type ToServer =
  | { readonly ask: "open"; readonly file: FileToServe }
  | { readonly ask: "serve"; readonly job: ServeJob }
  /** What is held may be pushed. */
  | { readonly ask: "push" }
  | { readonly ask: "stop" };

export type FromServer =
  | { readonly say: "opened" }
  | { readonly say: "cannot-open"; readonly error: ErrorJson }
  /** The package is out: the guest will run. */
  | { readonly say: "packaged" | "loaded"; readonly guest: number }
  | { readonly say: "recovered"; readonly guest: number; readonly missing: number }
  | { readonly say: "status"; readonly guest: number; readonly status: ServeStatus }
  | { readonly say: "activity"; readonly guest: number; readonly batch: readonly Activity[] }
  | { readonly say: "note"; readonly guest: number; readonly code: string; readonly message: string }
  | { readonly say: "shut"; readonly guest: number; readonly value: number; readonly status: ServeStatus }
  | { readonly say: "failed"; readonly guest: number; readonly error: ErrorJson };
