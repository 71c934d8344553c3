import { availableParallelism } from "node:os";
import { FixedramError } from "../../errors.ts";
import type { SnapshotMeta } from "../../fixedram/meta.ts";
import { withOverlays } from "../../qemu/disk-arguments.ts";
import { ownArguments } from "../../qemu/own-arguments.ts";
import { makePrivateFolder, type PrivateFolder } from "../../qemu/private-folder.ts";
import { type CloneOptions, type CloneResult, type CloneStatus, type Clones, mostClones } from "../clone.ts";
import { type LazyFile, openLazyFile } from "../lazy/file.ts";
import { usualReadAhead } from "../lazy/protocol.ts";
import type { Notice } from "../progress.ts";
import { Reporter } from "../reporter.ts";
import { recordedCommand, recordOf, requireOneWay } from "../resume/choose.ts";
import { Member, type MemberPlan } from "./member.ts";
import { Overlays, writableDisks } from "./overlays.ts";
import { DiskOwners, requireOwnCommand } from "./own-disks.ts";
import { sharedByClones } from "./shared.ts";

/** Bytes that the page server's threads read ahead, all together. */
const allReadAhead = 64 * 2 ** 20;

/** Milliseconds from the first guest's start that the background push waits for the others: it would take the processors from them. */
const pushAfter = 2000;

/** Guests from one snapshot: what they share is opened and started once, then each goes its own way. */
export class CloneRun {
  readonly #options: CloneOptions;
  readonly #open: typeof openLazyFile;
  readonly #reporter: Reporter;
  readonly #told = new Set<string>();
  #members: readonly Member[] = [];
  #file: LazyFile | null = null;
  #overlays: Overlays | null = null;
  #folder: PrivateFolder | null = null;
  #running: number | null = null;
  #pushSoon: NodeJS.Timeout | undefined;

