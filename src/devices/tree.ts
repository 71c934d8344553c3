/**
 * What a device section holds, as its description (vmdesc) tells it: a tree of fields in which every byte of the payload has one owner.
 */

/**
 * A field's value: integers of up to 4 bytes as numbers, of 8 bytes as bigints, signed where their type is; null for a null
 * pointer; bytes where the description says no more than a length (views on the payload); an array's elements in order.
 */
export type DeviceValue = number | bigint | boolean | null | Uint8Array | DeviceState | readonly DeviceValue[];

export interface DeviceField {
  readonly name: string;
  /** QEMU's name for it: `uint32`, `buffer`, `struct`, ... Of an array: of its elements, with `[]` behind. */
  readonly type: string;
  /** Place in the section's payload, and length of all elements; bytes. */
  readonly offset: number;
  readonly size: number;
  readonly value: DeviceValue;
}

/** A struct, a subsection, or the section itself. */
export interface DeviceState {
  /** QEMU's name for the description; the field's name for one without. */
  readonly name: string;
  readonly version: number | null;
  readonly offset: number;
  /** Bytes; a subsection's without the 6 bytes and the name before it. */
  readonly size: number;
  readonly fields: readonly DeviceField[];
  readonly subsections: readonly DeviceState[];
}

/** A device section, decoded. */
export interface DeviceTree {
  readonly name: string;
  readonly instance: number;
  readonly version: number;
  readonly state: DeviceState;
}

export function isState(value: DeviceValue): value is DeviceState {
  return typeof value === "object" && value !== null && "fields" in value;
}

export function isArray(value: DeviceValue): value is readonly DeviceValue[] {
  return Array.isArray(value);
}

/** The field of this name, or null. */
export function fieldOf(state: DeviceState, name: string): DeviceField | null {
  return state.fields.find((field) => field.name === name) ?? null;
}

/** The subsection of this full name (`cpu/pkru`), or null. */
export function subsectionOf(state: DeviceState, name: string): DeviceState | null {
  return state.subsections.find((each) => each.name === name) ?? null;
}
