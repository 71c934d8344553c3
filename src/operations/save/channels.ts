import { MessageChannel, type MessagePort } from "node:worker_threads";
import { FixedramError } from "../../errors.ts";
import type { FixedRamWriter } from "../../fixedram/writer.ts";
import type { ChannelConnection } from "../../qemu/migration-socket.ts";
import type { TargetFile } from "../../storage/target-file.ts";
import { ChannelControl } from "../../workers/channel-control.ts";
import { WorkerPool } from "../../workers/pool.ts";
import type { ChannelMessage, TakeChannelOutput } from "../../workers/tasks/take-channel.ts";

/** Milliseconds that the rest has to come to the end of a round, once one of them has: else they do not agree on rounds. */
const ROUND_TIME = 30_000;

export interface ChannelOptions {
  /** A thread for each channel. */
  readonly pool: WorkerPool;
  readonly target: TargetFile;
  readonly directIo: boolean;
  /** Something has come. */
  readonly onProgress: () => void;
  /** For tests. */
  readonly roundTime?: number;
}

/** Threads for so many channels, which start and load what they need; null: for none. */
export function startThreads(channels: number): WorkerPool | null {
  if (channels === 0) return null;
  const pool = new WorkerPool({ size: channels });
  pool.warmUp("take-channel");
  return pool;
}

/**
 * The multifd channels of one save, a thread each, and the rounds that they and the main stream go through together: nothing of
 * round n + 1 is written before all of round n is, by whichever channel it came (docs/format.md, "multifd channels").
 */
export class ChannelCapture {
  /** Bytes from the sockets, and pages of either kind, so far. */
  received = 0;
  pages = 0;
  rewritten = 0;
  directBytes = 0;
  /** Rejects when a channel breaks, or a thread fails. Never resolves. */
  readonly failure: Promise<never>;
  /** A channel was closed by QEMU before the stream was whole: QMP may tell why. */
  onClosed: () => void = () => {};
  readonly #options: ChannelOptions;
  readonly #control: ChannelControl;
  readonly #rounds: number[];
  readonly #numbers = new Set<number>();
  #connections: readonly ChannelConnection[] | null = null;
  /** To each thread: the control has something new. */
  #news: readonly MessagePort[] = [];
  #writer: { readonly writer: FixedRamWriter; readonly main: readonly boolean[] } | null = null;
  #threads: Promise<unknown> | null = null;
  /** The main stream stands at the end of this round. */
  #waiting: { readonly round: number; readonly over: () => void } | null = null;
  #watchdog: NodeJS.Timeout | undefined;
  #ended = false;
  #error: unknown = null;
  #fail: (error: unknown) => void = () => {};

  constructor(options: ChannelOptions) {
    this.#options = options;
    this.#control = ChannelControl.for(options.pool.size);
    this.#rounds = Array<number>(options.pool.size).fill(0);
    this.failure = new Promise((_resolve, reject) => {
      this.#fail = reject;
    });
    this.failure.catch(() => {});
  }

  /** QEMU has made all its connections. */
  connected(connections: readonly ChannelConnection[]): void {
    this.#connections = connections;
    this.#begin();
  }

  /** The block list has come: pages have places. @param main which blocks leave holes for zero pages, by index */
  laidOut(writer: FixedRamWriter, main: readonly boolean[]): void {
    this.#writer = { writer, main };
    this.#begin();
  }

  /** The main stream is at the end of round `round`, from 1. Settles when every channel is, too: then the next one begins. */
  round(round: number): Promise<void> {
    return new Promise((resolve) => {
      this.#waiting = { round, over: resolve };
      this.#look();
    });
  }

