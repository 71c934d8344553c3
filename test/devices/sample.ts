/** Device sections with their descriptions, made field by field. */
import { ByteBuilder } from "../../src/bytes/cursor.ts";
import { fromLatin1 } from "../../src/bytes/text.ts";
import type { DeviceRecord } from "../../src/stream/records.ts";
import type { VmdescDevice, VmdescField, VmdescState } from "../../src/stream/vmdesc.ts";

export interface Made {
  readonly record: DeviceRecord;
  readonly description: VmdescDevice;
}

/** Writes fields and their description side by side, as QEMU does. */
export class StateBuilder {
  readonly out: ByteBuilder;
  readonly fields: VmdescField[] = [];
  readonly subsections: VmdescState[] = [];

  constructor(out = new ByteBuilder()) {
    this.out = out;
  }

  uint(name: string, size: 1 | 2 | 4 | 8, value: number | bigint, type = `uint${size * 8}`): this {
    this.#integer(size, value);
    this.fields.push({ name, type, size });
    return this;
  }

  uints(name: string, size: 1 | 2 | 4 | 8, values: readonly (number | bigint)[]): this {
    for (const value of values) this.#integer(size, value);
    this.fields.push({ name, type: `uint${size * 8}`, size, array_len: values.length });
    return this;
  }

  bytes(name: string, type: string, bytes: Uint8Array): this {
    this.out.bytes(bytes);
    this.fields.push({ name, type, size: bytes.length });
    return this;
  }

  struct(name: string, vmsd: string, fill: (inner: StateBuilder) => void, more: Partial<VmdescField> = {}): this {
    const inner = new StateBuilder(this.out);
    const begin = this.out.length;
    fill(inner);
    this.fields.push({ name, type: "struct", struct: inner.state(vmsd), size: this.out.length - begin, ...more });
    return this;
  }

  /** Elements of one shape: described once. */
  structs(name: string, vmsd: string, count: number, fill: (inner: StateBuilder, i: number) => void): this {
    let first: VmdescState = {};
    const begin = this.out.length;
    for (let i = 0; i < count; i++) {
      const inner = new StateBuilder(this.out);
      fill(inner, i);
      if (i === 0) first = inner.state(vmsd);
    }
    const size = (this.out.length - begin) / count;
    this.fields.push({ name, type: "struct", struct: first, size, array_len: count });
    return this;
  }

  subsection(name: string, fill: (inner: StateBuilder) => void, version = 1): this {
    this.out.u8(5).u8(name.length).bytes(fromLatin1(name)).u32(version);
    const inner = new StateBuilder(this.out);
    fill(inner);
    this.subsections.push(inner.state(name));
    return this;
  }

  state(vmsd: string): VmdescState {
    const { fields, subsections } = this;
    return { vmsd_name: vmsd, version: 1, fields, ...(subsections.length === 0 ? {} : { subsections }) };
  }

  #integer(size: number, value: number | bigint): void {
    for (let i = size - 1; i >= 0; i--)
      this.out.u8(Number((BigInt.asUintN(64, BigInt(value)) >> BigInt(8 * i)) & 255n));
  }
}

export function section(name: string, version: number, fill: (builder: StateBuilder) => void, instance = 0): Made {
  const builder = new StateBuilder();
  fill(builder);
  const payload = builder.out.finish();
  return {
    record: { kind: "device", sectionId: 1, name, instance, version, payload, early: false },
    description: { name, instance_id: instance, ...builder.state(name) },
  };
}

/** As a snapshot has them. */
export function asSnapshot(...all: readonly Made[]): { devices: DeviceRecord[]; vmdesc: Uint8Array } {
  const vmdesc = JSON.stringify({ page_size: 4096, devices: all.map(({ description }) => description) });
  return { devices: all.map(({ record }) => record), vmdesc: new TextEncoder().encode(vmdesc) };
}
