import { chmodSync, chownSync } from "node:fs";
import { createServer, type Server, Socket } from "node:net";
import { FixedramError, systemError } from "../errors.ts";
import type { PrivateFolder } from "./private-folder.ts";

/** Who takes the bytes of a migration socket. */
export interface Receiver {
  /** The chunk is one buffer, used again: valid until the call returns. What it throws fails `ended`; reading stops. */
  chunk(bytes: Uint8Array): void;
  /** Where chunks are to be put, if the receiver has a place for them; it decides how large they get, too. */
  readonly buffer?: Uint8Array;
}

/** One migration connection from QEMU. */
export interface MigrationConnection {
  /** Settles when QEMU closed its side, or is gone; fails with what a receiver threw or the system said. */
  readonly ended: Promise<void>;
  /** Sends on the return path. */
  send(bytes: Uint8Array): Promise<void>;
  /** Reads what is still to come into nothing, until QEMU closes: for a QEMU that must not see the connection break. */
  drain(): Promise<void>;
  close(): void;
}

export interface AcceptOptions {
  /** Bytes a second to take at most; QEMU waits meanwhile. Default: as fast as they come. */
  readonly limit?: number;
}

export interface MigrationListener {
  /** For the `migrate` command. */
  readonly uri: string;
  /** The first connection; later ones are closed. Fails when `signal` aborts before there is one. */
  accept(receiver: Receiver, signal: AbortSignal, options?: AcceptOptions): Promise<MigrationConnection>;
  /** Also ends a connection that nobody accepted. */
  close(): void;
}

/** Large enough that a chunk holds a long run of pages, small enough to stay in the cache between socket and file. */
const CHUNK = 1024 * 1024;

/** Milliseconds; setTimeout takes no more than 2^31. */
const LONGEST_PAUSE = 60_000;

/**
 * Listens on a unix socket in a private folder for the one connection QEMU makes.
 *
 * @throws FixedramError `system.*` when the socket cannot be made
 */
export async function listenForMigration(folder: PrivateFolder, owner?: SocketOwner): Promise<MigrationListener> {
  const path = folder.socket(MIGRATION_SOCKET);
  const { server, first } = await listenOn(path, owner);
  return listenerOf(path, first, () => server.close());
}

/** Name of the socket in its folder. */
export const MIGRATION_SOCKET = "migration.sock";

/** Who may connect besides ourselves. */
export interface SocketOwner {
  readonly uid: number;
  readonly gid: number;
}

/**
 * The listening alone: `first` is the first connection, not yet read from; later ones are closed.
 *
 * @throws FixedramError `system.*` when the socket cannot be made
 */
export async function listenOn(
  path: string,
  owner?: SocketOwner,
): Promise<{ readonly server: Server; readonly first: Promise<Socket> }> {
  const server = createServer({ pauseOnConnect: true });
  // From the start: QEMU may connect before anybody asks for the connection.
  const first = new Promise<Socket>((resolve) => {
    server.once("connection", (socket) => {
      server.on("connection", (later) => later.destroy());
      resolve(socket);
    });
  });
  await new Promise<void>((resolve, reject) => {
    server.once("error", (error) => reject(systemError(error, path, "listening for QEMU's migration")));
    server.listen(path, resolve);
  });
  try {
    chmodSync(path, 0o600);
    if (owner !== undefined && owner.uid !== process.getuid?.()) chownSync(path, owner.uid, owner.gid);
  } catch (error) {
    server.close();
    throw systemError(error, path, "giving QEMU's user the migration socket");
  }
  return { server, first };
}

/**
 * @param first the first connection, paused, from whoever listens
 * @param stop ends the listening
 */
export function listenerOf(path: string, first: Promise<Socket>, stop: () => void): MigrationListener {
  let waiting: Socket | null = null;
  let accepted = false;
  void first.then((socket) => {
    if (!accepted) waiting = socket;
  });
  return {
    uri: `unix:${path}`,
    accept: async (receiver, signal, options = {}) => {
      const socket = await unlessAborted(first, signal);
      stop();
      accepted = true;
      waiting = null;
      return new ReceivingSocket(socket, receiver, options.limit ?? null);
    },
    close: () => {
      stop();
      waiting?.destroy();
      waiting = null;
    },
  };
}

/** A connection that another process accepted and handed over, as `listenerOf` wants it: not yet read from. */
export function pausedSocket(handle: unknown): Socket {
  const options = { handle, pauseOnCreate: true, allowHalfOpen: true };
  return new Socket(options as unknown as ConstructorParameters<typeof Socket>[0]);
}

