import { PageHasher } from "../../bytes/page-digest.ts";
import type { WritableFile } from "../../fixedram/writer.ts";
import type { TargetFile } from "../../storage/target-file.ts";
import { pieceBytes } from "../../workers/page-reader.ts";
import type { WorkerPool } from "../../workers/pool.ts";
import { WriteQueue } from "../../workers/write-queue.ts";

/** Pieces that may be on their way at once. */
const pieces = 8;
/** Parts of the memory for what lies elsewhere, and is copied. */
const sideParts = 4;
const sideBytes = 64 * 1024;
const sideStart = pieces * pieceBytes;
/** Milliseconds that a part is waited for at a stretch, while nothing else of this thread goes on. */
const stretch = 20;

/** Parts of the memory that are used in turn; each again only when what was put from it has been written. */
class Parts {
  readonly #marks: Float64Array;
  #current = 0;

  constructor(count: number) {
    this.#marks = new Float64Array(count);
  }

  /** Whether the next one may be used; waits a moment for it. */
  ready(queue: WriteQueue): boolean {
    return queue.reached(this.#marks[(this.#current + 1) % this.#marks.length] ?? 0, stretch);
  }

  /** The next one. */
  turn(queue: WriteQueue): number {
    this.#marks[this.#current] = queue.mark;
    this.#current = (this.#current + 1) % this.#marks.length;
    queue.waitFor(this.#marks[this.#current] ?? 0);
    return this.#current;
  }
}

/**
 * A file that is written by a thread of its own, beside the one that reads, compares and hashes: what is written from
 * {@link BehindFile.piece} is only noted, everything else that is small is copied, and the thread writes it in that order. After
 * {@link BehindFile.settle} the file is written directly.
 *
 * A failed write is thrown by one of the calls after it, or by `settle`.
 */
export class BehindFile implements WritableFile {
  /** Its region holds the pieces: what lies there is hashed without being copied. */
  readonly hasher = new PageHasher(sideStart + sideParts * sideBytes, true);
  readonly #file: TargetFile;
  readonly #queue = new WriteQueue();
  readonly #pieces = new Parts(pieces);
  readonly #side = new Parts(sideParts);
  readonly #done: Promise<void>;
  #sideAt = sideStart;
  #sideEnd = sideStart + sideBytes;
  #settled = false;

  private constructor(file: TargetFile, target: NonNullable<TargetFile["shared"]>, pool: WorkerPool) {
    this.#file = file;
    const memory = this.hasher.region.buffer as SharedArrayBuffer;
    this.#done = pool.run("write-behind", { file: target, memory, queue: this.#queue.memory });
    this.#done.catch(() => {});
  }

  /** @param pool has a thread to spare until this is settled or aborted. @returns null where another thread cannot write the file */
  static over(file: TargetFile, pool: WorkerPool): BehindFile | null {
    const { shared } = file;
    return shared === null ? null : new BehindFile(file, shared, pool);
  }

  get shared(): TargetFile["shared"] {
    return this.#file.shared;
  }

  /** Whether {@link BehindFile.piece} will not wait; looked for a moment. @throws what a write failed with */
  ready(): boolean {
    return this.#settled || this.#pieces.ready(this.#queue);
  }

  /** Memory of {@link pieceBytes} to read into; what was written from the one before may be on its way still. */
  piece(): Uint8Array {
    const at = this.#pieces.turn(this.#queue) * pieceBytes;
    return this.hasher.region.subarray(at, at + pieceBytes);
  }

  write(bytes: Uint8Array, position: number): void {
    this.writeStrided(bytes, 0, 1, bytes.length, bytes.length, position);
  }

  writev(views: readonly Uint8Array[], position: number): void {
    let at = position;
    for (const view of views) {
      this.write(view, at);
      at += view.length;
    }
  }

  writeStrided(chunk: Uint8Array, offset: number, count: number, size: number, stride: number, position: number): void {
    const { region } = this.hasher;
    // While the thread starts there is nothing in the queue that this could overtake.
    if (this.#settled || !this.#queue.begun) this.#direct(chunk, offset, count, size, stride, position);
    else if (chunk.buffer === region.buffer) {
      this.#queue.put(chunk.byteOffset + offset, stride, size, count, position);
      this.#file.wrote(count * size);
    } else if (size > sideBytes) {
      this.#drain();
      this.#direct(chunk, offset, count, size, stride, position);
    } else {
      for (let i = 0; i < count; i++) this.#copied(chunk, offset + i * stride, size, position + i * size);
      this.#file.wrote(count * size);
    }
  }

  readBack(target: Uint8Array, position: number): number {
    this.#drain();
    return this.#file.readBack(target, position);
  }

  truncate(size: number): void {
    this.#drain();
    this.#file.truncate(size);
  }

  /** What was given to {@link writeStrided} is counted already. */
  wrote(): void {}

  /** Waits until everything is written; the thread is free again then. @throws what a write failed with */
  async settle(): Promise<void> {
    if (this.#settled) return;
    this.#queue.end();
    await this.#done;
    this.#settled = true;
  }

  async commit(): Promise<void> {
    await this.settle();
    await this.#file.commit();
  }

  /** When this returns nobody writes any more; what was put is left unwritten. */
  async stop(): Promise<void> {
    this.#queue.stop();
    await this.#done.catch(() => {});
  }

  async abort(): Promise<void> {
    await this.stop();
    await this.#file.abort();
  }

  #drain(): void {
    if (!this.#settled) this.#queue.waitFor(this.#queue.mark);
  }

  #direct(chunk: Uint8Array, offset: number, count: number, size: number, stride: number, position: number): void {
    if (stride === size) this.#file.write(chunk.subarray(offset, offset + count * size), position);
    else {
      const views: Uint8Array[] = [];
      for (let i = 0; i < count; i++) views.push(chunk.subarray(offset + i * stride, offset + i * stride + size));
      this.#file.writev(views, position);
    }
  }

  #copied(chunk: Uint8Array, offset: number, size: number, position: number): void {
    if (this.#sideAt + size > this.#sideEnd) {
      this.#sideAt = sideStart + this.#side.turn(this.#queue) * sideBytes;
      this.#sideEnd = this.#sideAt + sideBytes;
    }
    const { region } = this.hasher;
    region.set(chunk.subarray(offset, offset + size), this.#sideAt);
    this.#queue.put(this.#sideAt, size, size, 1, position);
    this.#sideAt += size;
  }
}
