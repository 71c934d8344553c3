import { ByteBuilder, Cursor } from "../bytes/cursor.ts";
import { fromLatin1, latin1 } from "../bytes/text.ts";
import { FixedramError } from "../errors.ts";
import type { ConfigurationRecord } from "./records.ts";

export interface Subsection {
  /** Full name, such as `configuration/capabilities`. */
  readonly name: string;
  readonly version: number;
  /** The fields' bytes. */
  readonly payload: Uint8Array;
}

export const CAPABILITIES = "configuration/capabilities";
export const TARGET_PAGE_BITS = "configuration/target-page-bits";
export const UUID = "configuration/uuid";

/** More than QEMU will ever have; a longer list is damage. */
export const MAX_CAPABILITIES = 256;

/** Capabilities that the stream lists; only `mapped-ram` and `x-ignore-shared` ever are. */
export function capabilitiesOf(configuration: ConfigurationRecord): string[] {
  const payload = configuration.subsections.find((s) => s.name === CAPABILITIES)?.payload;
  if (payload === undefined) return [];
  const cursor = new Cursor(payload);
  const count = cursor.u32();
  if (count > MAX_CAPABILITIES) {
    throw new FixedramError("stream.capability-count", "the configuration lists too many capabilities", {
      expected: `at most ${MAX_CAPABILITIES}`,
      found: String(count),
    });
  }
  const names: string[] = [];
  for (let i = 0; i < count; i++) names.push(latin1(cursor.take(cursor.u8())));
  return names;
}

/** Adds or drops one capability; the subsection goes when it becomes empty, as QEMU writes none then. */
export function withCapability(configuration: ConfigurationRecord, name: string, on: boolean): ConfigurationRecord {
  const before = capabilitiesOf(configuration);
  if (before.includes(name) === on) return configuration;
  const names = on ? [...before, name] : before.filter((n) => n !== name);
  const payload = new ByteBuilder().u32(names.length);
  for (const n of names) payload.u8(n.length).bytes(fromLatin1(n));
  const list: Subsection = { name: CAPABILITIES, version: 1, payload: payload.finish() };
  const at = configuration.subsections.findIndex((s) => s.name === CAPABILITIES);
  const subsections = configuration.subsections.slice();
  if (at === -1) {
    // QEMU's own order: target-page-bits, capabilities, uuid.
    const bits = subsections.findIndex((s) => s.name === TARGET_PAGE_BITS);
    subsections.splice(bits + 1, 0, list);
  } else if (names.length === 0) subsections.splice(at, 1);
  else subsections[at] = list;
  return { ...configuration, subsections };
}

/** The guest's uuid in its usual form; null when QEMU recorded none. */
export function uuidOf(configuration: ConfigurationRecord): string | null {
  const payload = configuration.subsections.find((s) => s.name === UUID)?.payload;
  if (payload === undefined) return null;
  const hex = Array.from(new Cursor(payload).take(16), (byte) => byte.toString(16).padStart(2, "0")).join("");
  return [hex.slice(0, 8), hex.slice(8, 12), hex.slice(12, 16), hex.slice(16, 20), hex.slice(20)].join("-");
}

/** log2 of the target page size; null on architectures with one size (x86). */
export function targetPageBitsOf(configuration: ConfigurationRecord): number | null {
  const payload = configuration.subsections.find((s) => s.name === TARGET_PAGE_BITS)?.payload;
  return payload === undefined ? null : new Cursor(payload).u32();
}
