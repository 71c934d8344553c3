import { viewOf } from "../bytes/cursor.ts";
import { latin1, printable } from "../bytes/text.ts";
import { FixedramError } from "../errors.ts";
import { SectionType } from "../stream/constants.ts";
import type { DeviceRecord } from "../stream/records.ts";
import type { VmdescField, VmdescState } from "../stream/vmdesc.ts";
import { type DeviceField, type DeviceState, type DeviceTree, type DeviceValue, isArray } from "./tree.ts";

/** Values and subsections of one file in all: what hostile descriptions may have us make and hold. */
export const mostValues = 4_000_000;

/** What may still be made; decoding takes from it, also when it fails. */
export interface ValueBudget {
  left: number;
  /** As it was for the whole file. */
  readonly most: number;
}

/**
 * Decodes a device section by its description: QEMU's migration/vmstate.c, vmstate_save_state_v, which writes both.
 *
 * @param budget shared by the sections of a file
 * @throws `stream.device-fields` when the description does not fit the bytes: no field is given then
 */
export function decodeDevice(
  record: DeviceRecord,
  description: VmdescState,
  budget: ValueBudget = { left: mostValues, most: mostValues },
): DeviceTree {
  const { name, instance, version, payload } = record;
  const decoder = new Decoder(payload, name, budget);
  const state = decoder.state(description, name);
  if (decoder.at !== payload.length) {
    throw decoder.wrong(`${payload.length - decoder.at} bytes at the end belong to no field`);
  }
  return { name, instance, version, state };
}

/** QEMU's vmstate_info_* by width; all are written big-endian, `int32 le` (less or equal) too. */
const integers: ReadonlyMap<string, { readonly size: number; readonly signed: boolean }> = new Map([
  ["int8", { size: 1, signed: true }],
  ["int16", { size: 2, signed: true }],
  ["int32", { size: 4, signed: true }],
  ["int32 equal", { size: 4, signed: true }],
  ["int32 le", { size: 4, signed: true }],
  ["int64", { size: 8, signed: true }],
  ["int64 equal", { size: 8, signed: false }],
  ["uint8", { size: 1, signed: false }],
  ["uint8 equal", { size: 1, signed: false }],
  ["uint16", { size: 2, signed: false }],
  ["uint16 equal", { size: 2, signed: false }],
  ["uint32", { size: 4, signed: false }],
  ["uint32 equal", { size: 4, signed: false }],
  ["uint64", { size: 8, signed: false }],
  // Expiry in ns of its clock; all bits set: not armed.
  ["timer", { size: 8, signed: true }],
]);

class Decoder {
  at = 0;
  readonly #bytes: Uint8Array;
  readonly #view: DataView;
  readonly #device: string;
  readonly #budget: ValueBudget;

  constructor(bytes: Uint8Array, device: string, budget: ValueBudget) {
    this.#bytes = bytes;
    this.#view = viewOf(bytes);
    this.#device = device;
    this.#budget = budget;
  }

  wrong(said: string): FixedramError {
    return new FixedramError("stream.device-fields", "a device section does not hold what its description says", {
      found: `"${printable(this.#device)}" at byte ${this.at} of its payload`,
      said,
      hint: "The file is damaged, or its vmdesc is not its own. fixedram verify tells which bytes can be relied on.",
    });
  }

