/**
 * What one thread has ready in shared memory, for another to write: in the order in which it was put there, so that whoever puts
 * may count on it. (A system lets one thread at a time write to a file; the others would wait, spinning.)
 *
 *     word 0   entries put, modulo 2^30         word 2   0 go on, 1 no more will come, 2 stop at once, 3 a write failed
 *     word 1   entries written, modulo 2^30     word 3   bytes of the failure, JSON, which stands in `failure`
 *     word 4   1: the thread that writes has begun
 */
import { FixedramError } from "../errors.ts";
import { type packError, unpackError } from "./protocol.ts";

const PUT = 0;
const WRITTEN = 1;
const STATE = 2;
const FAILURE = 3;
const BEGUN = 4;

const ending = 1;
const stopped = 2;
const failed = 3;

const entryFields = 5;
const mostEntries = 4096;
const turn = 2 ** 30;
const failureBytes = 8192;
/** Milliseconds without any write after which the other thread is taken for dead: a disk that hangs gets so long. */
const patience = 600_000;
/** Milliseconds that are waited at a stretch. */
const stretch = 1000;

/** Goes to the other thread as it is. */
export interface QueueMemory {
  readonly words: SharedArrayBuffer;
  readonly entries: SharedArrayBuffer;
  readonly failure: SharedArrayBuffer;
}

/** Pages, or other pieces of equal size, that go one behind the other to a place of a file. All numbers are bytes but `count`. */
export interface QueuedWrite {
  /** Of the first piece in the shared memory, and from one piece to the next. */
  offset: number;
  stride: number;
  size: number;
  count: number;
  position: number;
}

class Queue {
  readonly memory: QueueMemory;
  protected readonly words: Int32Array;
  protected readonly entries: Float64Array;

  constructor(memory: QueueMemory) {
    this.memory = memory;
    this.words = new Int32Array(memory.words);
    this.entries = new Float64Array(memory.entries);
  }

  /** Entries from word `from` to word `to`. */
  protected between(from: number, to: number): number {
    return (to - from + turn) % turn;
  }
}

/** The end of the thread that has something to write. */
export class WriteQueue extends Queue {
  readonly #patience: number;
  /** Entries put so far. */
  #put = 0;
  #written = 0;
  /** Since when nothing has been written that is waited for, milliseconds; null: nothing is waited for. */
  #silentSince: number | null = null;

  /** @param silence milliseconds without a write after which the other thread is given up */
  constructor(silence = patience) {
    super({
      words: new SharedArrayBuffer(20),
      entries: new SharedArrayBuffer(mostEntries * entryFields * 8),
      failure: new SharedArrayBuffer(failureBytes),
    });
    this.#patience = silence;
  }

  /** What {@link WriteQueue.waitFor} takes: everything that was put so far. */
  get mark(): number {
    return this.#put;
  }

  /** False while the other thread is still starting: nothing is in the queue then, and whoever has something may write it at once. */
  get begun(): boolean {
    return Atomics.load(this.words, BEGUN) === 1;
  }

  /** Waits where the queue is full. @throws what the other thread failed with */
  put(offset: number, stride: number, size: number, count: number, position: number): void {
    this.waitFor(this.#put - mostEntries + 1);
    const { entries, words } = this;
    const at = (this.#put % mostEntries) * entryFields;
    entries[at] = offset;
    entries[at + 1] = stride;
    entries[at + 2] = size;
    entries[at + 3] = count;
    entries[at + 4] = position;
    this.#put++;
    Atomics.store(words, PUT, this.#put % turn);
    Atomics.notify(words, PUT);
  }

  /** Holds this thread until all that was put before `mark` has been written. @throws what the other thread failed with */
  waitFor(mark: number): void {
    // At a stretch no longer than a failure may go unheard that came just before.
    while (!this.reached(mark, Math.min(this.#patience, stretch)));
  }

  /**
   * Whether all that was put before `mark` has been written, or is after a single wait of at most `most` milliseconds.
   *
   * @throws what the other thread failed with
   */
  reached(mark: number, most: number): boolean {
    if (this.#seen(mark)) return true;
    const since = this.#silentSince ?? performance.now();
    this.#silentSince = since;
    Atomics.wait(this.words, WRITTEN, this.#written % turn, most);
    if (this.#seen(mark)) return true;
    if (this.#silentSince === since && performance.now() - since >= this.#patience) throw silent(this.#patience);
    return false;
  }

  #seen(mark: number): boolean {
    this.#check();
    const more = this.between(this.#written % turn, Atomics.load(this.words, WRITTEN));
    this.#written += more;
    const reached = this.#written >= mark;
    if (reached) this.#silentSince = null;
    else if (more > 0) this.#silentSince = performance.now();
    return reached;
  }

  /** No more will come. */
  end(): void {
    Atomics.compareExchange(this.words, STATE, 0, ending);
    Atomics.notify(this.words, PUT);
  }

  /** What is not written yet is left. */
  stop(): void {
    Atomics.store(this.words, STATE, stopped);
    Atomics.notify(this.words, PUT);
  }

  #check(): void {
    if (Atomics.load(this.words, STATE) !== failed) return;
    const bytes = new Uint8Array(this.memory.failure, 0, Atomics.load(this.words, FAILURE)).slice();
    throw unpackError(JSON.parse(new TextDecoder().decode(bytes)) as ReturnType<typeof packError>);
  }
}

/** The end of the thread that writes. */
export class QueueReader extends Queue {
  readonly #entry: QueuedWrite = { offset: 0, stride: 0, size: 0, count: 0, position: 0 };
  #taken = 0;

  /** From now on what is to be written is put here. */
  begin(): void {
    Atomics.store(this.words, BEGUN, 1);
  }

  /** The next thing to write, valid until the call after; null: there is none, and will be none. */
  next(): QueuedWrite | null {
    const { entries, words } = this;
    for (;;) {
      const state = Atomics.load(words, STATE);
      const put = Atomics.load(words, PUT);
      if (state === stopped) return null;
      if (put !== this.#taken % turn) break;
      if (state === ending) return null;
      Atomics.wait(words, PUT, put, 1000);
    }
    const at = (this.#taken % mostEntries) * entryFields;
    const entry = this.#entry;
    entry.offset = entries[at] ?? 0;
    entry.stride = entries[at + 1] ?? 0;
    entry.size = entries[at + 2] ?? 0;
    entry.count = entries[at + 3] ?? 0;
    entry.position = entries[at + 4] ?? 0;
    return entry;
  }

  /** What {@link QueueReader.next} gave has been written. */
  done(): void {
    this.#taken++;
    Atomics.store(this.words, WRITTEN, this.#taken % turn);
    Atomics.notify(this.words, WRITTEN);
  }

  fail(error: ReturnType<typeof packError>): void {
    const text = new TextEncoder().encode(JSON.stringify(error));
    const bytes =
      text.length <= failureBytes
        ? text
        : new TextEncoder().encode(JSON.stringify({ stack: JSON.stringify(error).slice(0, 1000) }));
    new Uint8Array(this.memory.failure).set(bytes);
    Atomics.store(this.words, FAILURE, bytes.length);
    Atomics.store(this.words, STATE, failed);
    Atomics.notify(this.words, WRITTEN);
  }
}

function silent(milliseconds: number): FixedramError {
  const time = `${Math.round(milliseconds / 1000)} seconds`;
  return new FixedramError("system.worker-died", `the thread that writes the file has done nothing for ${time}`, {
    hint: "The disk may hang, or the machine be out of memory. Nothing was changed; run the command again.",
  });
}
