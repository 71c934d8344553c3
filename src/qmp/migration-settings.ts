/**
 * Migration capabilities and parameters belong to whoever runs the QEMU: they are read before we change them and put back
 * after. What was read is plain JSON, so that another process can put it back when we are gone.
 */
import * as v from "valibot";
import { FixedramError } from "../errors.ts";
import type { ExecuteOptions, QmpClient } from "./client.ts";
import {
  queryMigrateCapabilities,
  queryMigrateParameters,
  setMigrateCapabilities,
  setMigrateParameters,
} from "./migration-commands.ts";

/** JSON has no integers past 2^53 - 1 that survive; they are kept as text. */
type Stored = unknown | { readonly integer: string };

export interface MigrationSettings {
  readonly version: 1;
  readonly capabilities: Readonly<Record<string, boolean>>;
  readonly parameters: Readonly<Record<string, Stored>>;
}

/** For those who keep settings inside a record of their own. */
export const MigrationSettingsSchema = v.object({
  version: v.literal(1),
  capabilities: v.record(v.string(), v.boolean()),
  parameters: v.record(v.string(), v.unknown()),
});

export interface RestoreResult {
  /** Names of capabilities and parameters that were changed back. */
  readonly capabilities: readonly string[];
  readonly parameters: readonly string[];
  /** What could not be put back, with QEMU's words. */
  readonly failed: readonly { readonly name: string; readonly said: string }[];
}

/** Reads all capabilities and parameters of the QEMU. */
export async function snapshotSettings(client: QmpClient, options?: ExecuteOptions): Promise<MigrationSettings> {
  const [capabilities, parameters] = await Promise.all([
    queryMigrateCapabilities(client, options),
    queryMigrateParameters(client, options),
  ]);
  const stored = Object.entries(parameters).map(([name, value]) => [name, store(value)] as const);
  return { version: 1, capabilities, parameters: Object.fromEntries(stored) };
}

/**
 * Puts back what differs from `settings`, and nothing else.
 *
 * First all at once (QEMU checks the resulting combination, so the order does not matter), then, when QEMU refuses, one by
 * one as long as that gets anywhere. What stays refused is reported, not thrown; a lost connection is thrown.
 */
export async function restoreSettings(
  client: QmpClient,
  settings: MigrationSettings,
  options?: ExecuteOptions,
): Promise<RestoreResult> {
  const failed: { name: string; said: string }[] = [];
  const now = await snapshotSettings(client, options);
  const capabilities = differing(settings.capabilities, now.capabilities);
  const setCapabilities = await setAll(capabilities, failed, (wanted) =>
    setMigrateCapabilities(client, wanted, options),
  );
  // Some parameters may be set only while a capability is on or off: they come last, against the old capabilities.
  const wanted = differing(settings.parameters, now.parameters);
  for (const name of Object.keys(now.parameters)) {
    if (!Object.hasOwn(settings.parameters, name))
      failed.push({ name, said: "it was not set before, and QMP cannot unset it" });
  }
  const restored = Object.fromEntries(Object.entries(wanted).map(([name, value]) => [name, load(value)]));
  const setParameters = await setAll(restored, failed, (some) => setMigrateParameters(client, some, options));
  return { capabilities: setCapabilities, parameters: setParameters, failed };
}

/** Entries of `before` whose value is another now. A name that this QEMU no longer reports cannot be put back by name. */
function differing<T>(before: Readonly<Record<string, T>>, now: Readonly<Record<string, T>>): Record<string, T> {
  const entries = Object.entries(before).filter(([name, value]) => canonical(value) !== canonical(now[name]));
  return Object.fromEntries(entries);
}

/** Text that is equal for equal JSON values, whatever the order of keys. */
function canonical(value: unknown): string {
  return (
    JSON.stringify(value, (_key, item) =>
      item !== null && typeof item === "object" && !Array.isArray(item)
        ? Object.fromEntries(Object.entries(item).sort(([a], [b]) => (a < b ? -1 : 1)))
        : item,
    ) ?? "undefined"
  );
}

async function setAll<T>(
  wanted: Readonly<Record<string, T>>,
  failed: { name: string; said: string }[],
  set: (some: Readonly<Record<string, T>>) => Promise<{ readonly unknown: readonly string[] }>,
): Promise<readonly string[]> {
  if (Object.keys(wanted).length === 0) return [];
  const whole = await attempt(() => set(wanted));
  if (whole.said === null) {
    for (const name of whole.unknown) failed.push({ name, said: "this QEMU does not know it" });
    return Object.keys(wanted).filter((name) => !whole.unknown.includes(name));
  }
  const done: string[] = [];
  let left = Object.entries(wanted);
  for (let before = left.length + 1; left.length < before; ) {
    before = left.length;
    const refused: typeof left = [];
    for (const [name, value] of left) {
      const one = await attempt(() => set({ [name]: value }));
      if (one.said === null && one.unknown.length === 0) done.push(name);
      else refused.push([name, value]);
    }
    left = refused;
  }
  for (const [name, value] of left) {
    const last = await attempt(() => set({ [name]: value }));
    failed.push({ name, said: last.said ?? "this QEMU does not know it" });
  }
  return done;
}

async function attempt(
  set: () => Promise<{ readonly unknown: readonly string[] }>,
): Promise<{ readonly said: string | null; readonly unknown: readonly string[] }> {
  try {
    return { said: null, unknown: (await set()).unknown };
  } catch (error) {
    if (!(error instanceof FixedramError && error.code === "qmp.command")) throw error;
    return { said: error.details.said ?? error.message, unknown: [] };
  }
}

function store(value: unknown): Stored {
  if (typeof value === "bigint") return { integer: String(value) };
  return value;
}

function load(value: Stored): unknown {
  if (value !== null && typeof value === "object" && "integer" in value && typeof value.integer === "string") {
    return BigInt(value.integer);
  }
  return value;
}
