import type { Progress } from "../operations/progress.ts";
import type { SaveResult, SaveWatcher } from "../operations/save.ts";
import type { LiveViewOptions } from "./live-resume.ts";
import { Broadcast } from "./server/live/broadcast.ts";
import { BitSampler, SaveRecording } from "./server/live/save-recording.ts";
import { Session } from "./server/session.ts";
import { parseListen, serve, type Viewer } from "./view.ts";

/** Milliseconds between two looks at what multifd channels have brought. */
const sampleTime = 100;

/** A page on which a save is watched while it goes on; afterwards it shows what was saved. */
export interface SaveViewer extends Viewer {
  /** To be given to `save`. */
  readonly hooks: { readonly watcher: SaveWatcher; readonly onProgress: (progress: Progress) => void };
  /** The file is on disk: it is opened, and the page shows it. Never rejects: the save has succeeded. */
  finished(result: Pick<SaveResult, "path" | "rounds" | "times">): Promise<void>;
  failed(error: unknown): void;
}

/**
 * Serves a page about a save that is about to begin. Pages are counted in the thread that takes them, once a batch; nothing
 * is done page by page beside that, and what is kept has a size of its own, whatever comes (docs/viewer.md, "Live").
 *
 * @throws FixedramError `usage.bad-address`, `system.address-in-use`
 */
export async function viewSave({ file, listen }: Pick<LiveViewOptions, "file" | "listen">): Promise<SaveViewer> {
  const { host, port } = parseListen(listen ?? "127.0.0.1:0");
  const session = Session.ofSave(file);
  const watch = new SaveWatch(session);
  const viewer = await serve(session, host, port);
  return {
    ...viewer,
    hooks: { watcher: watch, onProgress: (progress) => watch.progress(progress) },
    finished: async ({ path, rounds }) => {
      try {
        await session.attach(path);
        watch.finish(`The snapshot is on disk, after ${rounds} round${rounds === 1 ? "" : "s"}.`);
      } catch (error) {
        watch.fail(`The snapshot is on disk, but cannot be shown: ${wordsOf(error)}`);
      }
    },
    failed: (error) => watch.fail(wordsOf(error)),
  };
}

function wordsOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}

class SaveWatch implements SaveWatcher {
  readonly #session: Session;
  #live: Broadcast;
  #recording = new SaveRecording([]);
  #began: number | null = null;
  #sampler: BitSampler | null = null;
  #timer: NodeJS.Timeout | null = null;
  #round = 0;
  #phase: Progress["phase"] | null = null;

  constructor(session: Session) {
    this.#session = session;
    this.#live = this.#broadcast();
  }

  laidOut(blocks: Parameters<SaveWatcher["laidOut"]>[0], shared: Parameters<SaveWatcher["laidOut"]>[1]): void {
    const pages = blocks.map((block) => block.pages);
    this.#began = performance.now();
    this.#recording = new SaveRecording(pages);
    const before = this.#live;
    this.#live = this.#broadcast();
    this.#live.takeOver(before);
    this.#session.saving(blocks);
    if (shared === null) return;
    this.#sampler = new BitSampler(
      shared.map(({ bitmap }) => bitmap),
      pages,
    );
    this.#timer = setInterval(() => this.#sample(), sampleTime);
    this.#timer.unref();
  }

  pages({ block, pages, count }: Parameters<SaveWatcher["pages"]>[0]): void {
    this.#recording.came(block.index, pages, count, this.#live.now);
  }

  zeroPages({ index }: Parameters<SaveWatcher["zeroPages"]>[0], first: number, count: number): void {
    this.#recording.cameZero(index, first, count, this.#live.now);
  }

  progress({ round, phase }: Progress): void {
    if (this.#began === null) return;
    if (round > this.#round) {
      this.#round = round;
      this.#recording.mark(round === 1 ? "round 1" : String(round), this.#live.now);
    }
    if (phase === this.#phase) return;
    this.#phase = phase;
    const name = phase === "device-state" ? "devices" : phase === "sync" ? "to disk" : null;
    if (name !== null) this.#recording.mark(name, this.#live.now);
  }

  finish(message: string): void {
    this.#sample();
    if (this.#sampler !== null) this.#recording.restIsZero(this.#live.now);
    this.#recording.mark("on disk", this.#live.now);
    this.#end(true, message);
  }

  fail(message: string): void {
    this.#end(false, message);
  }

  #end(ok: boolean, message: string): void {
    if (this.#timer !== null) clearInterval(this.#timer);
    this.#live.finish(ok, message);
  }

  #sample(): void {
    this.#sampler?.look((block, pages, count) => this.#recording.came(block, pages, count, this.#live.now));
  }

  #broadcast(): Broadcast {
    const live = new Broadcast("save", this.#recording, () =>
      this.#began === null ? 0 : performance.now() - this.#began,
    );
    this.#session.live = live;
    return live;
  }
}
