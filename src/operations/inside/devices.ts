import { latin1 } from "../../bytes/text.ts";
import type { DeviceTree } from "../../devices/tree.ts";
import { type ErrorJson, FixedramError } from "../../errors.ts";
import type { DeviceRecord } from "../../stream/records.ts";
import { type InsideOptions, withInside } from "./with.ts";

export interface DevicesOptions extends Omit<InsideOptions, "map"> {
  /** Only sections of this name: the whole (`0000:00:02.0/vga`) or its last part (`vga`). */
  readonly name?: string;
  readonly instance?: number;
}

/** A device section: its tree, or why there is none. */
export interface DeviceSection {
  readonly name: string;
  readonly instance: number;
  readonly version: number;
  readonly sectionId: number;
  /** Bytes of payload. */
  readonly size: number;
  /** Stands before the RAM in the stream. */
  readonly early: boolean;
  readonly tree: DeviceTree | null;
  readonly problem: ErrorJson | null;
}

export interface DevicesResult {
  readonly path: string;
  readonly machine: string;
  /** In the stream's order. */
  readonly devices: readonly DeviceSection[];
}

/**
 * Decodes device sections by the snapshot's vmdesc. A section that its description does not fit has no tree, and its `problem`
 * says why; the others are not affected.
 *
 * @throws `usage.no-such-device`, `stream.no-vmdesc`, those of {@link openSnapshot}
 */
export async function devices(options: DevicesOptions): Promise<DevicesResult> {
  const { file, name, instance } = options;
  return await withInside(options, async ({ sections, snapshot }) => {
    const wanted = sections.records.filter(
      (record) => isNamed(record.name, name) && (instance === undefined || record.instance === instance),
    );
    if (wanted.length === 0 && (name !== undefined || instance !== undefined)) {
      throw new FixedramError("usage.no-such-device", "the snapshot has no such device section", {
        found: `${name ?? "any name"}${instance === undefined ? "" : `, instance ${instance}`}`,
        hint: "fixedram info lists the sections.",
      });
    }
    const decode = (record: DeviceRecord): DeviceSection => {
      const { sectionId, payload, early } = record;
      const known = { name: record.name, instance: record.instance, version: record.version, sectionId, early };
      try {
        return { ...known, size: payload.length, tree: sections.decode(record), problem: null };
      } catch (error) {
        if (!(error instanceof FixedramError)) throw error;
        return { ...known, size: payload.length, tree: null, problem: error.toJSON() };
      }
    };
    return { path: file, machine: snapshot.configuration.machine, devices: wanted.map(decode) };
  });
}

/** Names are bytes; what was typed is UTF-8. */
function isNamed(name: string, wanted: string | undefined): boolean {
  if (wanted === undefined) return true;
  const bytes = latin1(new TextEncoder().encode(wanted));
  return name === bytes || name.endsWith(`/${bytes}`);
}
