/** Takes one multifd channel of a save: pages from the socket to their places in the file, digests on the way. */
import { readSync } from "node:fs";
import { type OnReadOpts, Socket, type SocketConstructorOpts } from "node:net";
import type { MessagePort } from "node:worker_threads";
import { PageHasher } from "../../bytes/page-digest.ts";
import { FixedramError, systemError } from "../../errors.ts";
import type { PlannedBlock } from "../../fixedram/layout.ts";
import { PlacedPages, type SharedBits } from "../../fixedram/placed-pages.ts";
import { ThroughDigests } from "../../fixedram/through-digests.ts";
import type { RamBlock } from "../../pages/block.ts";
import type { PageBatch } from "../../pages/sink.ts";
import { SharedTarget, type TargetIdentity } from "../../storage/shared-target.ts";
import type { Greeting } from "../../stream/multifd-packet.ts";
import { type MultifdEvents, MultifdReader } from "../../stream/multifd-reader.ts";
import { ChannelControl } from "../channel-control.ts";
import type { TaskContext } from "../protocol.ts";

export interface TakeChannelInput {
  /** The connected socket. From {@link ChannelControl.take} on it is this thread's to close, and nobody else's. */
  readonly fd: number;
  /** Which of the channels this is, from 0, by the order in which they came. */
  readonly index: number;
  /** Says, with any message, that {@link ChannelControl} has something new. */
  readonly news: MessagePort;
  readonly target: TargetIdentity;
  readonly directIo: boolean;
  readonly blocks: readonly PlannedBlock[];
  /** Which blocks leave holes for zero pages, by index. */
  readonly main: readonly boolean[];
  readonly shared: readonly SharedBits[];
  /** Of {@link ChannelControl}. */
  readonly control: SharedArrayBuffer;
}

/** What is told on the way. */
export type ChannelMessage =
  | { readonly kind: "greeting"; readonly channel: number }
  /** Everything up to the end of this round, from 1, is in the file. */
  | { readonly kind: "sync"; readonly round: number }
  /** So much more since the last word: bytes from the socket, bytes written, pages of either kind. */
  | { readonly kind: "progress"; readonly received: number; readonly written: number; readonly pages: number };

export interface TakeChannelOutput {
  /** QEMU closed the channel before the main stream was whole. */
  readonly closed: boolean;
  readonly rewritten: number;
  readonly directBytes: number;
}

/**
 * Milliseconds that a thread rests when nothing but zero pages has come: QEMU then sends 128 of them at a time, and waking for each
 * such packet costs more than reading it. A socket holds some 90 of them, 5 ms of QEMU's looking for zero pages.
 */
const REST = 0.5;

/** Bytes between two words on the progress. */
const TELL = 16 * 2 ** 20;

/** @throws `stream.multifd-*`, `stream.unknown-block`, `stream.page-out-of-block`, `system.*` */
export async function run(input: TakeChannelInput, context: TaskContext): Promise<TakeChannelOutput> {
  const target = SharedTarget.open(input.target, input.directIo);
  try {
    return await new Channel(input, target, context).take();
  } finally {
    input.news.close();
    target.close();
  }
}

/** How it ended, to be told when the socket is closed. */
type Ending = { readonly output: TakeChannelOutput } | { readonly error: unknown };

/**
 * The event loop waits for the socket, and everything else happens in the call that brings bytes: so the thread never blocks in
 * a read that nothing could end, and never looks in vain. In between rounds it blocks on memory, which ends when it is told to.
 */
class Channel implements MultifdEvents {
  readonly #input: TakeChannelInput;
  readonly #target: SharedTarget;
  readonly #context: TaskContext;
  readonly #control: ChannelControl;
  readonly #placed: PlacedPages;
  readonly #reader: MultifdReader;
  #round = 0;
  /** Pages have come since the last SYNC. */
  #open = false;
  #told = { received: 0, written: 0, pages: 0 };
  #socket: Socket | null = null;
  #ending: Ending | null = null;

