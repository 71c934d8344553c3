import { isMainRam } from "../../fixedram/layout.ts";
import type { SnapshotMeta } from "../../fixedram/meta.ts";
import { makeMeetingFolder } from "../../qemu/meeting-folder.ts";
import {
  listenForMigration,
  MIGRATION_SOCKET,
  type MigrationConnection,
  type MigrationListener,
} from "../../qemu/migration-socket.ts";
import type { PrivateFolder } from "../../qemu/private-folder.ts";
import { queryMigrate } from "../../qmp/commands.ts";
import { shutMessage } from "../../stream/return-path.ts";
import type { WorkerPool } from "../../workers/pool.ts";
import { Capture } from "./capture.ts";
import { ChannelCapture, startThreads } from "./channels.ts";
import type { MigrationWatch } from "./migration.ts";
import { terminalStates } from "./put-back.ts";
import { firstOf, transfer } from "./transfer.ts";
import type { Prepared, SaveWay, Taken } from "./way.ts";

/** QEMU sends its stream to a socket of ours, on one connection or several, and we put every page at its place. */
export class SocketWay implements SaveWay {
  readonly #prepared: Prepared;
  #folder: PrivateFolder | null = null;
  #listener: MigrationListener | null = null;
  #connection: MigrationConnection | null = null;
  #capture: Capture | null = null;
  #pool: WorkerPool | null = null;
  #channels: ChannelCapture | null = null;

  constructor(prepared: Prepared) {
    this.#prepared = prepared;
  }

  get pageBytes(): number {
    return this.#capture?.pageBytes ?? 0;
  }

  get ramBytes(): number {
    return this.#capture?.ramBytes ?? 0;
  }

  async open(): Promise<void> {
    const { plan, target, reporter } = this.#prepared;
    const { channels, directIo } = plan.transport;
    // Not before the guard has been heard: on two processors they would keep it, which is waited for, from starting.
    const pool = startThreads(channels);
    this.#pool = pool;
    this.#listener = await this.#listen();
    if (pool !== null) {
      this.#channels = new ChannelCapture({ pool, target, directIo, onProgress: () => reporter.report() });
    }
  }

  async take(watch: MigrationWatch): Promise<void> {
    const { client, plan, guest, target, options, reporter, signal } = this.#prepared;
    const listener = this.#listener;
    if (listener === null) throw new Error("take before open");
    const main = new Set(guest.facts.memory.mainBlocks);
    const capture = new Capture(
      target,
      (block) => main.has(block.name) || (main.size === 0 && isMainRam(block)),
      (phase) => reporter.enter(phase),
      () => reporter.report(),
      this.#channels,
      options.watcher ?? null,
    );
    this.#capture = capture;
    const limit = options.maxBandwidth ?? null;
    const { endsByClose } = plan;
    const parts = { client, watch, listener, capture, channels: this.#channels };
    await transfer({ ...parts, signal, limit, endsByClose }, (connection) => {
      this.#connection = connection;
    });
    // Without a return path nothing waits for us, and QEMU's own word is to be had before the file counts.
    if (!plan.returnPath && (await firstOf(watch.failure, watch.end(), signal)) !== "completed") await watch.failure;
  }

  async complete(meta: SnapshotMeta): Promise<void> {
    this.#taken().complete(meta);
  }

  async decide(stays: boolean): Promise<void> {
    if (this.#prepared.plan.returnPath) await this.#connection?.send(shutMessage(stays));
  }

  async end(): Promise<void> {
    this.#connection?.close();
    await this.#channels?.close();
    this.#folder?.remove();
  }

  taken(): Taken {
    const { id, machine, received, counts: pages } = this.#taken();
    return { id: id ?? "", machine, received, pages, directBytes: this.#channels?.directBytes ?? 0 };
  }

  async fail(): Promise<void> {
    if (this.#prepared.plan.breakFreezes && this.#capture !== null) await this.#readToEnd();
    await this.end();
  }

  release(): void {
    this.#connection?.close();
    this.#listener?.close();
    this.#folder?.remove();
    void this.#pool?.close();
  }

  #taken(): Capture {
    if (this.#capture === null) throw new Error("nothing was taken");
    return this.#capture;
  }

  /** Lets QEMU send the rest of its stream into nothing. The guard alone may have the connection, or, when it is gone, we. */
  async #readToEnd(): Promise<void> {
    const own = this.#connection?.drain();
    const status = await queryMigrate(this.#prepared.client).then(
      ({ status }) => status,
      () => "unknown",
    );
    await this.#prepared.guarded.drain(!terminalStates.has(status));
    await own;
  }

  async #listen(): Promise<MigrationListener> {
    const { guest, guarded, plan, options } = this.#prepared;
    const announce = (path: string): void => guarded.note({ folder: path });
    const { folder, owner } = makeMeetingFolder(guest.process, options.socketDir, announce);
    this.#folder = folder;
    if (!plan.breakFreezes) return listenForMigration(folder, owner, plan.transport.channels);
    const socket = folder.socket(MIGRATION_SOCKET);
    return guarded.listen(socket, owner === undefined ? null : { uid: owner.uid, gid: owner.gid });
  }
}
