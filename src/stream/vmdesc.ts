import { Cursor } from "../bytes/cursor.ts";
import { latin1, printable } from "../bytes/text.ts";
import { FixedramError } from "../errors.ts";
import { SectionType } from "./constants.ts";
import type { DeviceRecord } from "./records.ts";

/**
 * The JSON at the end of a stream that describes every device section: QEMU's docs/devel/migration, "Stream structure", and
 * docs/format.md for the rule that gives a section's length.
 */
export interface Vmdesc {
  /** Target page size, bytes; QEMU always writes it. */
  readonly page_size?: number | undefined;
  readonly devices: readonly VmdescDevice[];
}

/** Fields of type `tmp` or `vstruct` and of lists have the inner state's entries beside their own, not below `struct`. */
export interface VmdescField extends VmdescState {
  readonly name: string;
  readonly type?: string | undefined;
  /** Bytes; of one element when `array_len` is there. */
  readonly size: number;
  readonly array_len?: number | undefined;
  readonly index?: number | undefined;
  readonly version_id?: number | undefined;
  /** Of struct fields; its sizes are contained in `size`. */
  readonly struct?: VmdescState | undefined;
}

export interface VmdescState {
  readonly vmsd_name?: string | undefined;
  readonly version?: number | undefined;
  readonly fields?: readonly VmdescField[] | undefined;
  readonly subsections?: readonly VmdescState[] | undefined;
}

export interface VmdescDevice extends VmdescState {
  readonly name: string;
  readonly instance_id: number;
}

/** Real ones nest a dozen levels; the bound keeps recursion shallow. */
const MAX_DEPTH = 128;
/** Real ones have some 100 KiB; JSON takes up to 30 times its length in memory. */
export const MAX_VMDESC = 16 * 2 ** 20;

/** Whether brackets outside strings of JSON nest at most `limit` deep, so that no recursion over the parsed value runs away. */
export function isShallow(bytes: Uint8Array, limit: number): boolean {
  let depth = 0;
  let inString = false;
  for (let i = 0; i < bytes.length; i++) {
    const byte = bytes[i];
    if (inString) {
      if (byte === 0x5c) i++;
      else if (byte === 0x22) inString = false;
    } else if (byte === 0x22) inString = true;
    else if (byte === 0x7b || byte === 0x5b) {
      depth++;
      if (depth > limit) return false;
    } else if (byte === 0x7d || byte === 0x5d) depth--;
  }
  return true;
}

/**
 * Parses a vmdesc's bytes. Names come out as latin1, as everywhere else. Error: `stream.vmdesc-invalid`.
 *
 * @param offset where the JSON stands, for the error
 */
export function parseVmdesc(bytes: Uint8Array, offset = 0): Vmdesc {
  if (bytes.length > MAX_VMDESC) throw invalid(offset, `it is longer than ${MAX_VMDESC} bytes`);
  if (!isShallow(bytes, MAX_DEPTH)) throw invalid(offset, `it nests deeper than ${MAX_DEPTH} levels`);
  let json: unknown;
  try {
    json = JSON.parse(latin1(bytes));
  } catch (error) {
    throw invalid(offset, error instanceof Error ? error.message : String(error));
  }
  const wrong = wrongWith(json);
  if (wrong !== null) throw invalid(offset, wrong);
  return json as Vmdesc;
}

type Entries = Readonly<Record<string, unknown>>;

/**
 * Looks at what was parsed before anybody relies on its types. By hand, because every command that opens a snapshot waits for it: a schema
 * takes 15 ms for a real one in a process that has just begun.
 *
 * @returns where something is wrong, and what (`devices.0.name: no text`); null: nothing is
 */
function wrongWith(value: unknown): string | null {
  if (!isRecord(value)) return "the whole: no object";
  if (value.devices === undefined) return "devices: missing";
  return length(value, "page_size") ?? each(value, "devices", wrongWithDevice);
}

function wrongWithDevice(device: Entries): string | null {
  if (typeof device.name !== "string") return "name: no text";
  if (!Number.isSafeInteger(device.instance_id)) return "instance_id: no whole number";
  return wrongWithState(device);
}

function wrongWithState(state: Entries): string | null {
  return (
    text(state, "vmsd_name") ??
    number(state, "version") ??
    each(state, "fields", wrongWithField) ??
    each(state, "subsections", wrongWithState)
  );
}

function wrongWithField(field: Entries): string | null {
  if (typeof field.name !== "string") return "name: no text";
  if (field.size === undefined) return "size: missing";
  const wrong =
    text(field, "type") ??
    length(field, "size") ??
    length(field, "array_len") ??
    length(field, "index") ??
    number(field, "version_id") ??
    wrongWithState(field);
  const { struct } = field;
  if (wrong !== null || struct === undefined) return wrong;
  if (!isRecord(struct)) return "struct: no object";
  const inside = wrongWithState(struct);
  return inside === null ? null : `struct.${inside}`;
}

