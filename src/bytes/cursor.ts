import { FixedramError } from "../errors.ts";

const HIGH = 2 ** 32;

/** A view on exactly the bytes of `bytes`. */
export function viewOf(bytes: Uint8Array): DataView {
  return new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
}

/** Big-endian u64 as a number; `Infinity` above 2^53 - 1, so that every bounds check refuses it. */
export function getU64(view: DataView, offset: number): number {
  const value = view.getUint32(offset) * HIGH + view.getUint32(offset + 4);
  return value > Number.MAX_SAFE_INTEGER ? Number.POSITIVE_INFINITY : value;
}

/** Writes a safe integer >= 0 as big-endian u64; throws a RangeError for anything else. */
export function setU64(view: DataView, offset: number, value: number): void {
  if (!Number.isSafeInteger(value) || value < 0) throw new RangeError(`${value} is no u64 that can be kept exactly`);
  view.setUint32(offset, Math.floor(value / HIGH));
  view.setUint32(offset + 4, value % HIGH);
}

/**
 * Reads big-endian numbers from bytes that are all there. Errors: `<area>.out-of-bounds` when a read would pass the end,
 * `<area>.number-too-large` for a u64 above 2^53 - 1; their offset is `base` + the place in `bytes`.
 */
export class Cursor {
  readonly bytes: Uint8Array;
  offset: number;
  readonly #view: DataView;
  readonly #area: string;
  readonly #base: number;

  constructor(bytes: Uint8Array, options: { offset?: number; area?: string; base?: number } = {}) {
    this.bytes = bytes;
    this.offset = options.offset ?? 0;
    this.#area = options.area ?? "stream";
    this.#base = options.base ?? 0;
    this.#view = viewOf(bytes);
  }

  /** Bytes left. */
  get remaining(): number {
    return this.bytes.length - this.offset;
  }

  u8(): number {
    return this.#view.getUint8(this.#advance(1));
  }

  u16(): number {
    return this.#view.getUint16(this.#advance(2));
  }

  u32(): number {
    return this.#view.getUint32(this.#advance(4));
  }

  u64(): number {
    const at = this.#advance(8);
    const value = getU64(this.#view, at);
    if (value === Number.POSITIVE_INFINITY) {
      throw new FixedramError(`${this.#area}.number-too-large`, "a number is larger than 2^53 - 1", {
        offset: this.#base + at,
      });
    }
    return value;
  }

  /** The next `length` bytes, not copied. */
  take(length: number): Uint8Array {
    const at = this.#advance(length);
    return this.bytes.subarray(at, at + length);
  }

  #advance(length: number): number {
    const at = this.offset;
    if (!(length >= 0 && length <= this.remaining)) {
      throw new FixedramError(`${this.#area}.out-of-bounds`, "a field reaches past the end of its section", {
        offset: this.#base + at,
        expected: `${length} bytes`,
        found: `${this.remaining} bytes`,
      });
    }
    this.offset = at + length;
    return at;
  }
}

/** Collects big-endian numbers and bytes in one growing buffer. */
export class ByteBuilder {
  #bytes: Uint8Array;
  #view: DataView;
  length = 0;

  constructor(capacity = 256) {
    this.#bytes = new Uint8Array(capacity);
    this.#view = viewOf(this.#bytes);
  }

  u8(value: number): this {
    const at = this.#room(1);
    this.#view.setUint8(at, value);
    return this;
  }

  u16(value: number): this {
    const at = this.#room(2);
    this.#view.setUint16(at, value);
    return this;
  }

  u32(value: number): this {
    const at = this.#room(4);
    this.#view.setUint32(at, value);
    return this;
  }

  u64(value: number): this {
    const at = this.#room(8);
    setU64(this.#view, at, value);
    return this;
  }

  bytes(value: Uint8Array): this {
    const at = this.#room(value.length);
    this.#bytes.set(value, at);
    return this;
  }

  /** A copy of what was written. */
  finish(): Uint8Array {
    return this.#bytes.slice(0, this.length);
  }

  #room(length: number): number {
    const at = this.length;
    if (at + length > this.#bytes.length) {
      const larger = new Uint8Array(Math.max(this.#bytes.length * 2, at + length));
      larger.set(this.#bytes.subarray(0, at));
      this.#bytes = larger;
      this.#view = viewOf(larger);
    }
    this.length = at + length;
    return at;
  }
}
