import type { Snapshot } from "../../containers/snapshot.ts";
import { hostIsBigEndian } from "../../fixedram/byte-order.ts";
import type { SnapshotMeta } from "../../fixedram/meta.ts";
import { dataBytes } from "../../pages/count.ts";
import { queryCpuFeatures } from "../../qemu/cpu-flags.ts";
import { type GuestFacts, inspectGuest } from "../../qemu/inspect.ts";
import { makeMeetingFolder } from "../../qemu/meeting-folder.ts";
import { queryRamblocks, type RamBlockInfo } from "../../qemu/memory-map.ts";
import { canTakeChannels } from "../../qemu/migration-socket.ts";
import type { QmpClient } from "../../qmp/client.ts";
import { cont, queryStatus, setMigrateCapabilities, setMigrateParameters, stop } from "../../qmp/commands.ts";
import { type MigrationSettings, restoreSettings, snapshotSettings } from "../../qmp/migration-settings.ts";
import { capabilitiesOf } from "../../stream/configuration.ts";
import { openSnapshot } from "../open.ts";
import type { Progress } from "../progress.ts";
import { Reporter } from "../reporter.ts";
import type { ResumeOptions, ResumeResult } from "../resume.ts";
import { sharedFiles } from "./channels.ts";
import { chooseDestination, recordOf, requireDisks, requireOneWay, requireOwnMemory } from "./choose.ts";
import { compareDestination } from "./compare.ts";
import type { Destination } from "./destination.ts";
import { LoadWatch, loadFromFile, loadFromStream, loadOnChannels, requireRunning } from "./load.ts";
import { loadFailure } from "./load-failure.ts";
import { runAsLibvirtWould } from "./ran.ts";
import { chooseTransport, otherLength, type TransportChoice, zeroPagesWanted } from "./transport.ts";
import { requireVerified } from "./verified.ts";

/** Channels on which QEMU reads a file; more than two gain nothing measurable and cost memory. */
const CHANNELS = 2;

/** One resume: check the file, get a QEMU, check its disks, load, let go. */
export class ResumeRun {
  readonly #options: ResumeOptions;
  readonly #reporter: Reporter;
  #bytes = 0;
  #total = 0;

  constructor(options: ResumeOptions) {
    this.#options = options;
    this.#reporter = new Reporter(options, () => ({ bytes: this.#bytes, total: this.#total, round: 0 }));
  }

