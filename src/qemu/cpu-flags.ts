import * as v from "valibot";
import { FixedramError } from "../errors.ts";
import { ask } from "../qmp/ask.ts";
import type { ExecuteOptions, QmpClient } from "../qmp/client.ts";

const Expansion = v.looseObject({ model: v.looseObject({ props: v.record(v.string(), v.unknown()) }) });

/**
 * The features that the guest's CPU has, by the names `-cpu` knows them: one command, where reading the CPU's properties one by
 * one takes hundreds (350 ms measured).
 *
 * @param model as in GuestFacts.cpu.model
 * @param argv QEMU's, for the `+feature,feature=off` of its -cpu option; empty when unknown
 * @returns sorted names; empty where QEMU cannot tell (`query-cpu-model-expansion` is for x86, arm, s390, riscv)
 */
export async function queryCpuFeatures(
  client: QmpClient,
  model: string,
  argv: readonly string[],
  options?: ExecuteOptions,
): Promise<readonly string[]> {
  const props = cpuOptionProps(argv);
  try {
    const args = { type: "full", model: { name: model, ...(Object.keys(props).length === 0 ? {} : { props }) } };
    const answer = await ask(client, Expansion, "query-cpu-model-expansion", args, options);
    const on = Object.entries(answer.model.props).filter(([name, value]) => value === true && isCpuFeature(name));
    return on.map(([name]) => name).sort();
  } catch (error) {
    if (error instanceof FixedramError && (error.code === "qmp.command" || error.code === "qmp.unexpected-answer"))
      return [];
    throw error;
  }
}

/** Properties that steer QEMU and are no feature of the CPU. */
const steering: ReadonlySet<string> = new Set([
  "check",
  "enforce",
  "migratable",
  "full-cpuid-auto-level",
  "fill-mtrr-mask",
  "host-cache-info",
  "legacy-cache",
  "kvm",
  "l3-cache",
  "legacy-multi-node",
  "lmce",
  "tcg-cpuid",
  "vmware-cpuid-freq",
]);

/** Whether a property that `-cpu` knows is a feature the guest can see; those for old machine types begin with `x-`. */
export function isCpuFeature(name: string): boolean {
  return !steering.has(name) && !name.startsWith("x-");
}

/** `-cpu qemu64,+avx,sse4.2=off` -> { avx: true, "sse4.2": false }. Values that are no switches are left out. */
export function cpuOptionProps(argv: readonly string[]): Readonly<Record<string, boolean>> {
  const at = argv.findLastIndex((argument) => argument === "-cpu" || argument === "--cpu");
  const [, ...settings] = (at === -1 ? "" : (argv[at + 1] ?? "")).split(",");
  const props: Record<string, boolean> = {};
  for (const setting of settings) {
    const [, sign, name] = /^([+-])(.+)$/.exec(setting) ?? [];
    if (sign !== undefined && name !== undefined) props[name] = sign === "+";
    else {
      const [key, value] = setting.split("=", 2);
      if (key !== undefined && key !== "" && (value === "on" || value === "off")) props[key] = value === "on";
    }
  }
  return props;
}
