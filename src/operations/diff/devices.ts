import type { Snapshot } from "../../containers/snapshot.ts";
import { compareDevices, type FieldDifference } from "../../devices/compare.ts";
import { DeviceSections } from "../../devices/sections.ts";
import { FixedramError } from "../../errors.ts";
import type { DeviceRecord } from "../../stream/records.ts";

/** A device whose state is not the same. */
export interface DeviceDifference {
  /** Name's bytes as latin1. */
  readonly name: string;
  readonly instance: number;
  readonly kind: "changed" | "added" | "gone";
  /** Section version and payload bytes; null where the snapshot has no such device. */
  readonly a: DeviceVersion | null;
  readonly b: DeviceVersion | null;
  /** Payload bytes that differ; what only one has counts whole. */
  readonly bytes: number;
  /** The fields that differ; null where one of the two can't be decoded by its vmdesc, or is not there. */
  readonly fields: readonly FieldDifference[] | null;
}

export interface DeviceVersion {
  readonly version: number;
  readonly size: number;
}

export interface DeviceTotals {
  readonly a: number;
  readonly b: number;
  readonly same: number;
  readonly different: readonly DeviceDifference[];
}

interface Section extends DeviceVersion {
  readonly name: string;
  readonly instance: number;
  readonly payload: Uint8Array;
  /** Null: a run of bytes that no description cuts. */
  readonly record: DeviceRecord | null;
}

/** Compares the device sections, matched by name and instance; in A's order, then those that only B has. */
export function diffDevices(a: Snapshot, b: Snapshot): DeviceTotals {
  const [ofA, ofB] = [sectionsOf(a), sectionsOf(b)];
  const [describedA, describedB] = [descriptionsOf(a), descriptionsOf(b)];
  const different: DeviceDifference[] = [];
  for (const [key, left] of ofA) {
    const right = ofB.get(key);
    const { name, instance } = left;
    if (right === undefined) {
      different.push({ name, instance, kind: "gone", a: versionOf(left), b: null, bytes: left.size, fields: null });
      continue;
    }
    const bytes = differentBytes(left.payload, right.payload);
    if (bytes === 0 && left.version === right.version) continue;
    const fields = fieldsOf(describedA, left.record, describedB, right.record);
    different.push({ name, instance, kind: "changed", a: versionOf(left), b: versionOf(right), bytes, fields });
  }
  for (const [key, right] of ofB) {
    if (ofA.has(key)) continue;
    const { name, instance } = right;
    different.push({ name, instance, kind: "added", a: null, b: versionOf(right), bytes: right.size, fields: null });
  }
  const common = [...ofA.keys()].filter((key) => ofB.has(key)).length;
  const changed = different.filter(({ kind }) => kind === "changed").length;
  return { a: ofA.size, b: ofB.size, same: common - changed, different };
}

function sectionsOf({ devices, records }: Snapshot): Map<string, Section> {
  const sections = new Map<string, Section>();
  const add = (section: Omit<Section, "size">) => {
    const { name, instance, payload } = section;
    // Nobody forbids two sections of one name and instance; each counts.
    let key = `${instance}:${name}`;
    while (sections.has(key)) key = `${key}:again`;
    sections.set(key, { ...section, size: payload.length });
  };
  for (const record of devices) {
    const { name, instance, version, payload } = record;
    add({ name, instance, version, payload, record });
  }
  for (const record of records) {
    if (record.kind !== "device-state-uncut") continue;
    const name = "device state without a description";
    add({ name, instance: 0, version: 0, payload: record.bytes, record: null });
  }
  return sections;
}

/** Null where the snapshot has no vmdesc, or one that can't be read: bytes are compared then. */
function descriptionsOf(snapshot: Snapshot): DeviceSections | null {
  return unlessUnreadable(() => new DeviceSections(snapshot));
}

function fieldsOf(
  a: DeviceSections | null,
  recordA: DeviceRecord | null,
  b: DeviceSections | null,
  recordB: DeviceRecord | null,
): readonly FieldDifference[] | null {
  if (a === null || b === null || recordA === null || recordB === null) return null;
  return unlessUnreadable(() => compareDevices(a.decode(recordA), b.decode(recordB)));
}

function unlessUnreadable<T>(make: () => T): T | null {
  try {
    return make();
  } catch (error) {
    if (error instanceof FixedramError) return null;
    throw error;
  }
}

function versionOf({ version, size }: Section): DeviceVersion {
  return { version, size };
}

function differentBytes(a: Uint8Array, b: Uint8Array): number {
  const common = Math.min(a.length, b.length);
  let count = Math.max(a.length, b.length) - common;
  for (let i = 0; i < common; i++) if (a[i] !== b[i]) count++;
  return count;
}
