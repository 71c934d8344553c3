import * as v from "valibot";
import { FixedramError } from "../errors.ts";
import { ask } from "../qmp/ask.ts";
import type { ExecuteOptions, QmpClient } from "../qmp/client.ts";
import {
  currentMachine,
  type QemuVersion,
  qomGet,
  queryCpus,
  queryKvm,
  queryMemdev,
  queryMigrate,
  queryMigrateCapabilities,
  queryMigrateParameters,
  queryName,
  queryStatus,
  queryUuid,
  toVersion,
} from "../qmp/commands.ts";

export interface MemoryBackend {
  /** The backend's id, which is the RAM block's name unless canonical paths are used (then `/objects/ID`). */
  readonly id: string | null;
  /** Bytes. */
  readonly size: number;
  /** Shared with another process or a file: on a destination such RAM may not start out as zeros. */
  readonly shared: boolean;
  /** `memory-backend-ram`, `-file`, `-memfd`...; null when QEMU does not say. */
  readonly type: string | null;
  /** mem-path of a file backend. */
  readonly path: string | null;
}

/** What a QEMU says about itself and its guest. Nothing here changes the guest. */
export interface GuestFacts {
  readonly version: QemuVersion;
  readonly accelerator: "kvm" | "tcg" | "other";
  /** Versioned, as `-machine` takes it. */
  readonly machine: string;
  readonly cpu: {
    /** Type without the architecture's suffix: `qemu64`, `host`; null when QEMU does not say. */
    readonly model: string | null;
    /** Boolean properties that are on; empty when QEMU does not say. */
    readonly flags: readonly string[];
    readonly count: number;
    readonly target: string | null;
  };
  readonly name: string | null;
  readonly uuid: string | null;
  readonly runState: string;
  readonly running: boolean;
  readonly capabilities: Readonly<Record<string, boolean>>;
  /** Names of the migration parameters this QEMU knows. */
  readonly parameters: readonly string[];
  /** In QEMU's own words; empty: it can be migrated. */
  readonly blockers: readonly string[];
  readonly migrationStatus: string;
  readonly memory: {
    readonly backends: readonly MemoryBackend[];
    /** Names main RAM may go by as a RAM block: the machine's memory and every backend. Others are firmware and devices. */
    readonly mainBlocks: readonly string[];
  };
  /** The machine writes no vmdesc at the end of its stream. */
  readonly suppressVmdesc: boolean;
}

export interface InspectOptions extends ExecuteOptions {
  /** Default true. Reading the CPU's flags is some 300 commands, 0.2 to 0.5 s; {@link queryCpuFlags} can do it at leisure. */
  readonly cpuFlags?: boolean;
}

/** Reads the facts. Errors: those of QmpClient.execute and ask for what every QEMU has; what only some have is left out. */
export async function inspectGuest(client: QmpClient, options?: InspectOptions): Promise<GuestFacts> {
  // All at once: each answer costs a turn of QEMU's main loop, which a busy guest may keep for milliseconds.
  const [status, migration, cpus, accelerator, machine, name, uuid, capabilities, parameters, memory, suppress] =
    await Promise.all([
      queryStatus(client, options),
      queryMigrate(client, options),
      queryProcessors(client, options),
      queryAccelerator(client, options),
      currentMachine(client, options),
      queryName(client, options),
      queryUuid(client, options),
      queryMigrateCapabilities(client, options),
      queryMigrateParameters(client, options),
      queryMemory(client, options),
      optional(() => qomGet(client, "/machine", "suppress-vmdesc", options), false),
    ]);
  return {
    version: toVersion(client.greeting.version),
    accelerator,
    machine,
    cpu: {
      ...cpus,
      flags: options?.cpuFlags === false ? [] : await queryCpuFlags(client, options),
    },
    name,
    uuid,
    runState: status.status,
    running: status.running,
    capabilities,
    parameters: Object.keys(parameters),
    blockers: migration["blocked-reasons"],
    migrationStatus: migration.status,
    memory,
    suppressVmdesc: suppress === true,
  };
}

