/** A snapshot in memory: blocks, devices, and nothing behind them. */
import type { Snapshot } from "../../../src/containers/snapshot.ts";
import { asSnapshot, type Made } from "../../devices/sample.ts";
import { mapOf } from "../../machine/sample.ts";

export function snapshotOf(
  machine: string,
  blocks: readonly (readonly [name: string, bytes: Uint8Array])[],
  sections: readonly Made[] = [],
): Snapshot {
  return {
    container: "mapped-ram",
    name: "memory",
    sizes: { apparent: 0, allocated: null },
    configuration: { kind: "configuration", machine, subsections: [] },
    ramStart: { kind: "ram-start", sectionId: 2, instance: 0, version: 4, total: 0, blocks: [] },
    records: [],
    ...asSnapshot(...sections),
    streamBase: 0,
    streamEnd: 0,
    map: mapOf(blocks),
    libvirt: null,
    seal: { state: "none", seal: null } as unknown as Snapshot["seal"],
    meta: null,
    bigEndian: false,
    loadable: null,
    async close() {},
    async [Symbol.asyncDispose]() {},
  };
}
