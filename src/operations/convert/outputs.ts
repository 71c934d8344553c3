import { inflateSync } from "node:zlib";
import { PageHasher } from "../../bytes/page-digest.ts";
import type { Snapshot } from "../../containers/snapshot.ts";
import { FixedramError } from "../../errors.ts";
import { FixedRamAssembly } from "../../fixedram/assembly.ts";
import { isMainRam } from "../../fixedram/layout.ts";
import type { SnapshotMeta } from "../../fixedram/meta.ts";
import { FixedRamWriter } from "../../fixedram/writer.ts";
import { writeStream } from "../../legacy/writer.ts";
import { LibvirtWriter } from "../../libvirt/writer.ts";
import type { RamBlock } from "../../pages/block.ts";
import { copyBufferBytes, copyPages } from "../../pages/copy.ts";
import type { PageBatch } from "../../pages/sink.ts";
import { takeZeros } from "../../pages/zeros.ts";
import { RawWriter } from "../../raw/writer.ts";
import { TargetFile } from "../../storage/target-file.ts";
import type { TargetFolder } from "../../storage/target-folder.ts";
import { EncodedPages } from "../../stream/encoded.ts";
import type { PageEncoding, StreamEvents } from "../../stream/events.ts";
import type { ConfigurationRecord, StreamRecord } from "../../stream/records.ts";
import { StreamWriter } from "../../stream/writer.ts";
import type { WorkerPool } from "../../workers/pool.ts";
import { BehindFile } from "../copy/behind-file.ts";
import { copyBehind, copyInParallel } from "../copy/placed.ts";
import type { ConvertInput } from "./input.ts";
import type { PieceSource } from "./pass.ts";

export interface Sizes {
  readonly apparent: number;
  readonly allocated: number;
}

export interface PageCounts {
  readonly total: number;
  readonly data: number;
  readonly zero: number;
}

/** What is copied when the pages are at hand. */
export type CopySource = Pick<ConvertInput, "digests" | "verifyPages"> & { readonly snapshot: Snapshot };

export interface CopyProgress {
  /** Bytes of pages to be copied. */
  readonly total: number;
  readonly onPages: (bytes: number) => void;
  readonly onVerified: (bytes: number, total: number) => void;
  /** Threads that have been started for this. */
  readonly pool?: WorkerPool | null;
  readonly signal?: AbortSignal;
}

/** Where a snapshot goes: from a page map with {@link copy}, or event by event. */
export interface Output {
  readonly events: StreamEvents;
  /** Memory for the input to be read into. */
  readonly buffer: Uint8Array;
  /** The same for a file; null: `buffer`. */
  readonly pieces: PieceSource | null;
  copy(source: CopySource, progress: CopyProgress): Promise<void>;
  /** Waits until all events so far have been written. */
  drained(): Promise<void>;
  /** Everything has been given: threads that write are waited for, and not needed any more. */
  settle(): Promise<void>;
  /** Null when they are not known: a stream that was passed on. */
  counts(): PageCounts | null;
  /** Writes what is still missing and brings all to disk, under its name. @returns null for a pipe */
  finish(meta: SnapshotMeta): Promise<Sizes | null>;
  /** The snapshot's id, once finished; null for what has no seal. */
  readonly id: string | null;
  /** Leaves nothing half-made behind. */
  abort(): Promise<void>;
}

const inflate = (data: Uint8Array, most: number): Uint8Array => inflateSync(data, { maxOutputLength: most });

/** What a libvirt image begins with; null for a plain fixed-ram file. */
export interface ImageHead {
  readonly xml: Uint8Array | null;
  readonly cookie: Uint8Array | null;
  readonly wasRunning: boolean;
}

/** Pages of a stream that are stored and yet zero go to the writer as what they are. */
class ZerosTaken extends FixedRamAssembly {
  override pages(batch: PageBatch): void {
    takeZeros(batch, (block, page) => this.writer.zeroPages(block, page, 1));
    if (batch.count > 0) super.pages(batch);
  }
}

