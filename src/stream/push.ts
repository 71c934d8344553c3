import { viewOf } from "../bytes/cursor.ts";
import { type ErrorDetails, FixedramError } from "../errors.ts";

/** Where an item that straddles chunks begins to be gathered, bytes; it grows. */
const carryBytes = 1024;

/**
 * One step of the parser: looks at bytes [off, end) of `buf`, at least {@link PushCore.need} of them.
 *
 * Returns how many bytes it consumed, having set the next step and need; or 0, having raised `need` or changed `step`.
 */
export type Step = (buf: Uint8Array, view: DataView, off: number, end: number) => number;

/**
 * Cuts chunks of any size into what a step asks for. Whatever lies whole in a chunk is parsed in place; only an item that
 * straddles chunks is assembled in the one carry buffer, which grows with what has arrived, never with what was announced.
 */
export class PushCore {
  /** Absolute offset of the first byte of the item that the step looks at. */
  at: number;
  step: Step;
  need: number;
  complete = false;
  /** Set by a step: {@link PushCore.push} returns behind what that step consumes. The next push clears it. */
  held = false;
  /** Absolute offset of byte 0 of the buffer that the step was given last. */
  origin: number;
  /** Called before the bytes that were handed to steps become invalid. */
  readonly #flush: () => void;
  #jump = -1;
  #carry = new Uint8Array(carryBytes);
  #carryView = viewOf(this.#carry);
  #carried = 0;
  #failure: unknown = null;

  constructor(base: number, step: Step, need: number, flush: () => void) {
    this.at = base;
    this.origin = base;
    this.step = step;
    this.need = need;
    this.#flush = flush;
  }

  /** Absolute offset of the next byte wanted; once complete, of the stream's end, whatever a step had to look at behind it. */
  get position(): number {
    return this.complete ? this.at : this.at + this.#carried;
  }

  next(step: Step, need: number): void {
    this.step = step;
    this.need = need;
  }

  /** Whether the step has `length` bytes of its item; if not, it returns 0 and is called again when it has. */
  has(length: number): boolean {
    if (this.need >= length) return true;
    this.need = length;
    return false;
  }

  /** After the bytes that the step consumes, go on at this absolute offset. */
  jumpTo(position: number): void {
    this.#jump = position;
  }

  /** An error at `delta` bytes into the item. */
  error(code: string, message: string, details: ErrorDetails = {}, delta = 0): FixedramError {
    return new FixedramError(code, message, { offset: this.at + delta, ...details });
  }

  push(chunk: Uint8Array): number {
    if (this.#failure !== null) throw this.#failure;
    this.held = false;
    try {
      const consumed = this.#run(chunk);
      this.#flush();
      return consumed;
    } catch (error) {
      this.#failure = error;
      this.#flush();
      throw error;
    }
  }

  #run(chunk: Uint8Array): number {
    const view = viewOf(chunk);
    const end = chunk.length;
    let pos = 0;
    while (!this.complete && !this.held) {
      let consumed: number;
      if (this.#carried === 0) {
        if (pos === end) break;
        if (end - pos < this.need) {
          this.#keep(chunk.subarray(pos, end));
          return end;
        }
        this.origin = this.at - pos;
        consumed = this.step(chunk, view, pos, end);
        pos += consumed;
      } else {
        if (this.#carried < this.need) {
          const taken = Math.min(this.need - this.#carried, end - pos);
          this.#keep(chunk.subarray(pos, pos + taken));
          pos += taken;
          if (this.#carried < this.need) break;
        }
        this.origin = this.at;
        consumed = this.step(this.#carry, this.#carryView, 0, this.#carried);
        this.#flush();
        this.#drop(consumed);
      }
      this.at += consumed;
      if (this.#jump >= 0) {
        const here = this.at;
        this.at = this.#jump;
        this.#jump = -1;
        if (this.at !== here) break;
      }
    }
    return pos;
  }

  #keep(bytes: Uint8Array): void {
    const length = this.#carried + bytes.length;
    if (length > this.#carry.length) {
      const larger = new Uint8Array(Math.max(length, this.#carry.length * 2));
      larger.set(this.#carry.subarray(0, this.#carried));
      this.#carry = larger;
      this.#carryView = viewOf(larger);
    }
    this.#carry.set(bytes, this.#carried);
    this.#carried = length;
  }

  #drop(length: number): void {
    if (length === 0) return;
    this.#carry.copyWithin(0, length, this.#carried);
    this.#carried -= length;
    if (this.#carried === 0 && this.#carry.length > 2 ** 20) {
      this.#carry = new Uint8Array(carryBytes);
      this.#carryView = viewOf(this.#carry);
    }
  }
}