  async go(): Promise<ResumeResult> {
    const { signal, bigEndian, offset } = this.#options;
    requireOneWay(this.#options);
    this.#enter("preflight");
    await requireVerified(this.#options);
    const snapshot = await openSnapshot(this.#options.file, {
      onRead: (bytes, total) => this.#moved(bytes, total),
      ...(bigEndian === undefined ? {} : { bigEndian }),
      ...(offset === undefined ? {} : { offset }),
      ...(signal === undefined ? {} : { signal }),
    });
    try {
      const meta = recordOf(snapshot, this.#reporter.notice);
      this.#enter("start");
      const destination = await chooseDestination(this.#options, meta, this.#reporter.notice);
      const ready = this.#reporter.elapsed;
      try {
        return await this.#load(snapshot, meta, destination, ready);
      } catch (error) {
        const failure = await loadFailure(error, destination, signal);
        await destination.giveUp();
        throw failure;
      } finally {
        destination.client.close();
      }
    } finally {
      await snapshot.close();
    }
  }

  async #load(
    snapshot: Snapshot,
    meta: SnapshotMeta | null,
    destination: Destination,
    ready: number,
  ): Promise<ResumeResult> {
    const { client } = destination;
    const facts = await inspectGuest(client, { cpuFlags: false });
    if (meta !== null) await requireDisks(this.#options, meta, destination, this.#reporter.notice);
    requireOwnMemory(this.#options, facts.memory.backends, destination, this.#reporter.notice);
    const blocks = await queryRamblocks(client);
    await this.#compare(snapshot, meta, destination, facts, blocks);
    const choice = chooseTransport({
      version: facts.version,
      machine: snapshot.configuration.machine,
      channels: canTakeChannels() && sharedFiles(snapshot.map.stores) !== null,
      capabilities: facts.capabilities,
      backends: facts.memory.backends,
      ignoreShared: capabilitiesOf(snapshot.configuration).includes("x-ignore-shared"),
      otherOrder: snapshot.bigEndian === hostIsBigEndian ? null : snapshot.bigEndian ? "big" : "little",
      loadable: snapshot.loadable !== null,
      readable: readableBy(destination),
      otherLength: otherLength(snapshot.ramStart.blocks, blocks),
    });
    const before = await snapshotSettings(client);
    const began = performance.now();
    try {
      if (this.#options.paused === true) await stop(client);
      await this.#settings(destination, choice);
      await this.#feed(snapshot, destination, facts, choice, new LoadWatch(client));
      await requireRunning(snapshot, destination);
    } catch (error) {
      // A QEMU that is not ours may wait on, and should wait as it did before. Its own words come first (loadFailure).
      if (destination.started === null && !client.closed) await this.#leaveAsFound(client, before);
      throw error;
    }
    destination.letGo();
    const load = performance.now() - began;
    this.#enter("finish");
    const status = await this.#finish(client, before, snapshot);
    return {
      path: this.#options.file,
      uuid: meta?.uuid ?? null,
      qemuVersion: facts.version.text,
      transport: choice.transport,
      transportReason: choice.reason,
      runState: status,
      times: { ready, load, total: this.#reporter.elapsed },
      age: meta === null ? null : Date.now() - Date.parse(meta.created),
      notices: this.#reporter.notices,
      process: destination.started,
    };
  }

  /** Says what is not as it was at the save. */
  async #compare(
    snapshot: Snapshot,
    meta: SnapshotMeta | null,
    { client, process }: Destination,
    facts: GuestFacts,
    blocks: readonly RamBlockInfo[],
  ): Promise<void> {
    const argv = process?.argv ?? [];
    const { model } = facts.cpu;
    const known = model !== null && (meta?.cpu?.flags.length ?? 0) > 0;
    const here = {
      machine: facts.machine,
      accelerator: facts.accelerator,
      cpu: facts.cpu,
      cpuFlags: known ? await queryCpuFeatures(client, model, argv) : [],
      blocks,
      argv,
    };
    const saved = {
      machine: snapshot.configuration.machine,
      blocks: snapshot.ramStart.blocks.map(({ block }) => block),
      meta,
    };
    for (const notice of compareDestination(saved, here)) this.#reporter.notice(notice);
  }

  /** The guest is in: whatever fails from here on is told, and ends nothing. */
  async #finish(client: QmpClient, before: MigrationSettings, snapshot: Snapshot): Promise<string> {
    const { paused = false, command } = this.#options;
    try {
      await restoreSettings(client, before);
      const asIs = command?.includes("-S") ?? false;
      await runAsLibvirtWould(client, snapshot, { paused, asIs }, this.#reporter.notice);
      return (await queryStatus(client)).status;
    } catch (error) {
      const message = `the guest is loaded, but QEMU's migration settings could not be put back: ${String(error)}`;
      this.#reporter.notice({ level: "warning", code: "settings-not-restored", message });
      return "unknown";
    }
  }

  async #leaveAsFound(client: QmpClient, before: MigrationSettings): Promise<void> {
    try {
      await restoreSettings(client, before);
      // In `inmigrate` this gives back the autostart that --paused took.
      if (this.#options.paused === true && (await queryStatus(client)).status === "inmigrate") await cont(client);
    } catch {
      // What made the load fail is what counts.
    }
  }

  async #settings({ client }: Destination, { transport }: TransportChoice): Promise<void> {
    const mapped = transport === "mapped-ram";
    const multifd = mapped || transport === "multifd";
    await setMigrateCapabilities(client, {
      events: true,
      "mapped-ram": mapped,
      multifd,
      xbzrle: false,
      "postcopy-ram": false,
      compress: false,
      "x-ignore-shared": false,
      "switchover-ack": false,
    });
    if (multifd) {
      await setMigrateParameters(client, { "multifd-channels": CHANNELS, "multifd-compression": "none" });
    }
  }

  async #feed(
    snapshot: Snapshot,
    destination: Destination,
    facts: GuestFacts,
    choice: TransportChoice,
    watch: LoadWatch,
  ): Promise<void> {
    const { client, process } = destination;
    const { signal } = this.#options;
    const { loadable } = snapshot;
    const total = await dataBytes(snapshot.map, signal);
    this.#enter("load", total);
    if (choice.transport === "mapped-ram" && loadable !== null) {
      await loadFromFile(client, loadable.path, loadable.offset);
      return watch.loaded(signal);
    }
    const { folder } = makeMeetingFolder(process, this.#options.socketDir);
    try {
      const zeros = zeroPagesWanted(facts);
      const moved = (bytes: number) => this.#moved(bytes, total);
      const files = sharedFiles(snapshot.map.stores);
      // QEMU's own reason is worth more than a broken pipe: it is waited for in loadFailure.
      if (choice.transport === "multifd" && files !== null) {
        const load = { channels: CHANNELS, files, flush: choice.flush === true, loaded: () => watch.loaded(signal) };
        await loadOnChannels(client, snapshot, folder, zeros, moved, load, signal);
      } else {
        await loadFromStream(client, snapshot, folder, zeros, moved, signal);
        await watch.loaded(signal);
      }
    } finally {
      folder.remove();
    }
  }

  #moved(bytes: number, total: number): void {
    this.#bytes = bytes;
    this.#total = total;
    this.#reporter.report();
  }

  #enter(phase: Progress["phase"], total = 0): void {
    this.#bytes = 0;
    this.#total = total;
    this.#reporter.enter(phase);
  }
}

/**
 * Whether the destination's user can open the file by its path. Another user's rights are not guessed at: not known is taken for
 * no, for a stream always works.
 */
function readableBy({ process, started }: Destination): boolean {
  // A QEMU of ours may have changed its user (-run-with user=).
  if (process === null) return started !== null;
  if (process.sameMounts === false) return false;
  return process.uid === 0 || process.uid === globalThis.process.getuid?.();
}
