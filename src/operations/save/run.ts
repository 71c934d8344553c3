import { isMainThread } from "node:worker_threads";
import { FixedramError } from "../../errors.ts";
import type { SnapshotMeta } from "../../fixedram/meta.ts";
import { connectQmp } from "../../qemu/connect.ts";
import { inspectGuest } from "../../qemu/inspect.ts";
import { queryRamblocks } from "../../qemu/memory-map.ts";
import { canTakeChannels } from "../../qemu/migration-socket.ts";
import { findQemu, presentBytes, startTimeOf } from "../../qemu/process.ts";
import { formatQmpAddress, parseQmpAddress } from "../../qmp/address.ts";
import type { QmpClient } from "../../qmp/client.ts";
import { queryStatus, quit, setMigrateCapabilities, setMigrateParameters } from "../../qmp/commands.ts";
import { abortError } from "../../qmp/errors.ts";
import { snapshotSettings } from "../../qmp/migration-settings.ts";
import { nodeCalls } from "../../storage/system-calls.ts";
import { TargetFile } from "../../storage/target-file.ts";
import { inspectTarget } from "../../storage/target-path.ts";
import { Reporter } from "../reporter.ts";
import type { SaveOptions, SaveResult } from "../save.ts";
import { dropGuard, type Guard, type Guarded, guardSave, settleEarlierSave, startGuard } from "./guarded.ts";
import { asBefore, withHint } from "./hints.ts";
import { isAlive } from "./journal.ts";
import { MigrationWatch } from "./migration.ts";
import { noOwnFile, ownFileFacts } from "./own-file-facts.ts";
import { OwnFileWay } from "./own-file-way.ts";
import { checkSaveOptions, isBusy, planSave, type SavePlan, staysStopped } from "./plan.ts";
import { type FormerState, putBack } from "./put-back.ts";
import { makeMeta, recordGuest } from "./record.ts";
import { SocketWay } from "./socket-way.ts";
import { warnOfPlan, warnOfTarget } from "./warnings.ts";
import type { Prepared, SaveWay } from "./way.ts";

/**
 * One save, step by step:
 *
 *     prepare   nothing of the guest is changed: target, QMP, facts, plan, socket, note and guard
 *     take      settings, `migrate`, pages -> file, whichever way; fsync, rename; our verdict
 *     conclude  the guest in the wanted state, settings as they were
 *     fail      instead, from any point: guest and settings as they were, nothing half-made left
 */
export class SaveRun {
  readonly #options: SaveOptions;
  readonly #reporter: Reporter;
  readonly #signal: AbortSignal;
  #client: QmpClient | null = null;
  #target: TargetFile | null = null;
  #guard: Guard | null = null;
  #guarded: Guarded | null = null;
  #prepared: Prepared | null = null;
  #way: SaveWay | null = null;
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
  #sizes = { apparent: 0, allocated: 0 };