/** A fixed-ram file, or a sparse libvirt image. */
export class FixedRamOutput implements Output {
  readonly events: FixedRamAssembly;
  readonly buffer: Uint8Array;
  readonly pieces: BehindFile | null;
  readonly #file: TargetFile;

  /** @param pool whose one thread writes the file; null: nobody does but the caller's */
  constructor(file: TargetFile, head: ImageHead | null, pool: WorkerPool | null) {
    const behind = pool === null ? null : BehindFile.over(file, pool);
    const hasher = behind?.hasher ?? new PageHasher(copyBufferBytes);
    this.buffer = behind === null ? hasher.region : new Uint8Array(copyBufferBytes);
    this.pieces = behind;
    this.#file = file;
    this.events = new ZerosTaken(
      (configuration, ramStart) =>
        head === null
          ? new FixedRamWriter(behind ?? file, configuration, ramStart, { hasher })
          : new LibvirtWriter(behind ?? file, configuration, ramStart, { ...head, hasher }),
      inflate,
    );
  }

  async copy(source: CopySource, progress: CopyProgress): Promise<void> {
    const { snapshot, digests, verifyPages } = source;
    for (const record of snapshot.records) this.events.record(record);
    const { writer } = this.events;
    if (this.pieces !== null && (await copyBehind(snapshot, writer, this.pieces, { digests, ...progress }))) return;
    await verifyPages(progress.onVerified, progress.signal);
    await copyPages(snapshot.map, writer, { ...progress, buffer: this.buffer });
  }

  async settle(): Promise<void> {
    await this.pieces?.settle();
  }

  async drained(): Promise<void> {}

  counts(): PageCounts | null {
    return this.events.started?.countPages() ?? null;
  }

  get id(): string | null {
    return this.events.started?.id ?? null;
  }

  async finish(meta: SnapshotMeta): Promise<Sizes> {
    this.events.end().complete(meta);
    const sizes = this.#file.sizes();
    await this.#file.commit();
    return sizes;
  }

  abort(): Promise<void> {
    return (this.pieces ?? this.#file).abort();
  }
}

/** Takes a stream's bytes in order. */
export interface ByteSink {
  /** @param bytes valid until the promise settles */
  write(bytes: Uint8Array): Promise<void>;
}

/** A migration stream, into a file or to whoever takes it. */
export class StreamOutput implements Output {
  readonly events: StreamEvents;
  readonly buffer = new Uint8Array(copyBufferBytes);
  readonly pieces = null;
  readonly id = null;
  readonly #writer: StreamWriter;
  readonly #file: TargetFile | null;
  readonly #out: (bytes: Uint8Array) => Promise<void>;
  #pending: Promise<void> = Promise.resolve();
  #hasRam = false;
  #counts: PageCounts | null = null;

  constructor(to: TargetFile | ByteSink) {
    this.#file = to instanceof TargetFile ? to : null;
    this.#out = to instanceof TargetFile ? inOrder(to) : (bytes) => to.write(bytes);
    const writer = new StreamWriter((bytes) => {
      const copy = bytes.slice();
      this.#pending = this.#pending.then(() => this.#out(copy));
      this.#pending.catch(() => {});
    });
    this.#writer = writer;
    this.events = {
      record: (record) => {
        if (record.kind === "ram-start") this.#hasRam = true;
        writer.record(record);
      },
      pages: (batch) => writer.pages(batch),
      zeroPages: (block, first, count) => writer.zeroPages(block, first, count),
      encoded: (block, page, kind, data) => writer.encoded(block, page, kind, data),
    };
  }

  /** All pages are compared with their digests before the first goes out: what has gone through a pipe cannot be taken back. */
  async copy({ snapshot, verifyPages }: CopySource, { onPages, onVerified, signal }: CopyProgress): Promise<void> {
    await verifyPages(onVerified, signal);
    let data = 0;
    const counted = (bytes: number) => {
      data = bytes;
      onPages(bytes);
    };
    this.#hasRam = true;
    await writeStream(snapshot, this.#out, {
      zeroWanted: (block) => !isMainRam(block),
      onPages: counted,
      ...(signal === undefined ? {} : { signal }),
    });
    const { blocks } = snapshot.map;
    const total = blocks.reduce((sum, { pages }) => sum + pages, 0);
    data /= blocks[0]?.pageSize ?? 1;
    this.#counts = { total, data, zero: total - data };
  }

