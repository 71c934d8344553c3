import type { SnapshotMeta } from "../../fixedram/meta.ts";
import { makePrivateFolder } from "../../qemu/private-folder.ts";
import { Reporter } from "../reporter.ts";
import { chooseDestination, recordOf, requireOneWay } from "../resume/choose.ts";
import { requireVerified } from "../resume/verified.ts";
import type { LazyResumeOptions, LazyResumeResult } from "../resume-lazy.ts";
import { type LazyFile, openLazyFile } from "./file.ts";
import { LazyGuest, type LazyGuestEnd } from "./guest.ts";
import { ServerKeeper } from "./keeper.ts";
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
    const { file: path, signal, verify, bigEndian } = this.#options;
    requireOneWay(this.#options);
    this.#reporter.enter("preflight");
    // Pages are checked one by one, as they are served.
    await requireVerified({ ...this.#options, verify: false });
    const folder = makePrivateFolder(this.#options.socketDir);
    let file: LazyFile | null = null;
    let keeper: ServerKeeper | null = null;
    try {
      file = await openLazyFile(path, folder, verify === true, {
        onRead: (bytes, total) => this.#moved(bytes, total),
        ...(bigEndian === undefined ? {} : { bigEndian }),
        ...(signal === undefined ? {} : { signal }),
      });
      const meta = recordOf(file.snapshot, this.#reporter.notice);
      keeper = new ServerKeeper(file.held);
      this.#reporter.enter("start");
      const destination = await chooseDestination(this.#options, meta, this.#reporter.notice);
      const ready = this.#reporter.elapsed;
      try {
        const place = { guest: 0, threads: false, readAhead: usualReadAhead };
        const serving = { file, meta, keeper, place, records: true };
        const guest = new LazyGuest(this.#options, serving, this.#reporter, ({ bytes, total }) =>
          this.#moved(bytes, total),
        );
        return this.#result(file, meta, await guest.into(destination, ready), destination.started);
      } finally {
        destination.client.close();
      }
    } finally {
      await keeper?.stop();
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
