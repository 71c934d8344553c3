import { writeSync } from "node:fs";
import { PageBitmap } from "../../bytes/bitmap.ts";
import { sameBytes } from "../../bytes/numbers.ts";
import { digestBytes, type PageHasher } from "../../bytes/page-digest.ts";
import { FixedramError, systemError } from "../../errors.ts";
import { nodeBytes, nodePages } from "../../fixedram/digest-table.ts";
import { NodeHasher } from "../../fixedram/nodes.ts";
import { PageReader, pieceBytes, type SharedFile, threadHasher } from "../page-reader.ts";
import type { TaskContext } from "../protocol.ts";

/** Numbers of a run in {@link CopyJob.runs}: first page (from the job's first), pages, file, offset, bytes from page to page. */
export const runFields = 5;

/** Whole nodes of one block, to be brought from wherever their pages are to fixed places. Offsets are bytes. */
export interface CopyJob {
  readonly sources: readonly SharedFile[];
  readonly target: SharedFile;
  readonly pageSize: number;
  /** Pages of the job: 512 a node, the block's last node may have fewer. */
  readonly pages: number;
  /** {@link runFields} numbers for each run of data, in page order. */
  readonly runs: Float64Array;
  /** Where in the target the job's first page goes. */
  readonly pagesOffset: number;
  /** Where in the target the digest of the job's first page goes; null: none are written. */
  readonly tableOffset: number | null;
  /** Zero pages have digests too. */
  readonly zerosPresent: boolean;
  /** 32 bytes a node: what the source's seal says; null: the source has none. */
  readonly expected: Uint8Array | null;
}

export interface CopyResult {
  /** A bit for each page: its bytes are in the target. Other pages are zero. */
  readonly content: Uint8Array;
  /** The first node, from the job's first, that is not as the source's seal says; -1: none. Nothing behind it was copied. */
  readonly damaged: number;
}

/** Where pages are read to, and how they get to the target from there. */
export interface CopyMemory {
  readonly hasher: PageHasher;
  /** False: there will be no part for a while yet, and whoever can do something else meanwhile does. Default: always true. */
  ready?(): boolean;
  /** A part of the hasher's region to read {@link pieceBytes} into; waited for where there is none. */
  piece(): Uint8Array;
  /** @param bytes of that part, or others */
  write(bytes: Uint8Array, position: number): void;
}

/** Reads, compares with the seal it had, hashes and writes pages; zero pages are left out. */
export function run(job: CopyJob, context: Pick<TaskContext, "cancelled">): CopyResult {
  const steps = copySteps(job, ownMemory(job), context.cancelled);
  for (;;) {
    const { done, value } = steps.next();
    if (done === true) return value;
  }
}

/** The same, which yields while the memory is not ready. */
export function* copySteps(
  job: CopyJob,
  memory: CopyMemory,
  cancelled: () => boolean = () => false,
): Generator<void, CopyResult> {
  const copier = new NodeCopier(job, memory);
  const nodes = Math.ceil(job.pages / nodePages);
  for (let node = 0; node < nodes && !cancelled(); node++) {
    if (!(yield* copier.node(node))) return { content: copier.content.bytes, damaged: node };
  }
  copier.writeTable();
  return { content: copier.content.bytes, damaged: -1 };
}

/** This thread's own, and writing at once. */
function ownMemory({ target }: CopyJob): CopyMemory {
  const hasher = threadHasher();
  return { hasher, piece: () => hasher.region, write: (bytes, position) => writeFully(target, bytes, position) };
}

class NodeCopier {
  readonly content: PageBitmap;
  readonly #job: CopyJob;
  /** Pages that the source has, zero ones too. */
  readonly #source: PageBitmap;
  readonly #table: Uint8Array;
  readonly #memory: CopyMemory;
  readonly #hasher: PageHasher;
  readonly #reader: PageReader;
  readonly #nodes = new NodeHasher();
  readonly #most: number;
  readonly #hashed: boolean;
  /** The run that is next, and how many of its pages are done. */
  #run = 0;
  #done = 0;