function unlessAborted<T>(answer: Promise<T>, signal: AbortSignal): Promise<T> {
  return new Promise((resolve, reject) => {
    const abort = () => reject(signal.reason);
    if (signal.aborted) return abort();
    signal.addEventListener("abort", abort, { once: true });
    answer.then((value) => {
      signal.removeEventListener("abort", abort);
      resolve(value);
    }, reject);
  });
}

class ReceivingSocket implements MigrationConnection {
  readonly ended: Promise<void>;
  readonly #socket: Socket;
  /** Draining: what comes is thrown away. */
  #discard = false;
  #received = 0;
  #pause: NodeJS.Timeout | undefined;

  constructor(accepted: Socket, receiver: Receiver, limit: number | null) {
    let fail: (error: unknown) => void = () => {};
    let settle = () => {};
    this.ended = new Promise((resolve, reject) => {
      settle = resolve;
      fail = reject;
    });
    // Nobody may be waiting yet when it fails; whoever waits later still sees it.
    this.ended.catch(() => {});
    const take = (bytes: Uint8Array): boolean => {
      if (this.#discard) return true;
      try {
        receiver.chunk(bytes);
      } catch (error) {
        // Whether to close or to drain is the owner's to say.
        this.#discard = true;
        this.#socket.pause();
        fail(error);
        return false;
      }
      return limit === null || this.#paced(bytes.length, limit, began);
    };
    const began = performance.now();
    this.#socket = withFixedBuffer(accepted, take, bufferFor(receiver.buffer, limit));
    this.#socket.once("end", () => settle());
    this.#socket.once("close", () => settle());
    this.#socket.on("error", (error: NodeJS.ErrnoException) => {
      // A QEMU that died with bytes of ours unread resets the connection: an end like any other.
      if (error.code === "ECONNRESET" || error.code === "EPIPE") settle();
      else fail(systemError(error, "migration socket", "receiving from QEMU"));
    });
  }

  send(bytes: Uint8Array): Promise<void> {
    return new Promise((resolve, reject) => {
      this.#socket.write(bytes, (error) => {
        if (error)
          reject(
            new FixedramError("qemu.connection-lost", "QEMU closed the migration connection", { said: error.message }),
          );
        else resolve();
      });
    });
  }

  drain(): Promise<void> {
    this.#discard = true;
    clearTimeout(this.#pause);
    this.#socket.resume();
    return new Promise((resolve) => {
      if (this.#socket.closed || this.#socket.readableEnded) resolve();
      else for (const event of ["end", "close"] as const) this.#socket.once(event, () => resolve());
    });
  }

  close(): void {
    this.#discard = true;
    clearTimeout(this.#pause);
    this.#socket.destroy();
  }

  /** False when reading has to pause, because more has come than the limit allows by now. */
  #paced(count: number, limit: number, began: number): boolean {
    this.#received += count;
    const ahead = (this.#received / limit) * 1000 - (performance.now() - began);
    if (ahead < 5) return true;
    this.#socket.pause();
    this.#pause = setTimeout(() => this.#socket.resume(), Math.min(ahead, LONGEST_PAUSE));
    return false;
  }
}

/** With a limit, a tenth of a second's bytes: pauses stay short, so that nobody takes one for a QEMU that hangs. */
function bufferFor(given: Uint8Array | undefined, limit: number | null): Uint8Array {
  const most = given?.length ?? CHUNK;
  const length = limit === null ? most : Math.min(most, Math.max(1, Math.ceil(limit / 10)));
  return given === undefined ? Buffer.allocUnsafeSlow(length) : given.subarray(0, length);
}

/**
 * `createServer` knows no `onread`, which reads into one buffer and is twice as fast as `data` events. The accepted socket's
 * handle is private to Node: this is the only place that takes it, and where it is missing the events serve.
 */
function withFixedBuffer(accepted: Socket, take: (bytes: Uint8Array) => boolean, buffer: Uint8Array): Socket {
  const handle = (accepted as unknown as { _handle?: { reading?: boolean } | null })._handle;
  if (handle === undefined || handle === null) {
    accepted.on("data", take);
    accepted.resume();
    return accepted;
  }
  (accepted as unknown as { _handle: null })._handle = null;
  const options = {
    handle,
    allowHalfOpen: true,
    onread: { buffer, callback: (count: number, into: Uint8Array) => take(into.subarray(0, count)) },
  };
  const socket = new Socket(options as unknown as ConstructorParameters<typeof Socket>[0]);
  socket.resume();
  return socket;
}
