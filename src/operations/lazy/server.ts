/**
 * The page server: a process of its own, which nothing that its supervisor does can hold up, and which goes on when that is gone. It serves
 * one guest in its main thread, several in a thread each, so that a read from a cold disk for one holds up no other.
 *
 *     node server.js          (with an IPC channel; the snapshot as a file descriptor that it inherits)
 */
import { isMainThread, parentPort, type Worker, workerData } from "node:worker_threads";
import { entryFile } from "../../installation.ts";
import { startWorker } from "../../workers/start.ts";
import type { FromServer, ServeJob, ToServer } from "./protocol.ts";
import { type FileToServe, ServedFile } from "./served-file.ts";
import { errorJson, serveGuest, warmWorkingSet } from "./session.ts";

/** Heap of a thread, MiB: it holds buffers of fixed size, and lists of what a guest touched. */
const threadHeap = 64;

class Server {
  #file: FileToServe | null = null;
  #opened: Promise<ServedFile> | null = null;
  #busy = 0;

  take(message: ToServer): void {
    if (message.ask === "stop") process.exit(0);
    if (message.ask === "open") this.#open(message.file);
    else void this.#serve(message.job);
  }

  #open(file: FileToServe): void {
    this.#file = file;
    this.#opened = ServedFile.open(file);
    this.#opened.then(
      (opened) => {
        say({ say: "opened" });
        if (file.warm !== null) void warmWorkingSet(opened, file.warm);
      },
      (error: unknown) => say({ say: "cannot-open", error: errorJson(error) }),
    );
  }

  async #serve(job: ServeJob): Promise<void> {
    const file = this.#file;
    const opened = await this.#opened?.catch(() => null);
    if (file === null || !opened) return;
    this.#busy++;
    // The first guest alone needs no thread; with more of them each has one.
    if (job.threads) await this.#inThread(file, job);
    else await serveGuest(opened, job, say);
    this.#busy--;
    if (!process.connected) this.orphaned();
  }

  /** Nobody is left to ask for more: what is under way is brought to its end. */
  orphaned(): void {
    if (this.#busy === 0) process.exit(0);
  }

  #inThread(file: FileToServe, job: ServeJob): Promise<void> {
    return new Promise((resolve) => {
      let over = false;
      const worker: Worker = startWorker(entryFile("operations/lazy/server"), {
        workerData: { file, job },
        resourceLimits: { maxOldGenerationSizeMb: threadHeap },
      });
      const end = (why: string) => {
        if (!over)
          say({
            say: "failed",
            guest: job.guest,
            error: { code: "system.page-server", message: "A page server's thread ended", said: why },
          });
        over = true;
        resolve();
      };
      worker.on("message", (message: FromServer) => {
        if (message.say === "shut" || message.say === "failed") over = true;
        say(message);
      });
      worker.on("error", (error) => end(error.message));
      worker.on("exit", (code) => end(`code ${code}`));
    });
  }
}

function say(message: FromServer): void {
  // A supervisor that is gone hears nothing; the guest gets its pages all the same.
  if (process.connected) process.send?.(message, undefined, {}, () => {});
}

async function thread(file: FileToServe, job: ServeJob): Promise<void> {
  const port = parentPort;
  const tell = (message: FromServer) => port?.postMessage(message);
  try {
    const opened = await ServedFile.open(file);
    await serveGuest(opened, job, tell);
    await opened.close();
  } catch (error) {
    tell({ say: "failed", guest: job.guest, error: errorJson(error) });
  }
}

if (!isMainThread) {
  const { file, job } = workerData as { readonly file: FileToServe; readonly job: ServeJob };
  void thread(file, job);
} else if (process.send !== undefined) {
  const server = new Server();
  // Signals from a terminal are meant for the supervisor.
  for (const signal of ["SIGINT", "SIGHUP"] as const) process.on(signal, () => {});
  process.on("message", (message) => server.take(message as ToServer));
  process.on("disconnect", () => server.orphaned());
}
