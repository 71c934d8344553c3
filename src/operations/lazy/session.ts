import { FixedramError } from "../../errors.ts";
import { ExtentKind, ExtentList } from "../../pages/extents.ts";
import { type PostcopyBlock, postcopyBlocks } from "../../postcopy/blocks.ts";
import { usualPace } from "../../postcopy/pace.ts";
import { PostcopySource } from "../../postcopy/source.ts";
import { WorkingSetRecorder } from "../../postcopy/working-set.ts";
import type { Activity, FromServer, ServeJob, ServeStatus } from "./protocol.ts";
import { type ServedFile, snapshotKey } from "./served-file.ts";
import { warm } from "./warm.ts";
import { connectWire } from "./wire.ts";
import { KeptWorkingSet, readWorkingSet } from "./workset.ts";

/** Milliseconds between two words on how far it is. */
const statusTime = 100;
/** Milliseconds between two batches of activity. */
const activityTime = 50;
/** Bytes of a working set that go before the guest runs: sent in about 20 ms. */
const aheadBytes = 32 * 2 ** 20;
/** Milliseconds from the guest's start in which what it touches counts as its working set. */
const recordTime = 10_000;

type Say = (message: FromServer) => void;

/** Hears when what is held may be pushed; at once, if it may already. @returns hears it no more */
export type Push = (release: () => void) => () => void;

const noPush: Push = () => () => {};

/** Serves one guest until it has all of its memory. Never throws: what went wrong is said. @returns whether it has */
export async function serveGuest(file: ServedFile, job: ServeJob, say: Say, push: Push = noPush): Promise<boolean> {
  try {
    return (await new Session(file, job, say, await file.bytes).run(push)) === 0;
  } catch (error) {
    say({ say: "failed", guest: job.guest, error: errorJson(error) });
    return false;
  }
}

/** An error as it goes to the supervisor; one that is none of ours is a defect, and is told as one. */
export function errorJson(error: unknown): ReturnType<FixedramError["toJSON"]> {
  if (error instanceof FixedramError) return error.toJSON();
  const said = error instanceof Error ? (error.stack ?? error.message) : String(error);
  return { code: "system.page-server", message: "the page server failed", said };
}

/** Reads a working set into the page cache. One that is missing, or no good, is told of by the guest that asks for it. */
export async function warmWorkingSet(file: ServedFile, path: string): Promise<void> {
  try {
    const set = await readWorkingSet(path, snapshotKey(file.snapshot), file);
    if (set !== null) await warm(file, set.runs, aheadBytes);
  } catch {
    // See above.
  }
}

