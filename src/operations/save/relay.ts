import type { Server, Socket } from "node:net";
import { listenOn } from "../../qemu/migration-socket.ts";

/** Who may connect besides ourselves: QEMU's user. */
export interface Owner {
  readonly uid: number;
  readonly gid: number;
}

/** What the saver tells its guard first: where its note will be. */
export interface GuardTask {
  readonly note: string;
}

/** What the saver asks of its guard, besides `done`. */
export type GuardRequest =
  | { readonly ask: "listen"; readonly path: string; readonly owner: Owner | null }
  | { readonly ask: "drain"; readonly expected: boolean };

/** What the guard says: `ready` to its task; `connection` brings the socket's handle along. */
export type GuardReply =
  | { readonly reply: "ready" | "listening" | "connection" | "drained" }
  | { readonly reply: "failed"; readonly said: string };

/** Milliseconds QEMU gets to connect once its migration is under way. */
const CONNECT_TIME = 5000;

/**
 * The guard's end of a migration socket that must not break (docs/decisions/0004). The guard itself listens, keeps the
 * connection and gives the saver a copy: so there is no moment in which the saver alone holds it. Of the stream the guard
 * reads nothing, unless it has to be read to its end because the saver cannot.
 */
export class Relay {
  #server: Server | null = null;
  #connection: Promise<Socket> | null = null;
  #connected = false;

  /** @param onConnection gets the connection's handle, which is private to Node: a Socket would begin to read */
  async listen(path: string, owner: Owner | null, onConnection: (handle: unknown) => void): Promise<void> {
    const { server, first } = await listenOn(path, owner ?? undefined);
    this.#server = server;
    this.#connection = first;
    void first.then((socket) => {
      this.#connected = true;
      server.close();
      onConnection((socket as unknown as { _handle?: unknown })._handle);
    });
  }

  /** Whether QEMU has. */
  get connected(): boolean {
    return this.#connected;
  }

  /**
   * Reads into nothing until QEMU closes; then nobody can connect any more.
   *
   * @param expected QEMU's migration is under way, so that a connection that has not come yet will
   */
  async drain(expected: boolean): Promise<void> {
    if (this.#connection === null || (!this.#connected && !expected)) {
      this.#server?.close();
      return;
    }
    const late = new Promise<null>((resolve) => setTimeout(() => resolve(null), CONNECT_TIME).unref());
    const socket = await Promise.race([this.#connection, late]);
    this.#server?.close();
    if (socket === null) return;
    await new Promise<void>((resolve) => {
      socket.on("error", () => {});
      for (const event of ["end", "close"] as const) socket.once(event, () => resolve());
      if (socket.closed || socket.readableEnded) resolve();
      socket.resume();
    });
    socket.destroy();
  }
}