  constructor(job: CopyJob, memory: CopyMemory) {
    this.#job = job;
    this.#memory = memory;
    this.#hasher = memory.hasher;
    this.content = new PageBitmap(job.pages);
    this.#source = new PageBitmap(job.pages);
    this.#table = new Uint8Array(job.pages * digestBytes);
    this.#reader = new PageReader(this.#hasher.region, job.pageSize);
    this.#most = Math.floor(pieceBytes / job.pageSize);
    this.#hashed = job.tableOffset !== null || job.expected !== null;
  }

  /** Returns false when the node is not as the source's seal says. */
  *node(node: number): Generator<void, boolean> {
    const { runs, pages, expected } = this.#job;
    const end = Math.min((node + 1) * nodePages, pages);
    for (;;) {
      const at = this.#run * runFields;
      if (at >= runs.length) break;
      const first = (runs[at] ?? 0) + this.#done;
      if (first >= end) break;
      const left = (runs[at + 1] ?? 0) - this.#done;
      const count = Math.min(left, end - first, this.#most);
      while (this.#memory.ready?.() === false) yield;
      this.#piece(at, first, count);
      if (count === left) {
        this.#run++;
        this.#done = 0;
      } else this.#done += count;
    }
    if (expected === null) return true;
    const wanted = expected.subarray(node * 32, node * 32 + 32);
    if (this.#source.nextSet(node * nodePages, end) === end) return wanted.every((byte) => byte === 0);
    return sameBytes(this.#nodes.hash(this.#source, node, this.#table.subarray(node * nodeBytes)), wanted);
  }

  /** Writes the digests, but leaves out nodes that have none: they stay holes. */
  writeTable(): void {
    const { tableOffset, zerosPresent, pages, pageSize } = this.#job;
    if (tableOffset === null) return;
    if (zerosPresent) {
      const zero = this.#hasher.zeroDigest(pageSize);
      for (let page = this.content.nextClear(0); page < pages; page = this.content.nextClear(page + 1))
        this.#table.set(zero, page * digestBytes);
    }
    const some = (node: number) =>
      zerosPresent ||
      this.content.nextSet(node * nodePages, Math.min((node + 1) * nodePages, pages)) <
        Math.min((node + 1) * nodePages, pages);
    const nodes = Math.ceil(pages / nodePages);
    for (let node = 0; node < nodes; ) {
      if (!some(node)) {
        node++;
        continue;
      }
      let stop = node + 1;
      while (stop < nodes && some(stop)) stop++;
      this.#memory.write(this.#table.subarray(node * nodeBytes, stop * nodeBytes), tableOffset + node * nodeBytes);
      node = stop;
    }
  }

  #piece(at: number, first: number, count: number): void {
    const { runs, sources, pageSize } = this.#job;
    const source = sources[runs[at + 2] ?? 0];
    if (source === undefined) throw new RangeError("no such source");
    const stride = runs[at + 4] ?? pageSize;
    const piece = this.#memory.piece();
    this.#reader.into(piece);
    this.#reader.read(source, (runs[at + 3] ?? 0) + this.#done * stride, stride, count);
    this.#source.setRange(first, count);
    if (this.#hashed) this.#hasher.hash(piece, 0, count, pageSize, pageSize, this.#table, first * digestBytes);
    this.#write(piece, first, count);
  }

  /** Writes the pages of a piece that are not zero. */
  #write(piece: Uint8Array, first: number, count: number): void {
    const { pagesOffset, pageSize } = this.#job;
    const zero = (page: number) => this.#hasher.isZero(piece.byteOffset + page * pageSize, pageSize);
    for (let from = 0; from < count; ) {
      if (zero(from)) {
        from++;
        continue;
      }
      let to = from + 1;
      while (to < count && !zero(to)) to++;
      this.#memory.write(piece.subarray(from * pageSize, to * pageSize), pagesOffset + (first + from) * pageSize);
      this.content.setRange(first + from, to - from);
      from = to;
    }
  }
}

/** @throws `system.disk-full`, `system.io` */
function writeFully({ fd, name }: SharedFile, bytes: Uint8Array, position: number): void {
  let done = 0;
  try {
    while (done < bytes.length) {
      const count = writeSync(fd, bytes, done, bytes.length - done, position + done);
      if (count <= 0)
        throw new FixedramError("system.io", "the system wrote nothing and named no error", { path: name });
      done += count;
    }
  } catch (error) {
    throw systemError(error, name, `writing at byte ${position + done}`);
  }
}
