import { FixedramError } from "../../errors.ts";
import { type HeldFile, PageServer } from "./page-server.ts";

/** Servers that may end one after the other before they are ready. */
const MOST_TRIES = 20;

/** Keeps one page server alive for all guests that are loaded from a file. */
export class ServerKeeper {
  readonly #fd: number;
  #file: HeldFile | null = null;
  #server: PageServer;
  #left = false;
  /** Servers that were started in the place of one that ended. */
  restarts = 0;

  /** Starts the first server at once. @param fd see {@link PageServer} */
  constructor(fd: number) {
    this.#fd = fd;
    this.#server = new PageServer(fd);
  }

  /** What they serve: to be told once, when the file has been looked at. */
  open(file: HeldFile): void {
    // Whoever takes over serves a guest at once.
    this.#file = { ...file, warm: null };
    this.#server.open(file);
  }

  get server(): PageServer {
    return this.#server;
  }

  /**
   * A server that lives and has the file open, in the place of one that is gone: the first to ask starts it. One that is killed before it
   * is ready is replaced as well.
   *
   * @throws FixedramError when servers cannot open the file, or keep ending
   */
  async instead(_lost: Pick<PageServer, "pid">): Promise<PageServer> {
    for (let tries = 1; ; tries++) {
      if (!this.#server.alive) {
        this.restarts++;
        this.#server = new PageServer(this.#fd);
        if (this.#file !== null) this.#server.open(this.#file);
      }
      const server = this.#server;
      try {
        await server.opened;
        return server;
      } catch (error) {
        const killed = error instanceof FixedramError && error.code === "system.page-server";
        if (!killed || tries === MOST_TRIES) throw error;
        await server.ended;
      }
    }
  }

  /** The pushes of all guests may begin. */
  push(): void {
    this.#server.push();
  }

  async stop(): Promise<void> {
    if (!this.#left) await this.#server.stop();
  }

  /** What is under way goes on by itself; stop() ends it no more. */
  leave(): void {
    this.#left = true;
    this.#server.leave();
  }
}
