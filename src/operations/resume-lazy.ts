import type { LatencySummary } from "../postcopy/latency.ts";
import type { Activity } from "./lazy/protocol.ts";
import { LazyRun } from "./lazy/run.ts";
import type { Notice } from "./progress.ts";
import type { ResumeOptions, ResumeResult } from "./resume.ts";

export type { Activity } from "./lazy/protocol.ts";

export interface LazyOptions {
  /**
   * The pages that earlier resumes touched first, which are sent first: a file, `auto` (default: `FILE.workset` beside the snapshot, made
   * or added to by this resume) or `none`.
   */
  readonly prefetch?: string;
  /** Pages that a fault brings along: its aligned window of so many, its own included. Default 32; 1 brings none. */
  readonly around?: number;
  /** Bytes a second that are pushed in the background at most. Default: no limit. */
  readonly pushRate?: number;
  /** Hears everything that the page server sends, page by page. Costs nothing when left out. */
  readonly onActivity?: (batch: readonly Activity[]) => void;
}

export interface LazyResumeOptions extends Omit<ResumeOptions, "verify">, LazyOptions {
  /** Check each page against its digest as it is served. */
  readonly verify?: boolean;
  /** The guest runs: what is known by then. From now on nothing but the missing pages can stop it. */
  readonly onRunning?: (running: LazyRunning) => void;
}

export interface LazyRunning {
  readonly runState: string;
  /** Milliseconds: QEMU answered; from there to the guest running. */
  readonly times: { readonly ready: number; readonly running: number };
  readonly process: ResumeResult["process"];
  readonly pageServer: number;
}

/** Times in milliseconds, from the start of the operation unless it says otherwise. */
export interface LazyTimes {
  /** QEMU started and answered. */
  readonly ready: number;
  /** From `ready` to the guest running. */
  readonly running: number;
  /** From running until its faults were quiet for the first time; null: they never were. */
  readonly settled: number | null;
  /** From running until all RAM was in. */
  readonly complete: number;
  /** The guest stood waiting for pages: by QEMU's own count, or added up from the faults that were served. */
  readonly stall: number;
  readonly stallFrom: "qemu" | "faults";
  readonly total: number;
}

export interface LazyResumeResult {
  readonly path: string;
  readonly uuid: string | null;
  /** The snapshot's id, or what stands for it without a seal. */
  readonly snapshot: string;
  readonly qemuVersion: string;
  readonly runState: string;
  readonly times: LazyTimes;
  /** Bytes of pages that hold data. */
  readonly bytes: number;
  readonly faults: {
    readonly served: number;
    /** Asked for while they were on their way already. */
    readonly ignored: number;
    /** From request to answer, in the page server, microseconds. */
    readonly latency: LatencySummary;
  };
  readonly prefetch: {
    /** The working set's file; null: none. */
    readonly path: string | null;
    /** Pages of it that were there before the guest ran. */
    readonly pages: number;
  };
  /** Page servers that had to take over. */
  readonly recoveries: number;
  readonly age: number | null;
  readonly notices: readonly Notice[];
  readonly process: ResumeResult["process"];
}

/**
 * Resumes a guest that runs at once, whatever its size: its pages come from the file as it touches them, the rest in the background.
 * Returns when all RAM is in, and the guest needs nobody any more.
 *
 * Whatever happens to the page server, another takes over. What can't be made good leaves an attached guest waiting at its next missing
 * page (`recover` goes on from there); a QEMU that was started is ended. The file is only read.
 *
 * @throws FixedramError those of `resume`; `qemu.no-postcopy`, `qemu.no-userfaultfd`, `qemu.disk-backed`, `qemu.blocks-differ`,
 *   `qemu.page-size`; `qemu.lost-before-run`, `qemu.died`, `qemu.not-recovered`; `file.changed`, `file.truncated`, `seal.damaged-page`;
 *   `file.working-set`, `file.other-working-set` of one that was named
 */
export async function resumeLazy(options: LazyResumeOptions): Promise<LazyResumeResult> {
  return new LazyRun(options).go();
}
