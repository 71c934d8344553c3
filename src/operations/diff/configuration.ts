import type { Snapshot } from "../../containers/snapshot.ts";
import { capabilitiesOf, targetPageBitsOf, UUID, uuidOf } from "../../stream/configuration.ts";
import type { StreamRecord } from "../../stream/records.ts";

/** A fact of the machine that is not the same; null: that snapshot does not have it. */
export interface ConfigurationDifference {
  readonly field: string;
  readonly a: string | null;
  readonly b: string | null;
}

/**
 * Compares what the streams say of the machine and of the migration, other than the container: machine type, guest UUID, page
 * size, capabilities, further subsections, dirty bitmaps of disks. Names are bytes as latin1.
 */
export function diffConfiguration(a: Snapshot, b: Snapshot): ConfigurationDifference[] {
  const [ofA, ofB] = [factsOf(a), factsOf(b)];
  const fields = new Set([...ofA.keys(), ...ofB.keys()]);
  return [...fields].flatMap((field) => {
    const [left, right] = [ofA.get(field) ?? null, ofB.get(field) ?? null];
    return left === right ? [] : [{ field, a: left, b: right }];
  });
}

function factsOf({ configuration, records }: Snapshot): Map<string, string> {
  const facts = new Map<string, string>([["machine", configuration.machine]]);
  const add = (field: string, value: string | number | null) => {
    if (value !== null && value !== "") facts.set(field, String(value));
  };
  add("uuid", uuidOf(configuration));
  add("target-page-bits", targetPageBitsOf(configuration));
  // How the pages are kept is the container's business.
  const capabilities = capabilitiesOf(configuration).filter((name) => name !== "mapped-ram");
  add("capabilities", capabilities.sort().join(", "));
  const known = [UUID, "configuration/target-page-bits", "configuration/capabilities"];
  for (const { name, version, payload } of configuration.subsections) {
    if (!known.includes(name)) add(name, `version ${version}, ${hex(payload)}`);
  }
  add("dirty-bitmaps", dirtyBitmaps(records));
  return facts;
}

/** The dirty bitmaps' sections, piece by piece. */
function dirtyBitmaps(records: readonly StreamRecord[]): string {
  return records.flatMap((record) => (record.kind === "dirty-bitmap" ? [hex(record.payload)] : [])).join(" ");
}

function hex(bytes: Uint8Array): string {
  return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length).toString("hex");
}
