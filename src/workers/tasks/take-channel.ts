/** Takes one multifd channel of a save: pages from the socket to their places in the file, digests on the way. */
import { readSync } from "node:fs";
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
  /** The connected socket; stays its owner's. Not blocking: a read that would wait must come back. */
  readonly fd: number;
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

/** Bytes between two words on the progress. */
const TELL = 16 * 2 ** 20;

/** Milliseconds of rest when the socket is empty, which QEMU fills in about a tenth of one; and after so many in vain. */
const SHORT_REST = 0.05;
const LONG_REST = 1;
const PATIENCE = 100;

/** @throws `stream.multifd-*`, `stream.unknown-block`, `stream.page-out-of-block`, `system.*` */
export function run(input: TakeChannelInput, context: TaskContext): TakeChannelOutput {
  const target = SharedTarget.open(input.target, input.directIo);
  // An empty socket is told by an error, again and again: without a stack it costs little.
  const { stackTraceLimit } = Error;
  Error.stackTraceLimit = 0;
  try {
    return new Channel(input, target, context).take();
  } finally {
    Error.stackTraceLimit = stackTraceLimit;
    target.close();
  }
}

class Channel implements MultifdEvents {
  readonly #fd: number;
  readonly #target: SharedTarget;
  readonly #context: TaskContext;
  readonly #control: ChannelControl;
  readonly #placed: PlacedPages;
  readonly #reader: MultifdReader;
  #round = 0;
  /** Pages have come since the last SYNC. */
  #open = false;
  #told = { received: 0, written: 0, pages: 0 };

  constructor({ fd, blocks, main, shared, control }: TakeChannelInput, target: SharedTarget, context: TaskContext) {
    const pageSize = blocks[0]?.block.pageSize ?? 4096;
    const hasher = new PageHasher(MultifdReader.bufferBytes(pageSize));
    const digests = new ThroughDigests(hasher, target, blocks);
    this.#fd = fd;
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

  take(): TakeChannelOutput {
    const reader = this.#reader;
    const control = this.#control;
    let empty = 0;
    while (!control.stopped) {
      // Asked before the socket is: what comes after that is too late.
      const { whole } = control;
      const count = this.#read();
      if (count > 0) {
        reader.took(count);
        if (reader.received - this.#told.received >= TELL) this.#tell();
        empty = 0;
        continue;
      }
      if (whole || count === 0) return this.#end(whole);
      control.rest(empty++ < PATIENCE ? SHORT_REST : LONG_REST);
    }
    return this.#output(false);
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

  /** The channel is at its end, or should be. */
  #end(whole: boolean): TakeChannelOutput {
    this.#reader.closed();
    if (whole && this.#open) {
      throw new FixedramError("stream.multifd-late", "Pages came on a multifd channel behind its last SYNC", {
        offset: this.#reader.received,
        hint: "QEMU did not send what was expected of it. Save again with --transport stream.",
      });
    }
    return this.#output(!whole);
  }

  #output(closed: boolean): TakeChannelOutput {
    this.#tell();
    return { closed, rewritten: this.#placed.rewritten, directBytes: this.#target.directBytes };
  }

  /** Bytes read; 0: the channel was closed; -1: there is nothing now. */
  #read(): number {
    const { buffer, end, room } = this.#reader;
    try {
      return readSync(this.#fd, buffer, end, room, null);
    } catch (error) {
      const { code } = error as NodeJS.ErrnoException;
      if (code === "EAGAIN" || code === "EINTR") return -1;
      // A QEMU that died with something of ours unread: an end like any other.
      if (code === "ECONNRESET") return 0;
      throw systemError(error, "multifd channel", "Receiving from QEMU");
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