  state(description: VmdescState, otherwise: string): DeviceState {
    const offset = this.at;
    const fields = this.#fields(description.fields ?? []);
    const subsections = (description.subsections ?? []).map((each) => this.#subsection(each));
    return {
      name: description.vmsd_name ?? otherwise,
      version: description.version ?? null,
      offset,
      size: this.at - offset,
      fields,
      subsections,
    };
  }

  /** Byte 05, length and name, u32 version, then the body: QEMU's vmstate_subsection_save. */
  #subsection(description: VmdescState): DeviceState {
    this.#count(1);
    const name = description.vmsd_name ?? "";
    const head = this.#take(2);
    if (head[0] !== SectionType.subsection) throw this.wrong(`no subsection "${printable(name)}" begins here`);
    const found = latin1(this.#take(head[1] ?? 0));
    if (found !== name) {
      throw this.wrong(`subsection "${printable(found)}" stands where "${printable(name)}" is described`);
    }
    const version = viewOf(this.#take(4)).getUint32(0);
    return { ...this.state(description, name), version };
  }

  /** Neighbours of one name are one array: QEMU describes its elements one by one where they may differ. */
  #fields(descriptions: readonly VmdescField[]): DeviceField[] {
    const fields: DeviceField[] = [];
    for (let i = 0; i < descriptions.length; ) {
      const first = descriptions[i] as VmdescField;
      let end = i + 1;
      while (descriptions[end]?.name === first.name) end++;
      fields.push(end === i + 1 ? this.#field(first) : this.#split(descriptions.slice(i, end)));
      i = end;
    }
    return fields;
  }

  #split(parts: readonly VmdescField[]): DeviceField {
    const offset = this.at;
    const values: DeviceValue[] = [];
    let type = "";
    for (const part of parts) {
      const { value } = this.#field(part);
      // One by one: an array may have more elements than a call takes arguments.
      if (isArray(value)) for (const each of value) values.push(each);
      else values.push(value);
      // A null pointer among structs: the structs' type says more.
      if (type === "" || type === "nullptr") type = part.type ?? "unknown";
    }
    return { name: parts[0]?.name ?? "", type: `${type}[]`, offset, size: this.at - offset, value: values };
  }

  #field(description: VmdescField): DeviceField {
    const { name, size, array_len: count } = description;
    const type = description.type ?? "unknown";
    const offset = this.at;
    if (count === undefined) return { name, type, offset, size, value: this.#value(description, type) };
    if (size > 0 && count > (this.#bytes.length - offset) / size) throw this.#short(count * size);
    this.#count(count);
    const values: DeviceValue[] = [];
    for (let i = 0; i < count; i++) values.push(this.#value(description, type));
    return { name, type: `${type}[]`, offset, size: this.at - offset, value: values };
  }

  #value(description: VmdescField, type: string): DeviceValue {
    this.#count(1);
    const { size } = description;
    const known = integers.get(type);
    if (known !== undefined) {
      if (known.size !== size) throw this.wrong(`"${printable(description.name)}", ${type}, has ${size} bytes`);
      return this.#integer(size, known.signed);
    }
    if (type === "bool" && size === 1) return this.#take(1)[0] !== 0;
    if (type === "nullptr" && size === 1) {
      if (this.#take(1)[0] !== 0x30) throw this.wrong(`"${printable(description.name)}" is no null pointer`);
      return null;
    }
    const inner = description.struct ?? (description.fields === undefined ? undefined : description);
    if (inner === undefined) return this.#take(size);
    return description.struct === undefined ? this.#inline(description, type) : this.#struct(inner, description);
  }

  #struct(inner: VmdescState, { name, size }: VmdescField): DeviceState {
    const begin = this.at;
    if (size > this.#bytes.length - begin) throw this.#short(size);
    const state = this.state(inner, name);
    if (this.at - begin !== size) {
      throw this.wrong(`"${printable(name)}" has ${this.at - begin} bytes in its fields and ${size} in all`);
    }
    return state;
  }

  /**
   * `tmp` and `vstruct` hold their fields and nothing else. A list (`qtailq`: a 1 before each element, a 0 at the end) is
   * described by its last element alone; it stays bytes unless elements like that one fill it exactly.
   */
  #inline(description: VmdescField, type: string): DeviceValue {
    const { size } = description;
    const begin = this.at;
    if (type === "tmp" || type === "vstruct") return this.#struct(description, description);
    const list = type === "qtailq" ? this.#list(description) : null;
    if (list !== null) return list;
    this.at = begin;
    return this.#take(size);
  }

  #list(description: VmdescField): readonly DeviceState[] | null {
    const end = this.at + description.size;
    if (end > this.#bytes.length) throw this.#short(description.size);
    const elements: DeviceState[] = [];
    try {
      while (this.at < end - 1 && this.#bytes[this.at] === 1) {
        this.at++;
        const before = this.at;
        elements.push(this.state(description, description.name));
        if (this.at === before) return null;
      }
    } catch (error) {
      if (error instanceof FixedramError && error.code === "stream.device-fields") return null;
      throw error;
    }
    if (this.at !== end - 1 || this.#bytes[this.at] !== 0) return null;
    this.at = end;
    return elements;
  }

  #integer(size: number, signed: boolean): number | bigint {
    if (size > this.#bytes.length - this.at) throw this.#short(size);
    const view = this.#view;
    const at = this.at;
    this.at += size;
    switch (size) {
      case 1:
        return signed ? view.getInt8(at) : view.getUint8(at);
      case 2:
        return signed ? view.getInt16(at) : view.getUint16(at);
      case 4:
        return signed ? view.getInt32(at) : view.getUint32(at);
      default:
        return signed ? view.getBigInt64(at) : view.getBigUint64(at);
    }
  }

  #take(size: number): Uint8Array {
    if (size > this.#bytes.length - this.at) throw this.#short(size);
    this.at += size;
    return this.#bytes.subarray(this.at - size, this.at);
  }

  #short(size: number): FixedramError {
    return this.wrong(`${size} bytes are described, ${this.#bytes.length - this.at} are left`);
  }

  #count(values: number): void {
    // What is refused takes nothing from the sections that follow.
    if (values > this.#budget.left) {
      throw this.wrong(`the file's device sections describe more than ${this.#budget.most} values`);
    }
    this.#budget.left -= values;
  }
}
