import { chmodSync, chownSync } from "node:fs";
import { createServer, type Server, Socket } from "node:net";
import { FixedramError, systemError } from "../errors.ts";
import type { PrivateFolder } from "./private-folder.ts";

/** Who takes the bytes of a migration socket. */
export interface Receiver {
  /**
   * The chunk is one buffer, used again: valid until the call returns, or the promise settles that it returns when it needs time;
   * nothing is read meanwhile. What it throws fails `ended`; reading stops.
   */
  chunk(bytes: Uint8Array): void | Promise<void>;
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

/** A connection beside the first one, for whoever reads from its descriptor: a thread. Nothing here reads from it. */
export interface ChannelConnection {
  /** Not blocking. */
  readonly fd: number;
  /** To be called when nobody else closes it. */
  close(): void;
  /**
   * A thread has closed the descriptor, or will. What this thread's Node holds of the connection, a few hundred bytes, is kept
   * as it is from now on: Node has no way to let go of it without closing a number that may mean another file by then.
   */
  leave(): void;
}

export interface MigrationListener {
  /** For the `migrate` command. */
  readonly uri: string;
  /** Of multifd, in the order they came; as many as the listener was made for. Fails when `signal` aborts before. */
  channels(signal: AbortSignal): Promise<readonly ChannelConnection[]>;
  /** The first connection; later ones are closed. Fails when `signal` aborts before there is one. */
  accept(receiver: Receiver, signal: AbortSignal, options?: AcceptOptions): Promise<MigrationConnection>;
  /** Also ends connections that nobody accepted, or asked for. */
  close(): void;
}

/** Large enough that a chunk holds a long run of pages, small enough to stay in the cache between socket and file. */
const CHUNK = 1024 * 1024;

/** Milliseconds; setTimeout takes no more than 2^31. */
const LONGEST_PAUSE = 60_000;

/**
 * Listens on a unix socket in a private folder for the connections QEMU makes: the main one first, which is where it begins.
 *
 * @param channels how many more it makes
 * @throws FixedramError `system.*` when the socket cannot be made
 */
export async function listenForMigration(
  folder: PrivateFolder,
  owner?: SocketOwner,
  channels = 0,
): Promise<MigrationListener> {
  const path = folder.socket(MIGRATION_SOCKET);
  const { server, first, more } = await listenOn(path, owner, channels);
  return listenerOf(path, first, () => server.close(), more);
}

/** Sockets whose descriptors threads have closed: never to be destroyed. */
const left = new Set<Socket>();

/** Whether connections have descriptors here that a thread can use. False: there is no multifd. */
export function canTakeChannels(): boolean {
  const server = createServer();
  server.on("error", () => {});
  try {
    // A name in Linux's abstract namespace: no file is made. The handle is made at once, so nobody need wait.
    server.listen({ path: `\0fixedram-${process.pid}-probe` });
    return descriptorOf(server) !== null;
  } catch {
    return false;
  } finally {
    server.close();
  }
}

/** Name of the socket in its folder. */
export const MIGRATION_SOCKET = "migration.sock";

/** Who may connect besides ourselves. */
export interface SocketOwner {
  readonly uid: number;
  readonly gid: number;
}

/**
 * The listening alone: `first` is the first connection, not yet read from, `more` as many as `channels` says; later ones are closed.
 *
 * @throws FixedramError `system.*` when the socket cannot be made
 */
export async function listenOn(
  path: string,
  owner?: SocketOwner,
  channels = 0,
): Promise<{ readonly server: Server; readonly first: Promise<Socket>; readonly more: Connections }> {
  const server = createServer({ pauseOnConnect: true });
  // From the start: QEMU may connect before anybody asks for the connection.
  const more: Connections = { sockets: [], all: Promise.resolve() };
  const first = new Promise<Socket>((resolve) => {
    more.all = new Promise((complete) => {
      let connected = false;
      server.on("connection", (socket) => {
        if (!connected) resolve(socket);
        else if (more.sockets.length < channels) more.sockets.push(socket);
        else socket.destroy();
        connected = true;
        if (more.sockets.length === channels) complete();
      });
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
  return { server, first, more };
}

/** Connections behind the first; `all` settles when they have come. */
interface Connections {
  readonly sockets: Socket[];
  all: Promise<void>;
}

/**
 * @param first the first connection, paused, from whoever listens
 * @param stop ends the listening
 * @param more connections that come behind it
 */
export function listenerOf(
  path: string,
  first: Promise<Socket>,
  stop: () => void,
  more: Connections = { sockets: [], all: Promise.resolve() },
): MigrationListener {
  let waiting: Socket | null = null;
  let accepted = false;
  let handedOver = false;
  void first.then((socket) => {
    if (!accepted) waiting = socket;
  });
  return {
    uri: `unix:${path}`,
    accept: async (receiver, signal, options = {}) => {
      const socket = await unlessAborted(first, signal);
      void more.all.then(stop);
      accepted = true;
      waiting = null;
      return new ReceivingSocket(socket, receiver, options.limit ?? null);
    },
    channels: async (signal) => {
      await unlessAborted(more.all, signal);
      handedOver = true;
      return more.sockets.map((socket) => {
        const fd = descriptorOf(socket);
        if (fd === null) throw new Error("a connection without a descriptor");
        return { fd, close: () => socket.destroy(), leave: () => void left.add(socket) };
      });
    },
    close: () => {
      stop();
      waiting?.destroy();
      waiting = null;
      if (!handedOver) for (const socket of more.sockets) socket.destroy();
    },
  };
}

/** The number of a socket's descriptor, which is private to Node: this is the only place that takes it. Null: it has none. */
export function descriptorOf(socket: Socket | Server): number | null {
  const fd = (socket as unknown as { _handle?: { fd?: unknown } | null })._handle?.fd;
  return typeof fd === "number" && fd >= 0 ? fd : null;
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
    // Whether to close or to drain is the owner's to say.
    const refuse = (error: unknown) => {
      this.#discard = true;
      this.#socket.pause();
      fail(error);
    };
    const take = (bytes: Uint8Array): boolean => {
      if (this.#discard) return true;
      try {
        const later = receiver.chunk(bytes);
        if (later !== undefined) {
          this.#socket.pause();
          later.then(() => {
            if (limit === null || this.#paced(bytes.length, limit, began)) this.#socket.resume();
          }, refuse);
          return false;
        }
      } catch (error) {
        refuse(error);
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
