/** Sends pages of a file on one multifd channel: each packet's pages are read behind its header and go out with it. */
import { writeSync } from "node:fs";
import { FixedramError } from "../../errors.ts";
import { encodePacketHeader, PACKET_PAGE_BYTES, packetHeaderSize, packetPages } from "../../stream/multifd-packet.ts";
import { readFully, type SharedFile } from "../page-reader.ts";
import type { TaskContext } from "../protocol.ts";

/** Numbers of an extent in {@link SendJob.extents}: first page, pages, index of the file, byte offset there. */
export const extentFields = 4;

/** Pages of one block, or the end of a round. One job a channel at a time. */
export interface SendJob {
  /** The connected socket; stays its owner's. Not blocking. */
  readonly socket: number;
  /** Sent before anything else. */
  readonly greeting: Uint8Array | null;
  readonly files: readonly SharedFile[];
  /** Latin1. */
  readonly block: string;
  /** Bytes. */
  readonly pageSize: number;
  readonly extents: Float64Array;
  /** A SYNC follows. */
  readonly sync: boolean;
}

/** Milliseconds of rest when the socket is full, which QEMU empties in about a tenth of one; longer when it is slow. */
const SHORT_REST = 0.05;
const LONG_REST = 0.4;

const sleeper = new Int32Array(new SharedArrayBuffer(4));
let buffer: Uint8Array | null = null;

/** @throws `file.truncated`, `system.io`; `qemu.load-failed` when QEMU closed the channel */
export function run(job: SendJob, context: TaskContext): void {
  const { stackTraceLimit } = Error;
  // A full socket is told by an error, again and again: without a stack it costs little.
  Error.stackTraceLimit = 0;
  try {
    if (job.greeting !== null) send(job.socket, job.greeting, context);
    new Packets(job, context).send();
  } finally {
    Error.stackTraceLimit = stackTraceLimit;
  }
}

class Packets {
  readonly #job: SendJob;
  readonly #context: TaskContext;
  readonly #header: Uint8Array;
  readonly #buffer: Uint8Array;
  /** Page indices of the packet that is being filled. */
  #pages: number[] = [];
  readonly #headerSize: number;
  readonly #most: number;

  constructor(job: SendJob, context: TaskContext) {
    const headerSize = packetHeaderSize(job.pageSize);
    if (buffer === null || buffer.length < headerSize + PACKET_PAGE_BYTES)
      buffer = new Uint8Array(headerSize + PACKET_PAGE_BYTES);
    this.#job = job;
    this.#context = context;
    this.#headerSize = headerSize;
    this.#most = packetPages(job.pageSize);
    this.#buffer = buffer;
    this.#header = buffer.subarray(0, headerSize);
  }

  send(): void {
    const { extents, files, pageSize, sync } = this.#job;
    for (let at = 0; at < extents.length && !this.#context.cancelled(); at += extentFields) {
      const first = extents[at] ?? 0;
      const pages = extents[at + 1] ?? 0;
      const file = files[extents[at + 2] ?? 0];
      if (file === undefined) throw new RangeError("no such file");
      for (let done = 0; done < pages; ) {
        const some = Math.min(pages - done, this.#most - this.#pages.length);
        const place = this.#headerSize + this.#pages.length * pageSize;
        readFully(
          file,
          this.#buffer.subarray(place, place + some * pageSize),
          (extents[at + 3] ?? 0) + done * pageSize,
        );
        for (let i = 0; i < some; i++) this.#pages.push(first + done + i);
        done += some;
        if (this.#pages.length === this.#most) this.#packet(false);
      }
    }
    if (this.#pages.length > 0) this.#packet(false);
    if (sync) this.#packet(true);
  }

  #packet(sync: boolean): void {
    const { block, pageSize, socket } = this.#job;
    const pages = this.#pages;
    this.#pages = [];
    encodePacketHeader(this.#header, { number: 0, sync, block, pages, zeroPages: [] }, pageSize);
    send(socket, this.#buffer.subarray(0, this.#headerSize + pages.length * pageSize), this.#context);
  }
}

/** Sends all of it, unless nobody wants it any more. */
function send(socket: number, bytes: Uint8Array, context: TaskContext): void {
  let rest = SHORT_REST;
  for (let done = 0; done < bytes.length && !context.cancelled(); ) {
    try {
      done += writeSync(socket, bytes, done, bytes.length - done);
      rest = SHORT_REST;
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== "EAGAIN") {
        // QEMU's own reason is looked for by whoever waits for it.
        throw new FixedramError(
          "qemu.load-failed",
          "QEMU closed a multifd channel while the snapshot was sent",
          {},
          { cause: error },
        );
      }
      Atomics.wait(sleeper, 0, 0, rest);
      rest = Math.min(rest * 2, LONG_REST);
    }
  }
}