function each(entries: Entries, name: string, wrongWithItem: (item: Entries) => string | null): string | null {
  const list = entries[name];
  if (list === undefined) return null;
  if (!Array.isArray(list)) return `${name}: no list`;
  for (let i = 0; i < list.length; i++) {
    const item: unknown = list[i];
    const wrong = isRecord(item) ? wrongWithItem(item) : "no object";
    if (wrong !== null) return `${name}.${i}.${wrong}`;
  }
  return null;
}

function isRecord(value: unknown): value is Entries {
  return value !== null && typeof value === "object" && !Array.isArray(value);
}

function text(entries: Entries, name: string): string | null {
  const value = entries[name];
  return typeof value === "string" || value === undefined ? null : `${name}: no text`;
}

function number(entries: Entries, name: string): string | null {
  const value = entries[name];
  return typeof value === "number" || value === undefined ? null : `${name}: no number`;
}

/** Bytes, or a count. */
function length(entries: Entries, name: string): string | null {
  const value = entries[name];
  const fits = value === undefined || (typeof value === "number" && Number.isSafeInteger(value) && value >= 0);
  return fits ? null : `${name}: no whole number from 0 to 2^53`;
}

function invalid(offset: number, said: string): FixedramError {
  return new FixedramError("stream.vmdesc-invalid", "the device description (vmdesc) can't be read", { offset, said });
}

/**
 * Bytes of a device section's payload: each field size x (array_len or 1), and for each subsection 1 + 1 + name + 4 + body.
 * A struct field's size already holds its own subsections.
 */
export function payloadLength(device: VmdescState): number {
  let length = 0;
  for (const f of device.fields ?? []) length += f.size * (f.array_len ?? 1);
  for (const s of device.subsections ?? []) length += 6 + (s.vmsd_name ?? "").length + payloadLength(s);
  return length;
}

/** Device sections by name and instance, each to be claimed once. */
export class DeviceLengths {
  readonly #lengths = new Map<string, number>();

  constructor(vmdesc: Vmdesc) {
    for (const device of vmdesc.devices) this.#lengths.set(key(device.name, device.instance_id), payloadLength(device));
  }

  /** Payload bytes of this section, or null when the vmdesc has no (further) section of that name and instance. */
  claim(name: string, instance: number): number | null {
    const k = key(name, instance);
    const length = this.#lengths.get(k) ?? null;
    this.#lengths.delete(k);
    return length;
  }

  get unclaimed(): number {
    return this.#lengths.size;
  }
}

/** QEMU's instance is u32 in the stream; JSON may show the top half as negative. */
function key(name: string, instance: number): string {
  return `${instance < 0 ? instance + 2 ** 32 : instance}:${name}`;
}

/**
 * Cuts the device state (the bytes from the first FULL's type byte to the last footer's end) into sections.
 *
 * Payloads are views on `bytes`. Errors: `stream.device-state`, when the bytes and the vmdesc don't agree exactly.
 *
 * @param lengths from the vmdesc, early sections claimed already; or the vmdesc itself
 * @param offset where `bytes` stand in the stream, for errors
 */
export function cutDeviceState(bytes: Uint8Array, lengths: DeviceLengths | Vmdesc, offset = 0): DeviceRecord[] {
  const known = lengths instanceof DeviceLengths ? lengths : new DeviceLengths(lengths);
  const cursor = new Cursor(bytes, { base: offset });
  const sections: DeviceRecord[] = [];
  while (cursor.remaining > 0) {
    const at = offset + cursor.offset;
    if (cursor.u8() !== SectionType.full) throw disagree(at, "no device section begins here");
    const sectionId = cursor.u32();
    const name = latin1(cursor.take(cursor.u8()));
    const instance = cursor.u32();
    const version = cursor.u32();
    const length = known.claim(name, instance);
    if (length === null) throw disagree(at, `the vmdesc does not list "${printable(name)}" instance ${instance}`);
    const payload = cursor.take(length);
    if (cursor.u8() !== SectionType.footer || cursor.u32() !== sectionId) {
      throw disagree(at, `"${printable(name)}" does not end after the ${length} bytes that the vmdesc says`);
    }
    sections.push({ kind: "device", sectionId, name, instance, version, payload, early: false });
  }
  return sections;
}

function disagree(offset: number, said: string): FixedramError {
  return new FixedramError("stream.device-state", "the device state does not agree with its description (vmdesc)", {
    offset,
    said,
  });
}
