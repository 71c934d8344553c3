import { isMainThread } from "node:worker_threads";
import { FixedramError } from "../../errors.ts";
import { isMainRam } from "../../fixedram/layout.ts";
import type { SnapshotMeta } from "../../fixedram/meta.ts";
import { connectQmp } from "../../qemu/connect.ts";
import { inspectGuest } from "../../qemu/inspect.ts";
import { makeMeetingFolder } from "../../qemu/meeting-folder.ts";
import { queryRamblocks } from "../../qemu/memory-map.ts";
import {
  canTakeChannels,
  listenForMigration,
  MIGRATION_SOCKET,
  type MigrationConnection,
  type MigrationListener,
} from "../../qemu/migration-socket.ts";
import type { PrivateFolder } from "../../qemu/private-folder.ts";
import { findQemu, type QemuProcess, startTimeOf } from "../../qemu/process.ts";
import { formatQmpAddress, parseQmpAddress } from "../../qmp/address.ts";
import type { QmpClient } from "../../qmp/client.ts";
import { queryMigrate, queryStatus, quit, setMigrateCapabilities, setMigrateParameters } from "../../qmp/commands.ts";
import { abortError } from "../../qmp/errors.ts";
import { snapshotSettings } from "../../qmp/migration-settings.ts";
import { nodeCalls } from "../../storage/system-calls.ts";
import { TargetFile } from "../../storage/target-file.ts";
import { inspectTarget } from "../../storage/target-path.ts";
import { shutMessage } from "../../stream/return-path.ts";
import type { WorkerPool } from "../../workers/pool.ts";
import { Reporter } from "../reporter.ts";
import type { SaveOptions, SaveResult } from "../save.ts";
import { Capture } from "./capture.ts";
import { ChannelCapture, startThreads } from "./channels.ts";
import { dropGuard, type Guard, type Guarded, guardSave, settleEarlierSave, startGuard } from "./guarded.ts";
import { asBefore, withHint } from "./hints.ts";
import { isAlive, type Journal } from "./journal.ts";
import { MigrationWatch } from "./migration.ts";
import { checkSaveOptions, isBusy, planSave, type SavePlan } from "./plan.ts";
import { putBack, terminalStates } from "./put-back.ts";
import { type GuestRecord, makeMeta, recordGuest } from "./record.ts";
import { firstOf, transfer } from "./transfer.ts";
import { warnOfPlan, warnOfTarget } from "./warnings.ts";

/** Everything that exists once the guest may be touched. */
interface Prepared {
  readonly client: QmpClient;
  readonly plan: SavePlan;
  readonly guest: GuestRecord;
  readonly target: TargetFile;
  readonly listener: MigrationListener;
  readonly guarded: Guarded;
  readonly before: Pick<Journal, "runState" | "settings">;
}

/**
 * One save, step by step:
 *
 *     prepare   nothing of the guest is changed: target, QMP, facts, plan, socket, note and guard
 *     take      settings, `migrate`, stream -> file; fsync, rename; our verdict on the return path
 *     conclude  the guest in the wanted state, settings as they were
 *     fail      instead, from any point: guest and settings as they were, nothing half-made left
 */
export class SaveRun {
  readonly #options: SaveOptions;
  readonly #reporter: Reporter;
  readonly #signal: AbortSignal;
  #folder: PrivateFolder | null = null;
  #client: QmpClient | null = null;
  #target: TargetFile | null = null;
  #guard: Guard | null = null;
  #guarded: Guarded | null = null;
  #listener: MigrationListener | null = null;
  #prepared: Prepared | null = null;
  #connection: MigrationConnection | null = null;
  #capture: Capture | null = null;
  #pool: WorkerPool | null = null;
  #channels: ChannelCapture | null = null;
  #watch: MigrationWatch | null = null;
  #meta: SnapshotMeta | null = null;
  #committed = false;
  /** Our `migrate` was sent: a migration under way is ours. */
  #migrating = false;
  /** We answered that the guest is ours now: it must stay stopped. */
  #handedOver = false;
  #leftToGuard = false;
  #syncTime = 0;
  #ramTime = 0;