  /** The main stream is whole: settles when every thread has found its channel at its end. */
  async end(): Promise<void> {
    this.#ended = true;
    this.#control.end();
    this.#tellThreads();
    await this.#threads;
    clearTimeout(this.#watchdog);
    if (this.#error !== null) throw this.#error;
  }

  /** The main stream goes on, which is as good as a channel that does. */
  moved(): void {
    this.#watchdog?.refresh();
  }

  /** Stops the threads, waits for them, and closes the connections. The target must stay open until then. Never throws. */
  async close(): Promise<void> {
    clearTimeout(this.#watchdog);
    this.#ended = true;
    this.#stopThreads();
    await this.#threads?.catch(() => {});
    for (const port of this.#news) port.close();
    for (const [index, connection] of (this.#connections ?? []).entries()) {
      if (this.#control.taken(index)) connection.leave();
      else connection.close();
    }
  }

  #tellThreads(): void {
    for (const port of this.#news) port.postMessage(null);
  }

  #stopThreads(): void {
    this.#control.stop();
    this.#tellThreads();
  }

  #begin(): void {
    const connections = this.#connections;
    if (connections === null || this.#writer === null || this.#control.stopped) return;
    const { writer, main } = this.#writer;
    const { pool, target, directIo } = this.#options;
    // Direct writes behind the end of a file go one at a time on ext4.
    if (directIo) target.truncate(writer.layout.tailOffset);
    const { identity } = target;
    const ports = connections.map(() => new MessageChannel());
    this.#news = ports.map(({ port1 }) => port1);
    const each = connections.map(async ({ fd }, index) => {
      const news = ports[index]?.port2;
      if (news === undefined) throw new Error("no port");
      const input = {
        fd,
        index,
        news,
        target: identity,
        directIo,
        blocks: writer.layout.blocks,
        main,
        shared: writer.sharedBits ?? [],
        control: this.#control.memory,
      };
      const onMessage = (message: unknown) => this.#heard(index, message as ChannelMessage);
      this.#done(await pool.run("take-channel", input, { onMessage, transfer: [news] }));
    });
    // One that fails stops the others, so that all are waited for.
    for (const one of each) one.catch((error: unknown) => this.#failed(error));
    this.#threads = Promise.allSettled(each);
  }

  #heard(index: number, message: ChannelMessage): void {
    if (message.kind === "greeting") this.#greeted(message.channel);
    else if (message.kind === "sync") {
      this.#rounds[index] = message.round;
      this.#look();
    } else {
      this.received += message.received;
      this.pages += message.pages;
      this.#options.target.wrote(message.written);
      this.#options.onProgress();
      this.#watchdog?.refresh();
    }
  }

  #greeted(channel: number): void {
    if (channel < this.#rounds.length && !this.#numbers.has(channel)) {
      this.#numbers.add(channel);
      return;
    }
    this.#failed(
      new FixedramError("stream.multifd-greeting", "a multifd channel has a number that it cannot have", {
        expected: `each of 0 to ${this.#rounds.length - 1} once`,
        found: String(channel),
      }),
    );
  }

  #done({ closed, rewritten, directBytes }: TakeChannelOutput): void {
    this.rewritten += rewritten;
    this.directBytes += directBytes;
    if (closed && !this.#ended) this.onClosed();
  }

  /** Whether a round is over. */
  #look(): void {
    const waiting = this.#waiting;
    const least = Math.min(...this.#rounds);
    const most = Math.max(...this.#rounds);
    if (waiting !== null && least >= waiting.round) {
      clearTimeout(this.#watchdog);
      this.#watchdog = undefined;
      this.#waiting = null;
      this.#control.release(waiting.round);
      waiting.over();
    } else if (waiting !== null || least !== most) this.#arm();
  }

  /** Threads that wait for each other would wait for ever if QEMU counted rounds in a way that is not known. */
  #arm(): void {
    if (this.#watchdog !== undefined || this.#ended) return;
    const time = this.#options.roundTime ?? ROUND_TIME;
    this.#watchdog = setTimeout(() => {
      this.#failed(
        new FixedramError(
          "stream.multifd-rounds",
          "QEMU's multifd channels and its main stream do not agree on rounds",
          {
            expected: `all of them at the end of round ${this.#waiting?.round ?? Math.max(...this.#rounds)}`,
            found: `main ${this.#waiting === null ? "on its way" : `at ${this.#waiting.round}`}, channels at ${this.#rounds.join(", ")} for ${time / 1000} s`,
            hint: "Save with --transport stream, and please report it with QEMU's version and the machine type.",
          },
        ),
      );
    }, time);
  }

  #failed(error: unknown): void {
    this.#stopThreads();
    this.#error ??= error;
    this.#fail(error);
  }
}