  async drained(): Promise<void> {
    await this.#pending;
  }

  async settle(): Promise<void> {}

  counts(): PageCounts | null {
    return this.#counts;
  }

  async finish(): Promise<Sizes | null> {
    if (!this.#hasRam) throw noRam();
    this.#writer.end();
    await this.#pending;
    const file = this.#file;
    if (file === null) return null;
    const sizes = file.sizes();
    await file.commit();
    return sizes;
  }

  async abort(): Promise<void> {
    await this.#file?.abort();
  }
}

/** Writes pieces one after the other, and lets signals and progress in between. */
function inOrder(file: TargetFile): (bytes: Uint8Array) => Promise<void> {
  let at = 0;
  return async (bytes) => {
    file.write(bytes, at);
    at += bytes.length;
    await new Promise((resolve) => setImmediate(resolve));
  };
}

/** A folder with a file for each block. */
export class RawOutput implements Output {
  readonly events: RawEvents;
  readonly buffer = new Uint8Array(copyBufferBytes);
  readonly pieces = null;
  readonly id = null;
  readonly #folder: TargetFolder;

  constructor(folder: TargetFolder) {
    this.#folder = folder;
    this.events = new RawEvents(folder);
  }

  /** By threads where they pay; else here, after the pages have been compared with their digests. */
  async copy({ snapshot, digests, verifyPages }: CopySource, progress: CopyProgress): Promise<void> {
    const { pool = null, onVerified, signal } = progress;
    for (const record of snapshot.records) this.events.record(record);
    const { writer } = this.events;
    if (await copyInParallel(snapshot, writer, { ...progress, digests, pool })) return;
    await verifyPages(onVerified, signal);
    await copyPages(snapshot.map, writer, { ...progress, buffer: this.buffer });
  }

  async settle(): Promise<void> {}

  async drained(): Promise<void> {}

  counts(): PageCounts | null {
    return this.events.started?.countPages() ?? null;
  }

  async finish(meta: SnapshotMeta): Promise<Sizes> {
    this.events.writer.complete(meta);
    await this.#folder.commit();
    return this.#folder.sizes();
  }

  abort(): Promise<void> {
    return this.#folder.abort();
  }
}

/** Keeps a stream's pages and nothing else. */
class RawEvents implements StreamEvents {
  started: RawWriter | null = null;
  readonly #folder: TargetFolder;
  #configuration: ConfigurationRecord | null = null;
  #encoded: EncodedPages | null = null;

  constructor(folder: TargetFolder) {
    this.#folder = folder;
  }

  /** @throws `stream.no-ram` */
  get writer(): RawWriter {
    if (this.started === null) throw noRam();
    return this.started;
  }

  record(record: StreamRecord): void {
    if (record.kind === "configuration") this.#configuration = record;
    if (record.kind !== "ram-start" || this.#configuration === null) return;
    this.started = new RawWriter(this.#folder, this.#configuration, record);
  }

  pages(batch: PageBatch): void {
    takeZeros(batch, (block, page) => this.writer.zeroPages(block, page, 1));
    if (batch.count > 0) this.writer.writePages(batch);
  }

  zeroPages(block: RamBlock, firstPage: number, count: number): void {
    this.writer.zeroPages(block, firstPage, count);
  }

  encoded(block: RamBlock, page: number, kind: PageEncoding, data: Uint8Array): void {
    this.#encoded ??= new EncodedPages(this.writer, inflate);
    this.#encoded.put(block, page, kind, data);
  }
}

function noRam(): FixedramError {
  return new FixedramError("stream.no-ram", "the stream ends before its RAM section");
}
