import type { Snapshot } from "../../containers/snapshot.ts";
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
}

/** Compares the device sections, matched by name and instance; in A's order, then those that only B has. */
export function diffDevices(a: Snapshot, b: Snapshot): DeviceTotals {
  const [ofA, ofB] = [sectionsOf(a), sectionsOf(b)];
  const different: DeviceDifference[] = [];
  for (const [key, left] of ofA) {
    const right = ofB.get(key);
    const { name, instance } = left;
    if (right === undefined) {
      different.push({ name, instance, kind: "gone", a: versionOf(left), b: null, bytes: left.size });
      continue;
    }
    const bytes = differentBytes(left.payload, right.payload);
    if (bytes === 0 && left.version === right.version) continue;
    different.push({ name, instance, kind: "changed", a: versionOf(left), b: versionOf(right), bytes });
  }
  for (const [key, right] of ofB) {
    if (ofA.has(key)) continue;
    const { name, instance } = right;
    different.push({ name, instance, kind: "added", a: null, b: versionOf(right), bytes: right.size });
  }
  const common = [...ofA.keys()].filter((key) => ofB.has(key)).length;
  const changed = different.filter(({ kind }) => kind === "changed").length;
  return { a: ofA.size, b: ofB.size, same: common - changed, different };
}

function sectionsOf({ devices, records }: Snapshot): Map<string, Section> {
  const sections = new Map<string, Section>();
  const add = ({ name, instance, version, payload }: Omit<Section, "size">) => {
    // Nobody forbids two sections of one name and instance; each counts.
    let key = `${instance}:${name}`;
    while (sections.has(key)) key = `${key}:again`;
    sections.set(key, { name, instance, version, payload, size: payload.length });
  };
  for (const device of devices as readonly DeviceRecord[]) add(device);
  for (const record of records) {
    if (record.kind !== "device-state-uncut") continue;
    add({ name: "device state without a description", instance: 0, version: 0, payload: record.bytes });
  }
  return sections;
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
