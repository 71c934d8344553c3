/**
 * The page server: a process of its own, which nothing that its supervisor does can hold up, and which goes on when that is gone. It serves
 * one guest in its main thread. Several share a few threads, the main one among them: none of them waits for a disk, so that one guest's
 * cold read holds up no other.
 *
 *     node server.js          (with an IPC channel; the snapshot as a file descriptor that it inherits)
 */
import { isMainThread, parentPort, type Worker, workerData } from "node:worker_threads";
import { entryFile } from "../../installation.ts";
import { startWorker } from "../../workers/start.ts";
import type { FromServer, ServeJob, ToServer } from "./protocol.ts";
import type { PutBack } from "./put-back.ts";
import { type FileToServe, ServedFile } from "./served-file.ts";
import { errorJson, type Push, serveGuest, warmWorkingSet } from "./session.ts";

/** Heap of a thread, MiB: it holds buffers of fixed size, and lists of what a guest touched. */
const threadHeap = 256;
/** Keeps pushes back until all may go. */
class Gate {
  #open = false;
  readonly #held = new Set<() => void>();

  open(): void {
    this.#open = true;
    for (const release of this.#held) release();
    this.#held.clear();
  }

  readonly push: Push = (release) => {
    if (this.#open) release();
    else this.#held.add(release);
    return () => this.#held.delete(release);
  };
}

class Server {
  readonly #gate = new Gate();
  readonly #helpers: Helper[] = [];
  #file: FileToServe | null = null;
  #opened: Promise<ServedFile> | null = null;
  /** Guests of the main thread. */
  #own = 0;
  /** What is to be done for guests that have everything, when nobody else is left to do it. */
  readonly #left: PutBack[] = [];
  /** Guests asked for whose end has not come, those that wait for the file to be open too. */
  #asked = 0;

  take(message: ToServer): void {
    if (message.ask === "stop") process.exit(0);
    if (message.ask === "open") this.#open(message.file);
    else if (message.ask === "push") this.#push();
    else void this.#serve(message.job);
  }

  #open(file: FileToServe): void {
    this.#file = file;
    this.#opened = ServedFile.open(file);
    this.#opened.then(
      (opened) => {
        say({ say: "opened" });
        void opened.bytes;
        // Threads take as long to start as a QEMU does.
        for (let i = 1; i < Math.min(file.guests, file.threads); i++) this.#helpers.push(new Helper(file));
        if (file.warm !== null) void warmWorkingSet(opened, file.warm);
      },
      (error: unknown) => say({ say: "cannot-open", error: errorJson(error) }),
    );
  }

  #push(): void {
    this.#gate.open();
    for (const helper of this.#helpers) helper.send({ ask: "push" });
  }

  async #serve(job: ServeJob): Promise<void> {
    this.#asked++;
    const complete = await this.#toItsEnd(job);
    if (complete && job.after !== null) this.#left.push(job.after);
    this.#asked--;
    if (!process.connected) this.orphaned();
  }

  /** @returns whether it has all of its memory */
  async #toItsEnd(job: ServeJob): Promise<boolean> {
    const file = this.#file;
    const opened = await this.#opened?.catch(() => null);
    if (file === null || !opened) return false;
    const helper = job.shared ? this.#helperFor(file) : null;
    if (helper === null) {
      this.#own++;
      const complete = await serveGuest(opened, job, say, this.#gate.push);
      this.#own--;
      return complete;
    }
    return helper.serve(job);
  }

  /** The thread with the fewest guests; null: this one. */
  #helperFor(file: FileToServe): Helper | null {
    const alive = this.#helpers.filter((helper) => helper.alive);
    const least = alive.reduce((min, { guests }) => Math.min(min, guests), this.#own);
    if (least > 0 && alive.length + 1 < file.threads) {
      const helper = new Helper(file);
      this.#helpers.push(helper);
      return helper;
    }
    return this.#own === least ? null : (alive.find(({ guests }) => guests === least) ?? null);
  }

  /** Nobody is left to ask for more: what is under way is brought to its end, and held by nobody. */
  orphaned(): void {
    this.#push();
    if (this.#asked === 0) void this.#end();
  }

  async #end(): Promise<void> {
    const left = this.#left.splice(0);
    if (left.length > 0) {
      const { putBack } = await import("./put-back.ts");
      await Promise.all(left.map((each) => putBack(each)));
    }
    if (this.#asked === 0) process.exit(0);
  }
}

/** A thread that serves guests, as the main one sees it. */
class Helper {
  readonly #worker: Worker;
  /** Those it serves, and who waits for their end. */
  readonly #guests = new Map<number, (complete: boolean) => void>();
  alive = true;

  constructor(file: FileToServe) {
    this.#worker = startWorker(entryFile("operations/lazy/server"), {
      workerData: { file },
      resourceLimits: { maxOldGenerationSizeMb: threadHeap },
    });
    this.#worker.on("message", (message: FromServer) => {
      say(message);
      if (message.say === "shut") this.#over(message.guest, message.value === 0);
      if (message.say === "failed") this.#over(message.guest, false);
    });
    this.#worker.on("error", (error) => this.#ended(error.message));
    this.#worker.on("exit", (code) => this.#ended(`code ${code}`));
  }

  get guests(): number {
    return this.#guests.size;
  }

  send(message: ToServer): void {
    if (this.alive) this.#worker.postMessage(message);
  }

  serve(job: ServeJob): Promise<boolean> {
    return new Promise((resolve) => {
      this.#guests.set(job.guest, resolve);
      this.send({ ask: "serve", job });
    });
  }

  #over(guest: number, complete: boolean): void {
    this.#guests.get(guest)?.(complete);
    this.#guests.delete(guest);
  }

  #ended(said: string): void {
    this.alive = false;
    for (const guest of [...this.#guests.keys()]) {
      say({
        say: "failed",
        guest,
        error: { code: "system.page-server", message: "a page server's thread ended", said },
      });
      this.#over(guest, false);
    }
  }
}

function say(message: FromServer): void {
  // A supervisor that is gone hears nothing; the guest gets its pages all the same.
  if (process.connected) process.send?.(message, undefined, {}, () => {});
}

/** Of a thread: guests come as messages, what is said goes back as such. */
function thread(file: FileToServe): void {
  const port = parentPort;
  const gate = new Gate();
  const tell = (message: FromServer) => port?.postMessage(message);
  const opened = ServedFile.open(file);
  opened.catch(() => {});
  port?.on("message", (message: ToServer) => {
    if (message.ask === "push") gate.open();
    if (message.ask !== "serve") return;
    const { job } = message;
    opened.then(
      (served) => serveGuest(served, job, tell, gate.push),
      (error: unknown) => tell({ say: "failed", guest: job.guest, error: errorJson(error) }),
    );
  });
}

if (!isMainThread) {
  thread((workerData as { readonly file: FileToServe }).file);
} else if (process.send !== undefined) {
  const server = new Server();
  // Signals from a terminal are meant for the supervisor.
  for (const signal of ["SIGINT", "SIGHUP"] as const) process.on(signal, () => {});
  process.on("message", (message) => server.take(message as ToServer));
  process.on("disconnect", () => server.orphaned());
}