  constructor(options: SaveOptions) {
    this.#options = options;
    this.#reporter = new Reporter(options, () => ({
      bytes: this.#way?.pageBytes ?? 0,
      total: this.#way?.ramBytes ?? 0,
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
    // It starts while QEMU is asked, or has before.
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
    const ownFile = options.transport === "mapped-ram" ? ownFileFacts(process, place.folder) : noOwnFile;
    const load = { busy: isBusy(), presentBytes: process === null ? null : presentBytes(process.pid) };
    const plan = planSave(options, { ...facts, ...ownFile, ...load, capabilities, ramBytes, channelsTakeable });
    warnOfPlan(plan, { ...facts, ramBytes }, place, this.#reporter);
    const guest = await recordGuest(client, facts, process, this.#reporter.notice);
    const { cancelCrashes } = plan;
    const before = { runState: facts.runState, settings: await snapshotSettings(client), cancelCrashes };
    const entry = {
      version: 1 as const,
      saver: { pid: globalThis.process.pid, startTime: startTimeOf(globalThis.process.pid) ?? 0 },
      ...before,
      qmp,
      qemu: process === null ? null : { pid: process.pid, startTime: process.startTime },
      partial: null,
      folder: null,
      breakFreezes: plan.breakFreezes,
      patient: plan.transport.transport === "mapped-ram",
    };
    const guarded = await guardSave(entry, guard, this.#signal);
    this.#guarded = guarded;
    const target = TargetFile.create(place, nodeCalls, (partial) => guarded.note({ partial }));
    this.#target = target;
    const about = { options, reporter: this.#reporter, signal: this.#signal };
    const prepared = { ...about, client, plan, guest, target, guarded, before };
    const ways = { stream: SocketWay, multifd: SocketWay, "mapped-ram": OwnFileWay };
    this.#way = new ways[plan.transport.transport](prepared, ramBytes);
    await this.#way.open();
    this.#prepared = prepared;
  }

  async take(): Promise<void> {
    const { prepared, way } = this.#require();
    const { client, plan, guest, before } = prepared;
    this.#signal.throwIfAborted();
    this.#reporter.enter("connect");
    // The guest goes on before we could look at its disks: what is recorded must not be later than the memory.
    if (plan.runsEarly) this.#meta = await makeMeta(client, guest);
    await setMigrateCapabilities(client, plan.capabilities).catch((error: unknown) => {
      throw plan.mode === "background" ? noBackground(error) : error;
    });
    await setMigrateParameters(client, plan.parameters);
    const { maxTime = null, maxRounds = null } = this.#options;
    const limits = {
      maxTime,
      maxRounds,
      onLimit: plan.onLimit,
      failsAsPlanned: plan.failsAsPlanned,
      cancelCrashes: plan.cancelCrashes,
    };
    const watch = new MigrationWatch(client, limits, () => this.#reporter.report());
    this.#watch = watch;
    const began = performance.now();
    this.#migrating = true;
    await way.take(watch);
    this.#ramTime = performance.now() - began;
    this.#meta ??= await makeMeta(client, guest);
    await this.#commit(prepared, way, this.#meta);
    watch.verdictGiven();
    // A guest that was paused goes back to that; one that ran must not run a moment longer.
    const stays = staysStopped(plan.afterwards, before.runState);
    this.#handedOver = plan.returnPath && stays;
    await way.decide(stays);
  }

  async conclude(): Promise<SaveResult> {
    const { prepared, way } = this.#require();
    const { client, plan, before, guarded, target, guest } = prepared;
    const watch = this.#watch;
    const meta = this.#meta;
    if (watch === null || meta === null) throw new Error("conclude before take");
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
    await way.end();
    if (plan.afterwards === "resume" && before.runState === "running") await watch.running();
    const after = await this.#leave(client, plan.afterwards, before);
    await guarded.done();
    const { ramBytes: ram } = way;
    const { id, machine, received, directBytes, pages } = way.taken();
    const { facts } = guest;
    const { stopped, resumed } = watch;
    return {
      path: target.place.path,
      uuid: meta.uuid,
      id,
      mode: plan.mode,
      // biome-ignore lint/suspicious/noThenProperty: a word, not a function: await leaves the object alone
      then: plan.afterwards,
      transport: plan.transport.transport,
      transportReason: plan.transport.reason,
      directBytes,
      qemuVersion: facts.version.text,
      machine,
      guestName: facts.name,
      runState: { before: before.runState, after },
      times: {
        total: this.#reporter.elapsed,
        ram: this.#ramTime,
        sync: this.#syncTime,
        guestPause: stopped === null || resumed === null ? null : resumed - stopped,
      },
      sizes: { ram, ...this.#sizes, received },
      pages,
      rounds: Math.max(1, watch.rounds),
      notices: this.#reporter.notices,
    };
  }

  /** Puts everything back and returns what is to be thrown. */
  async fail(error: unknown): Promise<unknown> {
    this.#watch?.verdictGiven();
    const prepared = this.#prepared;
    await this.#way?.fail();
    // Before the file goes: a QEMU that is still to open it would make a new one there.
    const unsettled = prepared === null ? null : await this.#putBack(prepared);
    await this.#target?.abort();
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
    this.#way?.release();
    this.#client?.close();
  }

  /** @returns what could not be put back, in words; null: all is as it was, or QEMU is gone */
  async #putBack({ client, before, guest, guarded }: Prepared): Promise<string | null> {
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

  async #commit({ target }: Prepared, way: SaveWay, meta: SnapshotMeta): Promise<void> {
    const began = performance.now();
    this.#reporter.enter("sync");
    await way.complete(meta);
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

  /** Leaves the guest as asked and its settings as they were. */
  async #leave(client: QmpClient, then: SavePlan["afterwards"], before: FormerState): Promise<string> {
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
        "the guest was paused before; this QEMU leaves it in state postmigrate. It goes on with cont, and cannot be saved again before.",
      );
    }
    return (await queryStatus(client)).status;
  }

  #require(): { readonly prepared: Prepared; readonly way: SaveWay } {
    if (this.#prepared === null || this.#way === null) throw new Error("not prepared");
    return { prepared: this.#prepared, way: this.#way };
  }

  readonly #refused = (names: readonly string[]): void => {
    this.#reporter.note(
      "warning",
      "settings-not-restored",
      `QEMU did not take these settings back: ${names.join("; ")}`,
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
