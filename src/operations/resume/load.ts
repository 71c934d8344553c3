import { connect as connectSocket, type Socket } from "node:net";
import { resolve as resolvePath } from "node:path";
import type { Snapshot } from "../../containers/snapshot.ts";
import { FixedramError, systemError } from "../../errors.ts";
import { type StreamOutOptions, writeStream } from "../../legacy/writer.ts";
import type { RamBlock } from "../../pages/block.ts";
import type { ExtentVisitor } from "../../pages/plan.ts";
import type { PrivateFolder } from "../../qemu/private-folder.ts";
import type { QmpClient, QmpEvent } from "../../qmp/client.ts";
import { queryMigrate, queryStatus } from "../../qmp/commands.ts";
import { savedRunState } from "../../stream/global-state.ts";
import type { SharedFile } from "../../workers/page-reader.ts";
import { WorkerPool } from "../../workers/pool.ts";
import { ChannelSender } from "./channels.ts";
import type { Destination } from "./destination.ts";

/** Milliseconds that a QEMU which has loaded a guest may take to leave `inmigrate`; it does both in one go. */
const SETTLE = 5000;

/** QEMU has all of the guest but does not let it run: in all that was seen, because it cannot have a disk. */
export function notRunning(status: string): FixedramError {
  return new FixedramError("qemu.load-failed", "QEMU loaded the snapshot, but does not let the guest run", {
    found: `run state ${status}`,
    hint: "Another QEMU may still use one of its disks: end that one. QEMU's own messages tell more.",
  });
}

/**
 * Older QEMUs (7.2) leave a guest paused whose disk is locked by another process, and report no more than that.
 *
 * @throws FixedramError `qemu.load-failed`: the guest ran when it was saved, and nobody asked for it to be paused
 */
export async function requireRunning(
  { devices }: Pick<Snapshot, "devices">,
  { client, started, process, paused }: Pick<Destination, "client" | "started" | "process" | "paused">,
): Promise<void> {
  const held = paused || (started === null && process?.argv.includes("-S") !== false);
  if (held || savedRunState(devices) !== "running") return;
  const { status } = await queryStatus(client);
  if (status === "paused") throw notRunning(status);
}

/** Reads: QEMU has everything, and the guest is in the state it was saved in. Sends nothing itself. */
export class LoadWatch {
  readonly #client: QmpClient;
  readonly #since: number;
  readonly #patience: number;

  /** Made before `migrate-incoming`. Needs the `events` capability. */
  constructor(client: QmpClient, patience = SETTLE) {
    this.#client = client;
    this.#patience = patience;
    this.#since = client.sequence;
  }

