/** Bytes whose fields have names, so that a defect is told as the field and what stands there instead. */
import { ByteBuilder } from "../../src/bytes/cursor.ts";
import { fromLatin1 } from "../../src/bytes/text.ts";

export interface Field {
  readonly offset: number;
  readonly size: number;
}

/** Writes what docs/format.md says by hand, not with the writer under test. */
export class Marked {
  readonly #out = new ByteBuilder(4096);
  readonly fields = new Map<string, Field>();

  get length(): number {
    return this.#out.length;
  }

  #mark(name: string | null, size: number): void {
    if (name !== null) this.fields.set(name, { offset: this.#out.length, size });
  }

  u8(name: string | null, value: number): this {
    this.#mark(name, 1);
    this.#out.u8(value);
    return this;
  }

  u16(name: string | null, value: number): this {
    this.#mark(name, 2);
    this.#out.u16(value);
    return this;
  }

  u32(name: string | null, value: number): this {
    this.#mark(name, 4);
    this.#out.u32(value);
    return this;
  }

  u64(name: string | null, value: number): this {
    this.#mark(name, 8);
    this.#out.u64(value);
    return this;
  }

  bytes(name: string | null, value: Uint8Array): this {
    this.#mark(name, value.length);
    this.#out.bytes(value);
    return this;
  }

  text(name: string | null, value: string): this {
    return this.bytes(name, fromLatin1(value));
  }

  /** u8 length and name. */
  name(name: string | null, value: string): this {
    this.u8(name === null ? null : `${name}.length`, value.length);
    return this.text(name, value);
  }

  /** Zeros up to this offset. */
  upTo(offset: number): this {
    return this.bytes(null, new Uint8Array(offset - this.#out.length));
  }

  finish(): Sound {
    return new Sound(this.#out.finish(), this.fields);
  }
}

/** A sound file with named fields, and copies of it that have a defect. */
export class Sound {
  readonly bytes: Uint8Array;
  readonly fields: ReadonlyMap<string, Field>;

  constructor(bytes: Uint8Array, fields: ReadonlyMap<string, Field>) {
    this.bytes = bytes;
    this.fields = fields;
  }

  field(name: string): Field {
    const field = this.fields.get(name);
    if (field === undefined) throw new RangeError(`no field ${name}`);
    return field;
  }

  at(name: string): number {
    return this.field(name).offset;
  }

  /** A copy in which a field holds another number (u64s above 2^53 as bigint) or other bytes of the same length. */
  with(name: string, value: number | bigint | Uint8Array | string): Sound {
    const { offset, size } = this.field(name);
    const bytes = this.bytes.slice();
    if (typeof value === "string") bytes.set(fromLatin1(value), offset);
    else if (value instanceof Uint8Array) bytes.set(value, offset);
    else {
      let rest = BigInt(value);
      for (let i = size - 1; i >= 0; i--, rest >>= 8n) bytes[offset + i] = Number(rest & 0xffn);
    }
    return new Sound(bytes, this.fields);
  }

  cut(length: number): Uint8Array {
    return this.bytes.slice(0, length);
  }

  /** A copy in which bytes [start, end) are replaced by `by`, of any length. */
  splice(start: number, end: number, by: Uint8Array): Uint8Array {
    const out = new Uint8Array(this.bytes.length - (end - start) + by.length);
    out.set(this.bytes.subarray(0, start));
    out.set(by, start);
    out.set(this.bytes.subarray(end), start + by.length);
    return out;
  }
}
