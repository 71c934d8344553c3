/** QMP's migration verbs (docs/devel/migration and qapi/migration.json in QEMU). */
import { setTimeout as sleep } from "node:timers/promises";
import * as v from "valibot";
import { FixedramError } from "../errors.ts";
import { ask, Count } from "./ask.ts";
import type { ExecuteOptions, QmpClient } from "./client.ts";

const Ram = v.looseObject({
  total: v.optional(Count, 0),
  transferred: v.optional(Count, 0),
  remaining: v.optional(Count, 0),
  duplicate: v.optional(Count, 0),
  normal: v.optional(Count, 0),
  "normal-bytes": v.optional(Count, 0),
  "dirty-pages-rate": v.optional(Count, 0),
  "dirty-sync-count": v.optional(Count, 0),
  "page-size": v.optional(Count, 0),
  mbps: v.optional(Count, 0),
});

const Migration = v.looseObject({
  status: v.optional(v.string(), "none"),
  ram: v.optional(Ram),
  "total-time": v.optional(Count),
  downtime: v.optional(Count),
  "expected-downtime": v.optional(Count),
  "setup-time": v.optional(Count),
  "blocked-reasons": v.optional(v.array(v.string()), []),
  "error-desc": v.optional(v.string()),
});

/** `status` is "none" when there has been no migration. Sizes in bytes, times in milliseconds. */
export type MigrationInfo = v.InferOutput<typeof Migration>;
export const queryMigrate = (client: QmpClient, options?: ExecuteOptions): Promise<MigrationInfo> =>
  ask(client, Migration, "query-migrate", undefined, options);

const Capabilities = v.array(v.looseObject({ capability: v.string(), state: v.boolean() }));
/** Every capability this QEMU knows, and whether it is on. */
export async function queryMigrateCapabilities(
  client: QmpClient,
  options?: ExecuteOptions,
): Promise<Readonly<Record<string, boolean>>> {
  const list = await ask(client, Capabilities, "query-migrate-capabilities", undefined, options);
  return Object.fromEntries(list.map((entry) => [entry.capability, entry.state]));
}

/** Every parameter this QEMU reports. Integers past 2^53 - 1 are bigint. */
export const queryMigrateParameters = (
  client: QmpClient,
  options?: ExecuteOptions,
): Promise<Readonly<Record<string, unknown>>> =>
  ask(client, v.record(v.string(), v.unknown()), "query-migrate-parameters", undefined, options);

export interface SetResult {
  /** Names that this QEMU does not know; they were left out. */
  readonly unknown: readonly string[];
}

/** Sets, in one command, those capabilities that this QEMU knows. */
export async function setMigrateCapabilities(
  client: QmpClient,
  wanted: Readonly<Record<string, boolean>>,
  options?: ExecuteOptions,
): Promise<SetResult> {
  const known = await queryMigrateCapabilities(client, options);
  const names = Object.keys(wanted);
  const capabilities = names
    .filter((name) => Object.hasOwn(known, name))
    .map((capability) => ({ capability, state: wanted[capability] === true }));
  if (capabilities.length > 0) await client.execute("migrate-set-capabilities", { capabilities }, options);
  return { unknown: names.filter((name) => !Object.hasOwn(known, name)) };
}

/** Sets, in one command, those parameters that this QEMU knows. */
export async function setMigrateParameters(
  client: QmpClient,
  wanted: Readonly<Record<string, unknown>>,
  options?: ExecuteOptions,
): Promise<SetResult> {
  const known = await queryMigrateParameters(client, options);
  const names = Object.keys(wanted);
  const set = Object.fromEntries(
    names.filter((name) => Object.hasOwn(known, name)).map((name) => [name, wanted[name]]),
  );
  if (Object.keys(set).length > 0) await client.execute("migrate-set-parameters", set, options);
  return { unknown: names.filter((name) => !Object.hasOwn(known, name)) };
}

const Yank = v.array(v.looseObject({ type: v.string() }));

/** Milliseconds QEMU gets to clean up after its last migration, and between two looks. */
const CLEANING = 10_000;
const LOOK = 20;

/**
 * Starts an outgoing migration to a QEMU migration URI, for example `unix:/run/x/migrate.sock`.
 *
 * @throws FixedramError `qmp.*`; `qemu.migration-stuck` when QEMU does not clean up after its last one
 */
export async function migrate(client: QmpClient, uri: string, options: ExecuteOptions = {}): Promise<void> {
  await cleanedUp(client, options);
  await client.execute("migrate", { uri }, options);
}

/**
 * The same into a file that QEMU writes itself. With the capability mapped-ram (QEMU 9.0).
 *
 * @param path absolute; QEMU empties the file, or makes it
 */
export async function migrateToFile(client: QmpClient, path: string, options: ExecuteOptions = {}): Promise<void> {
  await cleanedUp(client, options);
  // Not a URI: a comma in the path would be taken for an option.
  const addr = { transport: "file", filename: path, offset: 0 };
  await client.execute("migrate", { channels: [{ "channel-type": "main", addr }] }, options);
}

/**
 * Waits until QEMU has cleaned up after its last migration: it says that it has failed before that. A migration that is begun in
 * between is refused as a "duplicate yank instance", and QEMU (7.2 and 10.0) then takes itself to be migrating for ever; and what it
 * cleans up depends on capabilities (multifd), so those must not change before.
 *
 * @throws FixedramError `qmp.*`; `qemu.migration-stuck`
 */
export async function cleanedUp(client: QmpClient, options: ExecuteOptions = {}): Promise<void> {
  const deadline = performance.now() + CLEANING;
  while (await holdsYank(client, options)) {
    if (performance.now() > deadline) {
      throw new FixedramError("qemu.migration-stuck", "QEMU does not clean up after its last migration", {
        expected: "no yank instance of type migration",
        found: `one, ${CLEANING / 1000} s later`,
        hint: "The guest is as it was. Save again; if that stays so, QEMU can't migrate this guest any more.",
      });
    }
    await sleep(LOOK);
  }
}

async function holdsYank(client: QmpClient, options: ExecuteOptions): Promise<boolean> {
  try {
    return (await ask(client, Yank, "query-yank", undefined, options)).some(({ type }) => type === "migration");
  } catch (error) {
    // QEMU before 6.0 has no such thing.
    if (error instanceof FixedramError && error.code === "qmp.command") return false;
    throw error;
  }
}

export async function migrateCancel(client: QmpClient, options?: ExecuteOptions): Promise<void> {
  await client.execute("migrate_cancel", undefined, options);
}