async function queryProcessors(
  client: QmpClient,
  options?: ExecuteOptions,
): Promise<Pick<GuestFacts["cpu"], "model" | "count" | "target">> {
  const cpus = await optional(() => queryCpus(client, options), []);
  const [first] = cpus;
  return {
    model: await queryCpuModel(client, first?.["qom-path"], options),
    count: cpus.length,
    target: first?.target ?? null,
  };
}

/** `query-kvm` for KVM; the accelerator's type tells TCG from Xen, HVF and the like where QOM shows it. */
async function queryAccelerator(client: QmpClient, options?: ExecuteOptions): Promise<"kvm" | "tcg" | "other"> {
  const Text = v.string();
  const [kvm, jit] = await Promise.all([
    optional(() => queryKvm(client, options), { enabled: false, present: false }),
    // Only TCG answers `info jit`; every QEMU since 2.x has the command.
    optional(() => ask(client, Text, "human-monitor-command", { "command-line": "info jit" }, options), ""),
  ]);
  if (kvm.enabled) return "kvm";
  return /gen code size|Translation buffer state/.test(jit) ? "tcg" : "other";
}

async function queryCpuModel(
  client: QmpClient,
  path: string | undefined,
  options?: ExecuteOptions,
): Promise<string | null> {
  if (path === undefined) return null;
  const type = await optional(() => ask(client, v.string(), "qom-get", { path, property: "type" }, options), null);
  return type?.replace(/-[a-z0-9_]+-cpu$/, "") ?? null;
}

/** The first CPU's boolean properties that are on: on x86 the features as `-cpu` names them, elsewhere few or none. */
export async function queryCpuFlags(client: QmpClient, options?: ExecuteOptions): Promise<readonly string[]> {
  const [first] = await optional(() => queryCpus(client, options), []);
  if (first === undefined) return [];
  const path = first["qom-path"];
  const Properties = v.array(v.looseObject({ name: v.string(), type: v.string() }));
  const all = await optional(() => ask(client, Properties, "qom-list", { path }, options), []);
  const names = all.filter((each) => each.type === "bool" && !notFeatures.has(each.name)).map((each) => each.name);
  const states = await Promise.all(
    names.map((property) => optional(() => qomGet(client, path, property, options), false)),
  );
  return names.filter((_name, i) => states[i] === true).sort();
}

/** Boolean CPU properties that steer QEMU instead of naming a feature of the CPU. */
const notFeatures: ReadonlySet<string> = new Set([
  "realized",
  "hotpluggable",
  "hotplugged",
  "start-powered-off",
  "check",
  "enforce",
  "migratable",
  "full-cpuid-auto-level",
  "fill-mtrr-mask",
  "host-cache-info",
  "legacy-cache",
  "kvm",
  "host-phys-bits",
]);

/** Where the guest's memory lies; what QEMU does not say is left out. */
export async function queryMemory(client: QmpClient, options?: ExecuteOptions): Promise<GuestFacts["memory"]> {
  const Text = v.string();
  const get = (path: string, property: string) =>
    optional(() => ask(client, Text, "qom-get", { path, property }, options), null);
  const [list, machine] = await Promise.all([
    optional(() => queryMemdev(client, options), []),
    get("/machine", "memory-backend"),
  ]);
  const backends = await Promise.all(
    list.map(async ({ id, size, share }): Promise<MemoryBackend> => {
      const about = (property: string) => (id === undefined ? null : get(`/objects/${id}`, property));
      const [type, path] = await Promise.all([about("type"), about("mem-path")]);
      return { id: id ?? null, size, shared: share, type, path };
    }),
  );
  const ids = backends.flatMap((backend) => (backend.id === null ? [] : [backend.id]));
  const own = machine?.startsWith("/objects/") ? [machine.slice("/objects/".length)] : [];
  const names = [...own, ...ids].flatMap((id) => [id, `/objects/${id}`]);
  return { backends, mainBlocks: [...new Set(names)] };
}

/** What QEMU refuses to say is left out; a lost connection is not. */
async function optional<T>(query: () => Promise<T>, otherwise: T): Promise<T> {
  try {
    return await query();
  } catch (error) {
    const { code } = error instanceof FixedramError ? error : { code: "" };
    if (code === "qmp.command" || code === "qmp.unexpected-answer") return otherwise;
    throw error;
  }
}
