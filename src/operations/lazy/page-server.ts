import type { ChildProcess } from "node:child_process";
import { FixedramError } from "../../errors.ts";
import type { FromServer, ServeJob, ToServer } from "./protocol.ts";
import type { FileToServe } from "./served-file.ts";
import { inheritedFile, takeServer } from "./server-process.ts";

export interface ServerEnd {
  readonly code: number | null;
  readonly signal: string | null;
}

/** A file as {@link PageServer.open} gets it: which descriptor it has there is the server's. */
export type HeldFile = Omit<FileToServe, "descriptor">;

/** One page server process. */
export class PageServer {
  readonly pid: number;
  readonly ended: Promise<ServerEnd>;
  readonly #child: ChildProcess;
  readonly #listeners = new Map<number, (message: FromServer) => void>();
  readonly #opened: Promise<void>;

  /**
   * Takes the process that was started beforehand, or starts one, which takes a while; what it serves is told later.
   *
   * @param fd the file, held open as long as servers may be started: each gets that very file, whatever has its name by then
   */
  constructor(fd: number) {
    this.#child = takeServer(fd);
    this.pid = this.#child.pid ?? -1;
    this.ended = new Promise((resolve) => {
      this.#child.once("exit", (code, signal) => resolve({ code, signal }));
      this.#child.once("error", () => resolve({ code: null, signal: null }));
    });
    this.#opened = new Promise((resolve, reject) => {
      this.#child.on("message", (message) => {
        const said = message as FromServer;
        if (said.say === "opened") resolve();
        else if (said.say === "cannot-open") reject(FixedramError.from(said.error));
        else this.#listeners.get(said.guest)?.(said);
      });
      void this.ended.then((end) => reject(serverLost(end)));
    });
    this.#opened.catch(() => {});
  }

  /** To be called once. */
  open(file: HeldFile): void {
    this.#send({ ask: "open", file: { ...file, descriptor: inheritedFile } });
  }

  get alive(): boolean {
    return this.#child.exitCode === null && this.#child.signalCode === null && this.#child.pid !== undefined;
  }

  /** The file is open and was recognised. @throws FixedramError what is wrong with it; `system.page-server` */
  get opened(): Promise<void> {
    return this.#opened;
  }

  /** @param listener hears of this guest from now on */
  serve(job: ServeJob, listener: (message: FromServer) => void): void {
    this.#listeners.set(job.guest, listener);
    this.#send({ ask: "serve", job });
  }

  /** What was held may be pushed. */
  push(): void {
    this.#send({ ask: "push" });
  }

  /** Ends it: for when no guest needs it any more, or none ever will. */
  async stop(): Promise<void> {
    if (!this.alive) return;
    this.#child.kill("SIGKILL");
    await this.ended;
  }

  /** It goes on by itself, and ends when its guests have everything. */
  leave(): void {
    this.#child.unref();
    this.#child.channel?.unref();
    if (this.#child.connected) this.#child.disconnect();
  }

  #send(message: ToServer): void {
    // One that has ended is told of elsewhere.
    if (this.#child.connected) this.#child.send(message, () => {});
  }
}

export function serverLost({ code, signal }: ServerEnd): FixedramError {
  return new FixedramError("system.page-server", "the page server ended", {
    found: signal === null ? `code ${code ?? "?"}` : `signal ${signal}`,
    hint: "The machine may be out of memory.",
  });
}