  /** @throws FixedramError `qemu.load-failed`, `qmp.closed` when QEMU ended, the signal's reason */
  async loaded(signal?: AbortSignal): Promise<void> {
    const isLast = (event: QmpEvent) =>
      event.event === "MIGRATION" && (event.data.status === "completed" || event.data.status === "failed");
    const event = await this.#client.waitForEvent(isLast, {
      since: this.#since,
      ...(signal === undefined ? {} : { signal }),
    });
    if (event.data.status === "completed") return this.#settled(signal);
    const said = (await queryMigrate(this.#client).catch(() => null))?.["error-desc"];
    throw new FixedramError("qemu.load-failed", "QEMU could not load the snapshot", said === undefined ? {} : { said });
  }

  /**
   * QEMU reports "completed" a moment before it leaves `inmigrate`. Newer ones (10.0) stay there when a disk is locked by another
   * process.
   */
  async #settled(signal?: AbortSignal): Promise<void> {
    for (const since = performance.now(); ; ) {
      signal?.throwIfAborted();
      const { status } = await queryStatus(this.#client);
      if (status !== "inmigrate") return;
      if (performance.now() - since > this.#patience) throw notRunning(status);
      await new Promise((resolve) => setTimeout(resolve, 5));
    }
  }
}

/** Lets QEMU read the file itself. */
export async function loadFromFile(client: QmpClient, path: string, base: number): Promise<void> {
  // Not a URI: a comma in the path would be taken for an option.
  const address = { transport: "file", filename: resolvePath(path), offset: base };
  await incoming(client, { channels: [{ "channel-type": "main", addr: address }] });
}

/**
 * Sends the snapshot as a stream: any QEMU since 2.4 loads it.
 *
 * @param zeroWanted blocks whose zero pages have to be sent
 * @param onPages bytes of pages sent so far
 */
export async function loadFromStream(
  client: QmpClient,
  snapshot: Snapshot,
  folder: PrivateFolder,
  zeroWanted: (block: RamBlock) => boolean,
  onPages: (bytes: number) => void,
  signal?: AbortSignal,
): Promise<void> {
  const path = folder.socket("incoming.sock");
  await incoming(client, { uri: `unix:${path}` });
  const socket = await connectTo(path);
  try {
    await sendOn(socket, snapshot, { zeroWanted, onPages }, signal);
  } finally {
    socket.destroy();
  }
}

/** What {@link loadOnChannels} needs besides. */
export interface ChannelLoad {
  readonly channels: number;
  readonly files: readonly SharedFile[];
  /** Rounds end with FLUSH: see docs/format.md, "multifd channels". */
  readonly flush: boolean;
  /** Settles when QEMU has loaded everything: until then the channels stay open. */
  readonly loaded: () => Promise<void>;
}

/** The same with pages on multifd channels beside the stream, a thread each. QEMU has to have been told of them. */
export async function loadOnChannels(
  client: QmpClient,
  snapshot: Snapshot,
  folder: PrivateFolder,
  zeroWanted: (block: RamBlock) => boolean,
  onPages: (bytes: number) => void,
  load: ChannelLoad,
  signal?: AbortSignal,
): Promise<void> {
  const path = folder.socket("incoming.sock");
  const uuid = await queryUuid(client);
  await incoming(client, { uri: `unix:${path}` });
  const sockets: Socket[] = [];
  await using pool = new WorkerPool({ size: load.channels });
  let sender: ChannelSender | null = null;
  // The threads at once: QEMU may be slow to take what they still want to send.
  const stop = () => void sender?.close();
  signal?.addEventListener("abort", stop, { once: true });
  try {
    // QEMU takes the first one for the stream.
    for (let i = 0; i <= load.channels; i++) sockets.push(await connectTo(path));
    const [main, ...others] = sockets;
    if (main === undefined) throw new Error("no connection");
    const made = new ChannelSender(pool, snapshot.map, load.files, others, uuid, onPages);
    sender = made;
    const channels = {
      visitor: (zero: ExtentVisitor["zero"]) => made.visitor(zero),
      round: () => made.round(),
      flush: load.flush,
    };
    await sendOn(main, snapshot, { zeroWanted, onPages: () => {}, channels }, signal);
    await load.loaded();
  } finally {
    signal?.removeEventListener("abort", stop);
    await sender?.close();
    for (const socket of sockets) socket.destroy();
  }
}

async function sendOn(
  socket: Socket,
  snapshot: Snapshot,
  options: StreamOutOptions,
  signal: AbortSignal | undefined,
): Promise<void> {
  const abort = () => socket.destroy(signal?.reason);
  signal?.addEventListener("abort", abort, { once: true });
  try {
    await writeStream(snapshot, (bytes) => send(socket, bytes), {
      ...options,
      ...(signal === undefined ? {} : { signal }),
    });
    await new Promise<void>((resolve) => socket.end(resolve));
  } catch (error) {
    signal?.throwIfAborted();
    throw error;
  } finally {
    signal?.removeEventListener("abort", abort);
  }
}

/** The machine's uuid, 16 bytes; zeros without `-uuid`. */
async function queryUuid(client: QmpClient): Promise<Uint8Array> {
  const { UUID: text = "" } = (await client.execute("query-uuid")) as { readonly UUID?: string };
  const digits = text.replaceAll("-", "").padEnd(32, "0");
  return Uint8Array.from({ length: 16 }, (_, i) => Number.parseInt(digits.slice(2 * i, 2 * i + 2), 16));
}

/** With `exit-on-error` off, where QEMU (9.1) knows it, a QEMU that fails stays and tells why. */
export async function incoming(client: QmpClient, args: Readonly<Record<string, unknown>>): Promise<void> {
  const { major, minor } = client.greeting.version.qemu;
  // Known since 9.1: older ones are not asked twice, for a guest waits.
  if (major < 9 || (major === 9 && minor === 0)) return void (await client.execute("migrate-incoming", args));
  try {
    await client.execute("migrate-incoming", { ...args, "exit-on-error": false });
  } catch (error) {
    const unknown = error instanceof FixedramError && /exit-on-error/.test(error.details.said ?? "");
    if (!unknown) throw error;
    await client.execute("migrate-incoming", args);
  }
}

function connectTo(path: string): Promise<Socket> {
  return new Promise((resolve, reject) => {
    const socket = connectSocket(path);
    socket.once("connect", () => resolve(socket));
    socket.once("error", (error) => reject(systemError(error, path, "connecting to QEMU's migration socket")));
    // Later errors come back through the writes.
    socket.on("error", () => {});
    socket.resume();
  });
}

function send(socket: Socket, bytes: Uint8Array): Promise<void> {
  return new Promise((resolve, reject) => {
    socket.write(bytes, (error) => {
      if (error === undefined || error === null) resolve();
      else
        reject(
          // The system's word for a closed connection is no news; QEMU's own is looked for in loadFailure.
          new FixedramError(
            "qemu.load-failed",
            "QEMU closed the connection while the snapshot was sent",
            {},
            { cause: error },
          ),
        );
    });
  });
}
