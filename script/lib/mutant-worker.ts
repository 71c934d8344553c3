/** Runs the vectors that reach a check, with that check switched off: a message with its number in, an answer out. */
import { makeLarge, readVectors } from "../../test/hostile/all.ts";
import { loadLib } from "../../test/hostile/lib.ts";
import { complaints } from "../../test/hostile/run.ts";
import { Sites } from "./instrument.ts";

const sites = new Sites().install();
const lib = await loadLib(process.argv[2]);
const vectors = [...readVectors(), ...makeLarge().map(({ vector }) => vector)];
/** Numbers of vectors by the checks that find something in them. */
const reaching = new Map<number, number[]>();

async function baseline(): Promise<string | null> {
  for (const [i, vector] of vectors.entries()) {
    sites.fired.fill(0);
    const [first] = await complaints(lib, vector);
    if (first !== undefined) return `${vector.name}: ${first}`;
    sites.fired.forEach((count, id) => {
      if (count > 0) reaching.set(id, [...(reaching.get(id) ?? []), i]);
    });
  }
  return null;
}

async function killer(id: number): Promise<string | null> {
  sites.active = id;
  try {
    for (const i of reaching.get(id) ?? []) {
      const vector = vectors[i];
      if (vector === undefined) continue;
      const [first] = await complaints(lib, vector).catch((error: unknown) => [String(error)]);
      if (first !== undefined) return `${vector.name}: ${first}`;
    }
    return null;
  } finally {
    sites.active = -1;
  }
}

/** A process that replaces one that hung has to find out again what reaches what. */
let known = false;

process.on("message", async (id: number) => {
  let killedBy: string | null = null;
  if (!known) {
    killedBy = await baseline();
    known = true;
  }
  if (killedBy === null && id >= 0) killedBy = await killer(id);
  process.send?.({ id, killedBy, reached: reaching.get(id)?.length ?? 0 });
});
