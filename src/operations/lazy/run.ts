import type { SnapshotMeta } from "../../fixedram/meta.ts";
import { makePrivateFolder } from "../../qemu/private-folder.ts";
import { Reporter } from "../reporter.ts";
import { chooseDestination, recordOf, requireOneWay } from "../resume/choose.ts";
import type { LazyResumeOptions, LazyResumeResult } from "../resume-lazy.ts";
import { type LazyFile, openLazyFile } from "./file.ts";
import { LazyGuest, type LazyGuestEnd } from "./guest.ts";
import { usualReadAhead } from "./protocol.ts";

/** One lazy resume: check the file, start its page server and a QEMU, check what they need, let the guest run, see it through. */
export class LazyRun {
  readonly #options: LazyResumeOptions;
  readonly #reporter: Reporter;
  #bytes = 0;
  #total = 0;

  constructor(options: LazyResumeOptions) {
    this.#options = options;
    this.#reporter = new Reporter(options, () => ({ bytes: this.#bytes, total: this.#total, round: 0 }));
  }

  async go(): Promise<LazyResumeResult> {
    requireOneWay(this.#options);
    this.#reporter.enter("preflight");
    const folder = makePrivateFolder(this.#options.socketDir);
    let file: LazyFile | null = null;
    try {
      file = await openLazyFile(this.#options, folder, { guests: 1 }, (bytes, total) => this.#moved(bytes, total));
      const meta = recordOf(file.snapshot, this.#reporter.notice);
      this.#reporter.enter("start");
      // Ctrl-C is explained while pages are outstanding: QEMU must not end at it meanwhile.
      const own = { ...this.#options, ownSession: true };
      const destination = await chooseDestination(own, meta, this.#reporter.notice);
      const ready = this.#reporter.elapsed;
      try {
        const place = { guest: 0, shared: false, held: false, readAhead: usualReadAhead };
        const serving = { file, meta, place, records: true };
        const guest = new LazyGuest(this.#options, serving, this.#reporter, ({ bytes, total }) =>
          this.#moved(bytes, total),
        );
        return this.#result(file, meta, await guest.into(destination, ready), destination.started);
      } finally {
        destination.client.close();
      }
    } finally {
      await file?.close();
      folder.remove();
    }
  }

  #result(
    file: LazyFile,
    meta: SnapshotMeta | null,
    { load, ...more }: LazyGuestEnd,
    process: LazyResumeResult["process"],
  ): LazyResumeResult {
    return {
      path: this.#options.file,
      uuid: meta?.uuid ?? null,
      snapshot: file.key,
      ...more,
      process,
      bytes: load.total,
      faults: { served: load.faults, ignored: load.ignored, latency: load.latency },
      recoveries: load.recoveries,
      age: meta === null ? null : Date.now() - Date.parse(meta.created),
      notices: this.#reporter.notices,
    };
  }

  #moved(bytes: number, total: number): void {
    this.#bytes = bytes;
    this.#total = total;
    this.#reporter.report();
  }
}