  constructor(options: SaveOptions) {
    this.#options = options;
    this.#reporter = new Reporter(options, () => ({
      bytes: this.#capture?.pageBytes ?? 0,
      total: this.#capture?.ramBytes ?? 0,
      round: this.#watch?.rounds ?? 0,
    }));
    this.#signal = options.signal ?? new AbortController().signal;
  }

  async prepare(): Promise<void> {
    this.#reporter.enter("preflight");
    const options = this.#options;
    checkSaveOptions(options);
    const place = inspectTarget(options.out);
    warnOfTarget(place, this.#reporter);
    const address = parseQmpAddress(options.qmp);
    const qmp = formatQmpAddress(address);
    const connect = () => connectQmp(address, { signal: this.#signal });
    // It starts while QEMU is asked.
    const guard = startGuard(qmp);
    this.#guard = guard;
    const { client, found } = await settleEarlierSave(qmp, connect, this.#signal);
    this.#client = client;
    if (found !== null) this.#reporter.note("warning", "earlier-save", found);
    const process = findQemu(address);
    const facts = await inspectGuest(client, { cpuFlags: false, signal: this.#signal });
    const ramBytes = (await queryRamblocks(client)).reduce((sum, block) => sum + block.used, 0);
    const capabilities = new Set(Object.keys(facts.capabilities));
    // At a thread's end Node would close what ChannelConnection.leave leaves.
    const channelsTakeable = isMainThread && canTakeChannels();
    const plan = planSave(options, { ...facts, capabilities, ramBytes, channelsTakeable, busy: isBusy() });
    warnOfPlan(plan, { ...facts, ramBytes }, place, this.#reporter);
    const guest = await recordGuest(client, facts, process, this.#reporter.notice);
    const before = { runState: facts.runState, settings: await snapshotSettings(client) };
    const entry = {
      version: 1 as const,
      saver: { pid: globalThis.process.pid, startTime: startTimeOf(globalThis.process.pid) ?? 0 },
      ...before,
      qmp,
      qemu: process === null ? null : { pid: process.pid, startTime: process.startTime },
      partial: null,
      folder: null,
      breakFreezes: plan.breakFreezes,
    };
    const guarded = await guardSave(entry, guard, this.#signal);
    this.#guarded = guarded;
    // Not before: on two processors they would keep the guard, which is waited for, from starting.
    const pool = startThreads(plan.transport.channels);
    this.#pool = pool;
    const listener = await this.#listen(process, guarded, plan);
    const target = TargetFile.create(place, nodeCalls, (partial) => guarded.note({ partial }));
    this.#target = target;
    const ways = { directIo: plan.transport.directIo, onProgress: () => this.#reporter.report() };
    if (pool !== null) this.#channels = new ChannelCapture({ pool, target, ...ways });
    this.#prepared = { client, plan, guest, target, listener, guarded, before };
  }

  async take(): Promise<void> {
    const { client, plan, guest, target, listener, before } = this.#require();
    const { facts } = guest;
    this.#signal.throwIfAborted();
    this.#reporter.enter("connect");
    if (plan.mode === "background") this.#meta = await makeMeta(client, guest);
    await setMigrateCapabilities(client, plan.capabilities).catch((error: unknown) => {
      throw plan.mode === "background" ? noBackground(error) : error;
    });
    await setMigrateParameters(client, plan.parameters);
    const main = new Set(facts.memory.mainBlocks);
    const capture = new Capture(
      target,
      (block) => main.has(block.name) || (main.size === 0 && isMainRam(block)),
      (phase) => this.#reporter.enter(phase),
      () => this.#reporter.report(),
      this.#channels,
      this.#options.watcher ?? null,
    );
    this.#capture = capture;
    const { maxTime = null, maxRounds = null } = this.#options;
    const watch = new MigrationWatch(client, { maxTime, maxRounds, onLimit: plan.onLimit }, () =>
      this.#reporter.report(),
    );
    this.#watch = watch;
    const limit = this.#options.maxBandwidth ?? null;
    const { endsByClose } = plan;
    const began = performance.now();
    this.#migrating = true;
    const parts = { client, watch, listener, capture, channels: this.#channels };
    await transfer({ ...parts, signal: this.#signal, limit, endsByClose }, (connection) => {
      this.#connection = connection;
    });
    // Without a return path nothing waits for us, and QEMU's own word is to be had before the file counts.
    if (!plan.returnPath && (await firstOf(watch.failure, watch.end(), this.#signal)) !== "completed")
      await watch.failure;
    this.#ramTime = performance.now() - began;
    this.#meta ??= await makeMeta(client, guest);
    await this.#commit(target, capture, this.#meta);
    watch.verdictGiven();
    // A guest that was paused goes back to that; one that ran must not run a moment longer.
    const stays = plan.afterwards === "quit" || (plan.afterwards === "pause" && before.runState === "running");
    this.#handedOver = plan.returnPath && stays;
    if (plan.returnPath) await this.#connection?.send(shutMessage(stays));
  }

  async conclude(): Promise<SaveResult> {
    const { client, plan, before, guarded, target } = this.#require();
    const watch = this.#watch;
    const capture = this.#capture;
    const meta = this.#meta;
    if (watch === null || capture === null || meta === null) throw new Error("conclude before take");
    this.#reporter.enter("finish");
    const ended = await watch.end();
    if (this.#handedOver && ended !== "completed") {
      throw new FixedramError(
        "qemu.migration-failed",
        `QEMU was to keep the guest stopped, but its migration ended: ${ended}`,
        {
          hint: "Somebody may have cancelled it.",
        },
      );
    }
    this.#connection?.close();
    await this.#channels?.close();
    if (plan.afterwards === "resume" && before.runState === "running") await watch.running();
    const after = await this.#leave(client, plan.afterwards, before);
    this.#folder?.remove();
    await guarded.done();
    const { sizes } = this;
    const facts = this.#require().guest.facts;
    const { stopped, resumed } = watch;
    return {
      path: target.place.path,
      uuid: meta.uuid,
      id: capture.id ?? "",
      mode: plan.mode,
      // biome-ignore lint/suspicious/noThenProperty: a word, not a function: await leaves the object alone
      then: plan.afterwards,
      transport: plan.transport.transport,
      transportReason: plan.transport.reason,
      directBytes: this.#channels?.directBytes ?? 0,
      qemuVersion: facts.version.text,
      machine: capture.machine,
      guestName: facts.name,
      runState: { before: before.runState, after },
      times: {
        total: this.#reporter.elapsed,
        ram: this.#ramTime,
        sync: this.#syncTime,
        guestPause: stopped === null || resumed === null ? null : resumed - stopped,
      },
      sizes: { ram: capture.ramBytes, ...sizes, received: capture.received },
      pages: capture.counts,
      rounds: Math.max(1, watch.rounds),
      notices: this.#reporter.notices,
    };
  }

  /** Puts everything back and returns what is to be thrown. */
  async fail(error: unknown): Promise<unknown> {
    this.#watch?.verdictGiven();
    const prepared = this.#prepared;
    if (prepared?.plan.breakFreezes === true) await this.#readToEnd(prepared);
    this.#connection?.close();
    await this.#channels?.close();
    // After the connections: what still comes must not be written to a file that is closed.
    await this.#target?.abort();
    const unsettled = prepared === null ? null : await this.#putBack(prepared.client, prepared.before);
    this.#folder?.remove();
    if (!this.#leftToGuard) await this.#guarded?.done();
    if (prepared === null) return error;
    const known =
      error instanceof FixedramError || !this.#signal.aborted ? error : abortError(this.#signal, "the save");
    if (!(known instanceof FixedramError)) return known;
    const whole = this.#committed ? [`The snapshot itself is complete: ${prepared.target.place.path}.`] : [];
    const look = unsettled === null ? asBefore(prepared.client, prepared.before) : [`Look at the guest: ${unsettled}.`];
    return withHint(known, [...whole, ...look]);
  }

  /** Closes what is still open; for either end. */
  release(): void {
    this.#watch?.stop();
    if (this.#guard !== null && this.#guarded === null) dropGuard(this.#guard);
    this.#connection?.close();
    this.#listener?.close();
    this.#client?.close();
    this.#folder?.remove();
    void this.#pool?.close();
  }

  /** @returns what could not be put back, in words; null: all is as it was, or QEMU is gone */
  async #putBack(client: QmpClient, before: Pick<Journal, "runState" | "settings">): Promise<string | null> {
    const { guest, guarded } = this.#require();
    const qemu = guest.process;
    let use = client;
    try {
      if (use.closed) {
        if (qemu !== null && !isAlive(qemu)) return null;
        use = await connectQmp(this.#options.qmp);
      }
      const state = await putBack(use, before, { cancel: this.#migrating, onRefused: this.#refused });
      return state === before.runState || (before.runState !== "running" && state === "postmigrate")
        ? null
        : `the guest is in state ${state}`;
    } catch (problem) {
      // Nobody at the address says nothing of a QEMU that /proc does not show: there may be a proxy in between.
      if (qemu !== null && !isAlive(qemu)) return null;
      this.#leftToGuard = true;
      guarded.leave();
      return `its settings could not be put back yet (${problem instanceof Error ? problem.message : String(problem)}); a process of ours goes on trying for a minute, and the next save will`;
    } finally {
      if (use !== client) use.close();
    }
  }

  async #commit(target: TargetFile, capture: Capture, meta: SnapshotMeta): Promise<void> {
    const began = performance.now();
    this.#reporter.enter("sync");
    capture.complete(meta);
    await target.sync();
    this.#signal.throwIfAborted();
    this.#sizes = target.sizes();
    this.#reporter.enter("commit");
    target.rename();
    this.#committed = true;
    await target.syncFolder();
    await target.abort();
    this.#syncTime = performance.now() - began;
  }

  #sizes = { apparent: 0, allocated: 0 };
  get sizes(): { readonly apparent: number; readonly allocated: number } {
    return this.#sizes;
  }

  /** Lets QEMU send the rest of its stream into nothing. The guard alone may have the connection, or, when it is gone, we. */
  async #readToEnd({ client, guarded }: Prepared): Promise<void> {
    const own = this.#connection?.drain();
    const status = await queryMigrate(client).then(
      ({ status }) => status,
      () => "unknown",
    );
    await guarded.drain(!terminalStates.has(status));
    await own;
  }

  /** Leaves the guest as asked and its settings as they were. */
  async #leave(
    client: QmpClient,
    then: SavePlan["afterwards"],
    before: Pick<Journal, "runState" | "settings">,
  ): Promise<string> {
    const wanted = then === "resume" ? before : { ...before, runState: "paused" };
    const state = await putBack(client, wanted, { onRefused: this.#refused });
    if (then === "quit") {
      await quit(client);
      return "ended";
    }
    if (before.runState !== "running" && state === "postmigrate" && then === "resume") {
      this.#reporter.note(
        "note",
        "postmigrate",
        "The guest was paused before; this QEMU leaves it in state postmigrate. It goes on with cont, and cannot be saved again before.",
      );
    }
    return (await queryStatus(client)).status;
  }

  async #listen(process: QemuProcess | null, guarded: Guarded, plan: SavePlan): Promise<MigrationListener> {
    const announce = (path: string): void => guarded.note({ folder: path });
    const { folder, owner } = makeMeetingFolder(process, this.#options.socketDir, announce);
    this.#folder = folder;
    this.#listener = plan.breakFreezes
      ? await guarded.listen(
          folder.socket(MIGRATION_SOCKET),
          owner === undefined ? null : { uid: owner.uid, gid: owner.gid },
        )
      : await listenForMigration(folder, owner, plan.transport.channels);
    return this.#listener;
  }

  #require(): Prepared {
    if (this.#prepared === null) throw new Error("not prepared");
    return this.#prepared;
  }

  readonly #refused = (names: readonly string[]): void => {
    this.#reporter.note(
      "warning",
      "settings-not-restored",
      `QEMU did not take these settings back: ${names.join("; ")}.`,
    );
  };
}

/** QEMU looks whether it may write-protect memory when the capability is set. */
function noBackground(error: unknown): unknown {
  if (!(error instanceof FixedramError) || error.code !== "qmp.command") return error;
  const { said } = error.details;
  return new FixedramError(
    "qemu.no-background",
    "QEMU may not write-protect its guest's memory here, which a background save takes",
    {
      ...(said === undefined ? {} : { said }),
      hint: "Its user needs the right to use userfaultfd: CAP_SYS_PTRACE, /dev/userfaultfd (QEMU 10), or vm.unprivileged_userfaultfd = 1. Or use --mode stop.",
    },
    { cause: error },
  );
}