  constructor(input: TakeChannelInput, target: SharedTarget, context: TaskContext) {
    const { blocks, main, shared, control } = input;
    const pageSize = blocks[0]?.block.pageSize ?? 4096;
    const hasher = new PageHasher(MultifdReader.bufferBytes(pageSize));
    const digests = new ThroughDigests(hasher, target, blocks);
    this.#input = input;
    this.#target = target;
    this.#context = context;
    this.#control = new ChannelControl(control);
    this.#placed = new PlacedPages(target, blocks, (block) => main[block.index] === true, digests, shared);
    this.#reader = new MultifdReader(
      hasher.region,
      blocks.map(({ block }) => block),
      this,
    );
  }

  take(): Promise<TakeChannelOutput> {
    const { fd, index, news } = this.#input;
    const reader = this.#reader;
    this.#control.take(index);
    const onread: OnReadOpts = {
      buffer: () => reader.buffer.subarray(reader.end, reader.end + reader.room),
      callback: (count) => this.#guarded(() => this.#took(count)),
    };
    // Its own types know `onread` only for connections that are made, though the constructor is where it belongs.
    const options: SocketConstructorOpts & { readonly onread: OnReadOpts } = { fd, allowHalfOpen: true, onread };
    const socket = new Socket(options);
    this.#socket = socket;
    return new Promise((resolve, reject) => {
      socket.once("close", () => {
        const ending = this.#ending ?? { error: new Error("a channel's socket closed by itself") };
        if ("error" in ending) reject(ending.error);
        else resolve(ending.output);
      });
      socket.once("end", () => this.#guarded(() => this.#end(this.#control.whole)));
      // A QEMU that died with something of ours unread: an end like any other.
      socket.on("error", (error: NodeJS.ErrnoException) =>
        this.#guarded(() => {
          if (error.code !== "ECONNRESET") throw systemError(error, "multifd channel", "receiving from QEMU");
          this.#end(this.#control.whole);
        }),
      );
      news.on("message", () => this.#guarded(() => this.#look()));
      socket.resume();
      // What it says may have come before anybody listened.
      this.#guarded(() => this.#look());
    });
  }

  greeting({ channel }: Greeting): void {
    this.#context.send({ kind: "greeting", channel } satisfies ChannelMessage);
  }

  pages(batch: PageBatch): void {
    this.#open = true;
    this.#placed.writePages(batch);
  }

  zeroPages(block: RamBlock, first: number, count: number): void {
    this.#open = true;
    this.#placed.zeroPages(block, first, count);
  }

  sync(): void {
    this.#open = false;
    this.#round++;
    this.#tell();
    this.#context.send({ kind: "sync", round: this.#round } satisfies ChannelMessage);
    this.#control.waitFor(this.#round);
  }

  #took(count: number): void {
    const { written, zerosGiven } = this.#placed;
    this.#reader.took(count);
    const nothingElse = this.#placed.written === written && this.#placed.zerosGiven > zerosGiven;
    if (nothingElse && !this.#reader.inside) this.#control.rest(REST);
    if (this.#reader.received - this.#told.received >= TELL) this.#tell();
    if (this.#control.stopped) this.#settle({ output: this.#output(false) });
  }

  /** Stopped, or the main stream is whole: then everything that belongs to it lies in the socket. */
  #look(): void {
    const { stopped, whole } = this.#control;
    if (stopped) this.#settle({ output: this.#output(false) });
    else if (whole) {
      for (let count = this.#readNow(); count > 0; count = this.#readNow()) this.#reader.took(count);
      this.#end(true);
    }
  }

  /** The channel is at its end, or should be. */
  #end(whole: boolean): void {
    this.#reader.closed();
    if (whole && this.#open) {
      throw new FixedramError("stream.multifd-late", "pages came on a multifd channel behind its last SYNC", {
        offset: this.#reader.received,
        hint: "QEMU did not send what was expected of it. Save again with --transport stream.",
      });
    }
    this.#settle({ output: this.#output(!whole) });
  }

  /** Does `what` unless all is over already. False: nothing more is to be read. */
  #guarded(what: () => void): boolean {
    if (this.#ending !== null) return false;
    try {
      what();
    } catch (error) {
      this.#settle({ error });
    }
    return this.#ending === null;
  }

  #settle(ending: Ending): void {
    if (this.#ending !== null) return;
    this.#ending = ending;
    this.#socket?.destroy();
  }

  #output(closed: boolean): TakeChannelOutput {
    this.#tell();
    return { closed, rewritten: this.#placed.rewritten, directBytes: this.#target.directBytes };
  }

  /** Reads what is there already. Bytes; 0: nothing, or the channel was closed. */
  #readNow(): number {
    const { buffer, end, room } = this.#reader;
    try {
      return readSync(this.#input.fd, buffer, end, room, null);
    } catch (error) {
      const { code } = error as NodeJS.ErrnoException;
      if (code === "EAGAIN" || code === "ECONNRESET") return 0;
      throw systemError(error, "multifd channel", "receiving from QEMU");
    }
  }

  #tell(): void {
    const { written, zerosGiven } = this.#placed;
    const now = { received: this.#reader.received, written: written * this.#pageSize, pages: written + zerosGiven };
    const told = this.#told;
    this.#told = now;
    this.#context.send({
      kind: "progress",
      received: now.received - told.received,
      written: now.written - told.written,
      pages: now.pages - told.pages,
    } satisfies ChannelMessage);
  }

  get #pageSize(): number {
    return this.#placed.states[0]?.layout.block.pageSize ?? 4096;
  }
}
