/**
 * Typed QMP commands. Fields we do not know are left alone; the ones we read are checked. Here are those about the guest and
 * its devices; the migration verbs have a file of their own and are passed on.
 */
import * as v from "valibot";
import { FixedramError } from "../errors.ts";
import { ask, Count } from "./ask.ts";
import type { ExecuteOptions, QmpClient } from "./client.ts";

export * from "./migration-commands.ts";

const Version = v.looseObject({
  qemu: v.looseObject({ major: v.number(), minor: v.number(), micro: v.number() }),
  package: v.optional(v.string(), ""),
});
export interface QemuVersion {
  readonly major: number;
  readonly minor: number;
  readonly micro: number;
  /** The packager's own words, often empty. */
  readonly package: string;
  /** `major.minor.micro` */
  readonly text: string;
}

/** The version in the greeting. */
export function toVersion(answer: v.InferOutput<typeof Version>): QemuVersion {
  const { major, minor, micro } = answer.qemu;
  return { major, minor, micro, package: answer.package, text: `${major}.${minor}.${micro}` };
}

const Status = v.looseObject({ running: v.boolean(), status: v.string() });
export const queryStatus = (client: QmpClient, options?: ExecuteOptions) =>
  ask(client, Status, "query-status", undefined, options);

/** The guest's name (`-name`), or null. */
export async function queryName(client: QmpClient, options?: ExecuteOptions): Promise<string | null> {
  const Name = v.looseObject({ name: v.optional(v.string()) });
  return (await ask(client, Name, "query-name", undefined, options)).name ?? null;
}

/** The guest's uuid; all zeros (no `-uuid`) is null. */
export async function queryUuid(client: QmpClient, options?: ExecuteOptions): Promise<string | null> {
  const { UUID } = await ask(client, v.looseObject({ UUID: v.string() }), "query-uuid", undefined, options);
  return /^[0-]+$/.test(UUID) ? null : UUID;
}

const Kvm = v.looseObject({ enabled: v.boolean(), present: v.boolean() });
export const queryKvm = (client: QmpClient, options?: ExecuteOptions) =>
  ask(client, Kvm, "query-kvm", undefined, options);

/** The machine type that runs, as `-machine` takes it (`pc-q35-7.2`). */
export async function currentMachine(client: QmpClient, options?: ExecuteOptions): Promise<string> {
  return (await qomGetString(client, "/machine", "type", options)).replace(/-machine$/, "");
}

const Cpu = v.looseObject({
  "cpu-index": v.number(),
  "thread-id": v.number(),
  "qom-path": v.string(),
  target: v.optional(v.string(), ""),
});
export const queryCpus = (client: QmpClient, options?: ExecuteOptions) =>
  ask(client, v.array(Cpu), "query-cpus-fast", undefined, options);

/** One image of a chain, as query-block nests them. */
export interface QmpImage {
  readonly filename: string;
  readonly format: string;
  readonly "virtual-size": number;
  readonly "backing-image"?: QmpImage | undefined;
}
const Image: v.GenericSchema<unknown, QmpImage> = v.looseObject({
  filename: v.string(),
  format: v.string(),
  "virtual-size": Count,
  "backing-image": v.optional(v.lazy(() => Image)),
});
const Node = v.looseObject({
  "node-name": v.optional(v.string()),
  drv: v.string(),
  ro: v.boolean(),
  file: v.string(),
  encrypted: v.optional(v.boolean(), false),
  cache: v.optional(v.looseObject({ "no-flush": v.optional(v.boolean(), false) })),
  image: Image,
});
const BlockDevice = v.looseObject({
  device: v.string(),
  qdev: v.optional(v.string()),
  removable: v.boolean(),
  inserted: v.optional(Node),
});
export const queryBlock = (client: QmpClient, options?: ExecuteOptions) =>
  ask(client, v.array(BlockDevice), "query-block", undefined, options);

const Memdev = v.looseObject({
  id: v.optional(v.string()),
  size: Count,
  share: v.optional(v.boolean(), false),
});
export const queryMemdev = (client: QmpClient, options?: ExecuteOptions) =>
  ask(client, v.array(Memdev), "query-memdev", undefined, options);

/** Runs one line of the human monitor and returns what it prints. */
export const humanMonitorCommand = (client: QmpClient, line: string, options?: ExecuteOptions) =>
  ask(client, v.string(), "human-monitor-command", { "command-line": line }, options);

export const qomGet = (client: QmpClient, path: string, property: string, options?: ExecuteOptions) =>
  client.execute("qom-get", { path, property }, options);
const qomGetString = (client: QmpClient, path: string, property: string, options?: ExecuteOptions) =>
  ask(client, v.string(), "qom-get", { path, property }, options);

export const stop = (client: QmpClient, options?: ExecuteOptions) => command(client, "stop", options);
export const cont = (client: QmpClient, options?: ExecuteOptions) => command(client, "cont", options);

/** Milliseconds. */
const QUIT_PATIENCE = 10_000;

/**
 * Asks QEMU to end, and waits until it closes the connection: its disks are closed, and free for others, before that. A connection
 * that closes before the answer counts as success.
 *
 * @param options `timeout` also bounds the wait for the end, which is no error
 */
export async function quit(client: QmpClient, options?: ExecuteOptions): Promise<void> {
  const closed = new Promise<void>((resolve) => client.once("close", () => resolve()));
  try {
    await command(client, "quit", options);
  } catch (error) {
    if (!(error instanceof FixedramError && error.code === "qmp.closed")) throw error;
    return;
  }
  let timer: NodeJS.Timeout | undefined;
  const late = new Promise<void>((resolve) => {
    timer = setTimeout(resolve, options?.timeout ?? QUIT_PATIENCE);
  });
  await Promise.race([closed, late]);
  clearTimeout(timer);
}

async function command(client: QmpClient, name: string, options?: ExecuteOptions): Promise<void> {
  await client.execute(name, undefined, options);
}
