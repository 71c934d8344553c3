import { connect as connectSocket, type Socket } from "node:net";
import { resolve as resolvePath } from "node:path";
import type { Snapshot } from "../../containers/snapshot.ts";
import { FixedramError, systemError } from "../../errors.ts";
import type { RamBlock } from "../../pages/block.ts";
import { walk } from "../../pages/plan.ts";
import type { PrivateFolder } from "../../qemu/private-folder.ts";
import type { QmpClient, QmpEvent } from "../../qmp/client.ts";
import { queryMigrate, queryStatus } from "../../qmp/commands.ts";
import { withCapability } from "../../stream/configuration.ts";
import { Command } from "../../stream/constants.ts";
import type { BlockEntry, RamStartRecord, StreamRecord } from "../../stream/records.ts";
import { StreamWriter } from "../../stream/writer.ts";
import { PageSender } from "./page-sender.ts";

/** Reads: QEMU has everything, and the guest is in the state it was saved in. Sends nothing itself. */
export class LoadWatch {
  readonly #client: QmpClient;
  readonly #since: number;

  /** Made before `migrate-incoming`. Needs the `events` capability. */
  constructor(client: QmpClient) {
    this.#client = client;
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

  /** QEMU reports "completed" a moment before it leaves `inmigrate`. */
  async #settled(signal?: AbortSignal): Promise<void> {
    for (;;) {
      signal?.throwIfAborted();
      if ((await queryStatus(this.#client)).status !== "inmigrate") return;
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
  const abort = () => socket.destroy(signal?.reason);
  signal?.addEventListener("abort", abort, { once: true });
  try {
    await sendSnapshot(snapshot, (bytes) => send(socket, bytes), zeroWanted, onPages, signal);
    await new Promise<void>((resolve) => socket.end(resolve));
  } catch (error) {
    signal?.throwIfAborted();
    throw error;
  } finally {
    signal?.removeEventListener("abort", abort);
    socket.destroy();
  }
}

/**
 * A snapshot as a stream: all pages in one PART behind the setup (STARTs, early device state), everything else as it was, but
 * without mapped-ram headers, the commands that only concern the migration it was (return path, ping, postcopy) and what
 * postcopy adds to the block list.
 *
 * @param out sends bytes, valid until its promise settles
 * @throws FixedramError `file.truncated`; what `out` throws
 */
export async function sendSnapshot(
  snapshot: Pick<Snapshot, "records" | "ramStart" | "map">,
  out: (bytes: Uint8Array) => Promise<void>,
  zeroWanted: (block: RamBlock) => boolean,
  onPages: (bytes: number) => void,
  signal?: AbortSignal,
): Promise<void> {
  let pending: Promise<void> = Promise.resolve();
  const writer = new StreamWriter((bytes) => {
    const copy = bytes.slice();
    pending = pending.then(() => out(copy));
    pending.catch(() => {});
  });
  const drained = async () => {
    writer.flush();
    await pending;
  };
  const pages = async () => {
    writer.record({ kind: "ram-part", sectionId: snapshot.ramStart.sectionId });
    await drained();
    const sender = new PageSender(snapshot.map, out, zeroWanted, onPages);
    await walk(snapshot.map, sender, signal);
    await sender.flush();
    writeEnd(writer, snapshot.ramStart);
  };
  let inPart = false;
  let sent = false;
  for (const record of snapshot.records) {
    if (record.kind === "ram-part") inPart = true;
    const framed = inPart;
    if (inPart && record.kind === "footer") inPart = false;
    if (framed || (record.kind === "command" && record.command !== Command.switchoverStart)) continue;
    if (!sent && afterPages(record)) {
      sent = true;
      await pages();
    }
    if (record.kind === "configuration") writer.record(withCapability(record, "mapped-ram", false));
    else if (record.kind === "ram-start") writer.record({ ...record, blocks: record.blocks.map(plainEntry) });
    else writer.record(record);
  }
  await drained();
}

/** Whether a record stands behind the pages: what only a stream's setup may hold stays before them. */
function afterPages(record: StreamRecord): boolean {
  switch (record.kind) {
    case "command":
    case "ram-end":
    case "device-state-uncut":
    case "eof":
      return true;
    case "dirty-bitmap":
      return record.part !== "start";
    case "device":
      return !record.early;
    default:
      return false;
  }
}

function plainEntry(entry: BlockEntry): BlockEntry {
  return { ...entry, mapped: null, hostPageSize: null };
}

function writeEnd(writer: StreamWriter, start: RamStartRecord): void {
  writer.record({ kind: "ram-eos" });
  writer.record({ kind: "footer", sectionId: start.sectionId });
}

/** With `exit-on-error` off, where QEMU (9.1) knows it, a QEMU that fails stays and tells why. */
async function incoming(client: QmpClient, args: Readonly<Record<string, unknown>>): Promise<void> {
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