  /** @param open for tests */
  constructor(options: CloneOptions, open: typeof openLazyFile = openLazyFile) {
    this.#options = options;
    this.#open = open;
    this.#reporter = new Reporter(options, () => {
      const all = this.#members.map(({ status }) => status);
      const sum = (each: (status: CloneStatus) => number) => all.reduce((total, status) => total + each(status), 0);
      return { bytes: sum(({ bytes }) => bytes), total: sum(({ total }) => total), round: 0 };
    });
  }

  async go(): Promise<Clones> {
    const { signal, count } = this.#options;
    if (!Number.isSafeInteger(count) || count < 1 || count > mostClones) {
      throw new FixedramError("usage.bad-number", "that is no number of clones", {
        expected: `1 to ${mostClones}`,
        found: String(count),
      });
    }
    requireOneWay(this.#options);
    try {
      const { plans, file, meta } = await this.#prepare();
      this.#reporter.enter("start");
      this.#members = plans.map((plan) => this.#member(plan, file, meta));
      await this.#loadAll();
      signal?.throwIfAborted();
      await this.#noMoreServing();
      // Nothing is awaited from here until #clones listens for the signal.
      signal?.throwIfAborted();
      this.#reporter.enter("finish");
      return this.#clones(file.key, meta);
    } catch (error) {
      await this.#endAll();
      throw error;
    }
  }

  /** Everything that may be refused for all of them, before any QEMU is started. */
  async #prepare() {
    this.#reporter.enter("preflight");
    this.#folder = makePrivateFolder(this.#options.socketDir);
    const { count: guests, threads } = this.#options;
    const file = await this.#open(this.#options, this.#folder, { guests, threads });
    this.#file = file;
    const meta = recordOf(file.snapshot, this.#notice);
    const { argv, cwd } = await this.#command(meta);
    const plans = await this.#plans(argv, cwd, meta);
    for (const notice of sharedByClones(argv, meta)) this.#notice(notice);
    return { plans, file, meta };
  }

  async #command(
    meta: SnapshotMeta | null,
  ): Promise<{ readonly argv: readonly string[]; readonly cwd: string | null }> {
    const { command } = this.#options;
    return command === undefined ? recordedCommand(this.#options, meta) : { argv: command, cwd: null };
  }

  async #plans(argv: readonly string[], cwd: string | null, meta: SnapshotMeta | null): Promise<readonly MemberPlan[]> {
    const { file, count, overlayDir, signal } = this.#options;
    const folder = cwd ?? process.cwd();
    const own = Array.from({ length: count }, (_, i) => ownArguments(argv, i + 1));
    const disks = writableDisks(meta?.disks ?? []);
    const probe = disks.map(({ path }) => ({ image: path, overlay: "" }));
    const first = own[0]?.argv ?? argv;
    const { argv: probed, replaced: named } = withOverlays(first, folder, probe);
    requireOwnCommand(argv, first, probed, folder);
    const mine = disks.filter(({ path }) => named.has(path));
    for (const { device, path } of disks) {
      if (named.has(path)) continue;
      const message = `disk ${device} (${path}) is not in the command, so there is no overlay for it`;
      this.#notice({ level: "note", code: "no-overlay", message });
    }
    const plan = { file, disks: mine, count, folder: overlayDir };
    const overlays = mine.length === 0 ? null : await Overlays.make(plan, argv[0] ?? "", signal);
    this.#overlays = overlays;
    this.#tellOwn(overlays, own[0]?.numbered ?? []);
    const commands = own.map((each, i) => withOverlays(each.argv, folder, overlays?.of(i + 1) ?? []).argv);
    const owners = new DiskOwners();
    return commands.map((each, i) => ({
      owners,
      number: i + 1,
      argv: each,
      others: commands.filter((_, other) => other !== i),
      cwd,
      overlays: (overlays?.of(i + 1) ?? []).map(({ overlay }) => overlay),
    }));
  }

  #tellOwn(overlays: Overlays | null, numbered: readonly string[]): void {
    if (overlays !== null) {
      const then = overlays.kept ? "they stay there" : "they are removed when the last clone has ended";
      const message = `each clone writes to overlays of its own in ${overlays.folder}; ${then}`;
      this.#notice({ level: "note", code: "overlays", message });
    }
    if (numbered.length === 0) return;
    const message = `what all clones would have used has their number behind it: ${numbered.join(", ")} and so on`;
    this.#notice({ level: "note", code: "numbered", message });
  }

  #member(plan: MemberPlan, file: LazyFile, meta: SnapshotMeta | null): Member {
    const { onClone, count } = this.#options;
    const readAhead = Math.min(usualReadAhead, Math.floor(allReadAhead / count));
    // The first one's working set is that of all.
    const serving = {
      ...{ file, meta, records: plan.number === 1 },
      place: { guest: plan.number, shared: true, held: true, readAhead },
    };
    return new Member(plan, this.#options, serving, this.#notice, (status) => {
      if (status.state === "running") this.#pushSoon ??= setTimeout(() => file.keeper.push(), pushAfter);
      const ran = this.#members.every(({ status: { state } }) => state !== "starting" && state !== "loading");
      if (ran) file.keeper.push();
      if (ran && status.state !== "failed") this.#running ??= this.#reporter.elapsed;
      onClone?.(status);
      this.#reporter.report();
    });
  }

  /** As many QEMUs at once as get on with it; what is left begins when one runs, or has failed. */
  async #loadAll(): Promise<void> {
    const waiting = [...this.#members];
    const loads: Promise<void>[] = [];
    const lane = async () => {
      for (let member = waiting.shift(); member !== undefined; member = waiting.shift()) {
        if (this.#options.signal?.aborted === true) return;
        const load = member.load();
        loads.push(load);
        await Promise.race([load, member.running]);
      }
    };
    await Promise.all(Array.from({ length: Math.max(8, 2 * availableParallelism()) }, lane));
    await Promise.all(loads);
  }

  #clones(snapshot: string, meta: SnapshotMeta | null): Clones {
    const statuses = () => this.#members.map(({ status }) => status);
    const total = this.#reporter.elapsed;
    const overlays = this.#overlays === null ? null : { folder: this.#overlays.folder, kept: this.#overlays.kept };
    const result: CloneResult = {
      path: this.#options.file,
      uuid: meta?.uuid ?? null,
      snapshot,
      clones: statuses(),
      overlays,
      times: { running: this.#running, total },
      notices: this.#reporter.notices,
    };
    const end = () => this.#endAll();
    this.#options.signal?.addEventListener("abort", () => void end(), { once: true });
    const ended = Promise.all(this.#members.map(({ gone }) => gone)).then(end);
    return {
      result,
      get clones() {
        return statuses();
      },
      ended,
      end,
    };
  }

  async #noMoreServing(): Promise<void> {
    clearTimeout(this.#pushSoon);
    await this.#file?.close();
    this.#file = null;
    this.#folder?.remove();
    this.#folder = null;
  }

  async #endAll(): Promise<void> {
    await Promise.all(this.#members.map((member) => member.end()));
    await this.#noMoreServing();
    // What a guest has never written to is of no use to anybody.
    const ran = this.#members.some(({ status }) => status.times.running !== null);
    if (!ran || this.#overlays?.kept === false) this.#overlays?.remove();
  }

  /** Each once: what one clone is told concerns all. */
  readonly #notice = (notice: Notice): void => {
    const key = `${notice.code} ${notice.message}`;
    if (this.#told.has(key)) return;
    this.#told.add(key);
    this.#reporter.notice(notice);
  };
}
