import type { OpenSnapshotOptions } from "../operations/open.ts";
import type { LazyResumeOptions, LazyResumeResult } from "../operations/resume-lazy.ts";
import { Broadcast } from "./server/live/broadcast.ts";
import { Recording } from "./server/live/recording.ts";
import { Session } from "./server/session.ts";
import { resumeKinds } from "./shared/live.ts";
import { parseListen, serve, type Viewer } from "./view.ts";

export interface LiveViewOptions extends Pick<OpenSnapshotOptions, "offset" | "bigEndian" | "signal"> {
  readonly file: string;
  /** As for `view`. */
  readonly listen?: string;
}

/** A page on which a lazy resume is watched while it goes on, and afterwards as often as wanted. */
export interface ResumeViewer extends Viewer {
  /** To be given to `resumeLazy`. */
  readonly hooks: Required<Pick<LazyResumeOptions, "onActivity" | "onRunning" | "onOutput">>;
  /** All RAM is in. What was recorded stays to be looked at. */
  finished(result: Pick<LazyResumeResult, "times">): void;
  failed(error: unknown): void;
}

const kinds: Readonly<Record<string, number>> = {
  push: resumeKinds.indexOf("pushed"),
  prefetch: resumeKinds.indexOf("prefetched"),
  window: resumeKinds.indexOf("along"),
  fault: resumeKinds.indexOf("faulted"),
};

/**
 * Serves a page about a snapshot that is about to be resumed lazily. The pages are served to the guest by a process of their own, which
 * waits for nothing that happens here; what it tells is counted here in memory of a fixed size.
 *
 * @throws FixedramError as `view`
 */
export async function viewResume({ file, listen, ...options }: LiveViewOptions): Promise<ResumeViewer> {
  const { host, port } = parseListen(listen ?? "127.0.0.1:0");
  const session = await Session.open([file], options);
  const recording = new Recording(session.side.snapshot.map.blocks.map(({ pages }) => pages));
  // The recording begins with the first page: what it takes to start a QEMU is no part of the picture.
  let began: number | null = null;
  const begin = (time: number): number => {
    began ??= time;
    return began;
  };
  const live = new Broadcast("resume", recording, () => (began === null ? 0 : performance.now() - began));
  session.live = live;
  const viewer = await serve(session, host, port);
  let running: number | null = null;
  let output = false;
  return {
    ...viewer,
    hooks: {
      onActivity: (batch) => {
        for (const [kind, block, first, count, time, took] of batch) {
          const here = time - performance.timeOrigin;
          const since = here - begin(here);
          recording.add(block, first, count, kinds[kind] ?? 1, since, kind === "fault" ? took : null);
        }
      },
      onRunning: () => {
        begin(performance.now());
        running = live.now;
        recording.mark("running", running);
      },
      onOutput: () => {
        if (running === null || output || live.over) return;
        output = true;
        recording.mark("first output", live.now);
      },
    },
    finished: ({ times }) => {
      if (running !== null && times.settled !== null) recording.mark("faults quiet", running + times.settled);
      recording.mark("all in", running === null ? live.now : Math.min(live.now, running + times.complete));
      live.finish(true, "All of the guest's memory is in.");
    },
    failed: (error) => live.finish(false, error instanceof Error ? error.message : String(error)),
  };
}
