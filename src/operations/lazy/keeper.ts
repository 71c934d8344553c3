import { type HeldFile, PageServer } from "./page-server.ts";

/** Keeps one page server alive for all guests that are loaded from a file. */
export class ServerKeeper {
  readonly #file: HeldFile;
  #server: PageServer;
  /** Servers that were started in the place of one that ended. */
  restarts = 0;

  constructor(file: HeldFile) {
    this.#file = file;
    this.#server = new PageServer(file);
  }

  get server(): PageServer {
    return this.#server;
  }

  /** A living server, for one that found `lost` gone: the first to ask starts it. @throws FixedramError when it cannot open the file */
  async instead(lost: Pick<PageServer, "pid">): Promise<PageServer> {
    if (this.#server === lost && !this.#server.alive) {
      this.restarts++;
      this.#server = new PageServer(this.#file);
    }
    const server = this.#server;
    await server.opened;
    return server;
  }

  async stop(): Promise<void> {
    await this.#server.stop();
  }

  leave(): void {
    this.#server.leave();
  }
}