class Session {
  readonly #file: ServedFile;
  readonly #job: ServeJob;
  readonly #say: Say;
  readonly #blocks: readonly PostcopyBlock[];
  readonly #workset: KeptWorkingSet;
  #activity: Activity[] = [];
  #tellVerdict: (value: number) => void = () => {};
  /** The destination's last word; it may come before anybody waits for it. */
  readonly #said = new Promise<number>((resolve) => {
    this.#tellVerdict = resolve;
  });
  #began = 0;
  #prefetched = 0;
  #settled: number | null = null;
  readonly #total: number;
  #had = 0;

  /** @param total bytes of all pages with data */
  constructor(file: ServedFile, job: ServeJob, say: Say, total: number) {
    this.#file = file;
    this.#job = job;
    this.#say = say;
    this.#workset = new KeptWorkingSet(job, snapshotKey(file.snapshot), file, (message) =>
      say({ say: "note", guest: job.guest, code: "working-set", message }),
    );
    this.#blocks = postcopyBlocks(file.map.blocks, job.hostPageSize, new Map(job.hostPageSizes));
    this.#total = total;
  }

  /** @returns the destination's verdict: 0 is fine */
  async run(push: Push): Promise<number> {
    const { job, source, recorder, closed, close } = await this.#connect();
    let ended = false;
    void closed.then((error) => {
      if (!ended) source.stop(error);
    });
    const status = setInterval(() => this.#tellStatus(source), statusTime);
    const forget = push(() => source.release());
    const watching = job.watch ? setInterval(() => this.#tellActivity(), activityTime) : undefined;
    try {
      if (job.watch) this.#watch(source);
      if (job.mode === "begin") await source.begin();
      else await this.#recover(source);
      this.#began = performance.now();
      this.#prefetched = source.counts.dataPages;
      if (job.mode === "begin") this.#say({ say: "packaged", guest: job.guest });
      await source.serve();
      const value = await this.#verdict(closed);
      ended = true;
      this.#tellActivity();
      if (recorder !== null) await this.#workset.keep(recorder);
      this.#say({ say: "shut", guest: job.guest, value, status: this.#status(source) });
      return value;
    } finally {
      ended = true;
      forget();
      clearInterval(status);
      clearInterval(watching);
      this.#tellActivity();
      close();
    }
  }

  async #connect() {
    const job = this.#job;
    const earlier = await this.#workset.read();
    const present = this.#total / (this.#blocks[0]?.block.pageSize ?? 4096);
    const recorder =
      job.record === null || job.mode === "recover"
        ? null
        : new WorkingSetRecorder(this.#blocks, Math.ceil(present / 2));
    let source: PostcopySource | null = null;
    const wire = await connectWire(job.socket, (bytes) => source?.receive(bytes));
    const limited = recorder === null ? null : this.#whileNew(recorder);
    source = new PostcopySource({
      input: this.#file.snapshot,
      blocks: this.#blocks,
      hostPageSize: job.hostPageSize,
      pages: this.#file,
      wire,
      now: () => performance.now(),
      turn: () => new Promise((resolve) => setImmediate(resolve)),
      around: job.around,
      readAhead: job.readAhead,
      patient: job.shared,
      held: job.held && job.mode === "begin",
      pace: { ...usualPace, rate: job.pushRate },
      prefetch: job.mode === "begin" ? (earlier?.runs ?? []) : [],
      prefetchAhead: aheadBytes,
      recorder: limited,
      events: {
        loaded: () => this.#say({ say: "loaded", guest: job.guest }),
        shut: (value) => this.#tellVerdict(value),
      },
    });
    return { job, source, recorder, closed: wire.closed, close: () => wire.close() };
  }

  /** What a guest touches long after its start is no working set. */
  #whileNew(recorder: WorkingSetRecorder): Pick<WorkingSetRecorder, "touch"> {
    return {
      touch: (block, first, pages) => {
        if (this.#began === 0 || performance.now() - this.#began < recordTime) recorder.touch(block, first, pages);
      },
    };
  }

  async #recover(source: PostcopySource): Promise<void> {
    await source.recover();
    const list = new ExtentList();
    let had = 0;
    for (const { block } of this.#blocks) {
      const { index, pages, pageSize } = block;
      for (let page = source.sent.nextSent(index, 0, pages); page < pages; ) {
        const end = source.sent.nextMissing(index, page, pages);
        while (page < end) {
          list.clear();
          page += this.#file.map.extents(index, page, end - page, list);
          for (let i = 0; i < list.length; i++)
            if (list.kind[i] === ExtentKind.data) had += (list.pages[i] ?? 0) * pageSize;
        }
        page = source.sent.nextSent(index, end, pages);
      }
    }
    this.#had = had;
    this.#say({ say: "recovered", guest: this.#job.guest, missing: this.#total - had });
  }

  #verdict(closed: Promise<FixedramError>): Promise<number> {
    return new Promise((resolve, reject) => {
      void this.#said.then(resolve);
      void closed.then(reject);
    });
  }

  #watch(source: PostcopySource): void {
    const origin = performance.timeOrigin;
    source.watcher = {
      sent: (kind, block, first, count, time, took) => {
        this.#activity.push([kind, block, first, count, origin + time, took]);
      },
    };
  }

  #tellActivity(): void {
    if (this.#activity.length === 0) return;
    const batch = this.#activity;
    this.#activity = [];
    this.#say({ say: "activity", guest: this.#job.guest, batch });
  }

  #tellStatus(source: PostcopySource): void {
    if (this.#began > 0) this.#say({ say: "status", guest: this.#job.guest, status: this.#status(source) });
  }

  #status(source: PostcopySource): ServeStatus {
    const settled = source.settled;
    if (settled !== null && this.#began > 0) this.#settled ??= Math.max(0, settled - this.#began);
    const pageSize = this.#blocks[0]?.block.pageSize ?? 4096;
    return {
      ...source.counts,
      bytes: Math.min(this.#total, this.#had + source.counts.dataPages * pageSize),
      total: this.#total,
      settled: this.#settled,
      latency: source.latency.summary(),
      prefetched: this.#prefetched,
    };
  }
}
