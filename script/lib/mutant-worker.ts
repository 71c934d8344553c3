/** Runs vectors, as the sources are or with a check switched off: an order in, an answer out. */
import { makeLarge, readVectors } from "../../test/hostile/all.ts";
import { loadLib } from "../../test/hostile/lib.ts";
import { complaints } from "../../test/hostile/run.ts";
import { Sites } from "./instrument.ts";

export type Order =
  /** `only`: vectors whose names begin so; null: all. */
  | { readonly kind: "baseline"; readonly only: readonly string[] | null }
  | { readonly kind: "mutant"; readonly id: number; readonly vector: number };

export interface Answer {
  /** What was not as a vector's header says. */
  readonly failed: string | null;
  /** Of the baseline: for each vector, what it takes (milliseconds) and the checks that found something in it. */
  readonly reaching: readonly { readonly vector: number; readonly cost: number; readonly fired: readonly number[] }[];
}

const sites = new Sites().install();
const lib = await loadLib(process.argv[2]);
const kept = readVectors();
/** Made when one is asked for: all of them take much memory. */
const large = makeLarge;
const largeNames = large().map(({ vector }) => vector.name);

async function failure(index: number): Promise<string | null> {
  const vector = kept[index] ?? large()[index - kept.length]?.vector;
  if (vector === undefined) throw new Error(`no vector ${index}`);
  const [first] = await complaints(lib, vector).catch((error: unknown) => [String(error)]);
  return first === undefined ? null : `${vector.name}: ${first}`;
}

async function baseline(only: readonly string[] | null): Promise<Answer> {
  const reaching: { vector: number; cost: number; fired: number[] }[] = [];
  for (let vector = 0; vector < kept.length + largeNames.length; vector++) {
    const name = kept[vector]?.name ?? largeNames[vector - kept.length] ?? "";
    if (only !== null && !only.some((begin) => name.startsWith(begin))) continue;
    sites.fired.fill(0);
    const began = performance.now();
    const failed = await failure(vector);
    if (failed !== null) return { failed, reaching };
    const cost = performance.now() - began;
    const fired = [...sites.fired.keys()].filter((id) => (sites.fired[id] ?? 0) > 0);
    reaching.push({ vector, cost, fired });
  }
  return { failed: null, reaching };
}

process.on("message", async (order: Order) => {
  if (order.kind === "baseline") {
    process.send?.(await baseline(order.only));
    return;
  }
  sites.active = order.id;
  const failed = await failure(order.vector);
  sites.active = -1;
  process.send?.({ failed, reaching: [] } satisfies Answer);
});

process.send?.("ready");
