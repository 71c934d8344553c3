import type { Socket } from "node:net";
import type { RamBlock } from "../../pages/block.ts";
import type { PageMap } from "../../pages/map.ts";
import type { ExtentVisitor } from "../../pages/plan.ts";
import type { Store } from "../../pages/store.ts";
import { descriptorOf as descriptorOfSocket } from "../../qemu/migration-socket.ts";
import { FileStore } from "../../storage/file-store.ts";
import { encodeGreeting } from "../../stream/multifd-packet.ts";
import type { SharedFile } from "../../workers/page-reader.ts";
import type { WorkerPool } from "../../workers/pool.ts";
import { extentFields, type SendJob } from "../../workers/tasks/send-channel.ts";

/** Pages that a thread sends before it is told of more: 16 MiB, so that channels end at about the same time. */
const jobPages = 4096;
/** Extents of a job at most. */
const jobExtents = 2048;

/**
 * Sends pages on several multifd channels at once, a thread each; which page goes on which does not matter to QEMU.
 *
 *     round()      a SYNC on every channel, the greeting before the first: to be called before each mark of the stream
 *     visitor()    takes pages, between two rounds
 */
export class ChannelSender {
  readonly #map: PageMap;
  readonly #files: readonly SharedFile[];
  readonly #sockets: readonly number[];
  readonly #uuid: Uint8Array;
  readonly #pool: WorkerPool;
  readonly #onPages: (bytes: number) => void;
  readonly #cancel = new AbortController();
  /** Settles when the channel has nothing to do. */
  readonly #busy: Promise<void>[];
  #failure: unknown = null;
  #sent = 0;
  #greeted = false;
  #block = -1;
  #extents: number[] = [];
  #held = 0;

  /**
   * @param pool of as many threads as there are channels; it stays the caller's
   * @param sockets connected to QEMU; they stay the caller's
   * @param uuid the destination's, 16 bytes: QEMU refuses another one
   * @param onPages bytes of pages sent so far
   */
  constructor(
    pool: WorkerPool,
    map: PageMap,
    files: readonly SharedFile[],
    sockets: readonly Socket[],
    uuid: Uint8Array,
    onPages: (bytes: number) => void,
  ) {
    this.#map = map;
    this.#files = files;
    this.#sockets = sockets.map((socket) => {
      const fd = descriptorOfSocket(socket);
      if (fd === null) throw new Error("a connection without a descriptor");
      return fd;
    });
    this.#uuid = uuid;
    this.#onPages = onPages;
    this.#pool = pool;
    this.#busy = sockets.map(() => Promise.resolve());
  }

  /** @param zero sends zero pages, in the stream */
  visitor(zero: ExtentVisitor["zero"]): ExtentVisitor {
    return {
      zero,
      data: async (block, first, pages, store, offset) => {
        if (block !== this.#block) await this.#flush();
        await this.#add(block, first, pages, store, offset);
      },
    };
  }

  /** Everything so far, and a SYNC on every channel. @throws what a channel failed with */
  async round(): Promise<void> {
    await this.#flush();
    await Promise.all(this.#sockets.map((_socket, channel) => this.#run(channel, this.#job(channel, [], true), 0)));
    await Promise.all(this.#busy);
    this.#greeted = true;
    if (this.#failure !== null) throw this.#failure;
  }

  /** Stops the threads. The sockets may be closed then. */
  async close(): Promise<void> {
    this.#cancel.abort(new Error("the channels are closed"));
    await Promise.all(this.#busy);
  }

  async #add(block: number, first: number, pages: number, store: number, offset: number): Promise<void> {
    const pageSize = this.#map.blocks[block]?.pageSize ?? 4096;
    this.#block = block;
    for (let done = 0; done < pages; ) {
      const some = Math.min(pages - done, jobPages - this.#held);
      this.#extents.push(first + done, some, store, offset + done * pageSize);
      this.#held += some;
      done += some;
      if (this.#held >= jobPages || this.#extents.length >= jobExtents * extentFields) await this.#flush();
    }
  }

  /** Gives what is held to the channel that is free first. Undefined: there is nothing. */
  #flush(): Promise<void> | undefined {
    if (this.#held === 0) return undefined;
    const extents = this.#extents;
    const held = this.#held;
    this.#extents = [];
    this.#held = 0;
    return this.#free().then((channel) => {
      if (this.#failure !== null) throw this.#failure;
      void this.#run(channel, this.#job(channel, extents, false), held);
    });
  }

  #free(): Promise<number> {
    return Promise.race(this.#busy.map((done, channel) => done.then(() => channel)));
  }

  #run(channel: number, job: SendJob, pages: number): Promise<void> {
    const before = this.#busy[channel] ?? Promise.resolve();
    const done = before
      .then(() =>
        this.#pool.run("send-channel", job, {
          signal: this.#cancel.signal,
          transfer: [job.extents.buffer as ArrayBuffer],
        }),
      )
      .then(
        () => {
          this.#sent += pages * job.pageSize;
          if (pages > 0) this.#onPages(this.#sent);
        },
        (error: unknown) => {
          this.#failure ??= error;
        },
      );
    this.#busy[channel] = done;
    return done;
  }

  #job(channel: number, extents: readonly number[], sync: boolean): SendJob {
    const block = this.#map.blocks[this.#block] ?? this.#map.blocks[0];
    return {
      socket: this.#sockets[channel] ?? -1,
      greeting: this.#greeted ? null : encodeGreeting({ channel, uuid: this.#uuid }),
      files: this.#files,
      block: extents.length === 0 ? "" : (block?.name ?? ""),
      pageSize: block?.pageSize ?? 4096,
      extents: Float64Array.from(extents),
      sync,
    };
  }
}

/** The files behind a map, for threads; null: there is one that threads cannot read. */
export function sharedFiles(stores: readonly Store[]): readonly SharedFile[] | null {
  const files = stores.flatMap((store) => (store instanceof FileStore ? [{ fd: store.fd, name: store.name }] : []));
  return files.length === stores.length ? files : null;
}

/** Blocks whose names fit into a packet. */
export function namesFit(blocks: readonly RamBlock[]): boolean {
  return blocks.every(({ name }) => name.length < 256);
}
