/** Several ways of doing the same, by turns; what is told is medians, and their ratios to one of them. */
import { median, type Sample } from "./measure.ts";

export interface Side {
  /** Short, and the same for every QEMU. */
  readonly name: string;
  readonly run: (index: number) => Promise<Sample>;
}

export interface SideResult {
  readonly name: string;
  /** Milliseconds, in the order they were taken. */
  readonly samples: readonly number[];
  readonly median: number;
  /** Lowest and highest. */
  readonly spread: readonly [number, number];
  /** Medians of the other figures. */
  readonly more: Readonly<Record<string, number>>;
}

export interface Tournament {
  /** What is done, and where. */
  readonly name: string;
  readonly qemu: string;
  readonly sides: readonly SideResult[];
}

/**
 * Runs every side `runs` times after one unmeasured round; who begins changes from round to round.
 *
 * @param before done before each run, unmeasured: the same for all sides
 */
export async function play(
  name: string,
  qemu: string,
  sides: readonly Side[],
  runs: number,
  before: () => void | Promise<void>,
): Promise<Tournament> {
  const samples = new Map<string, Sample[]>(sides.map((side) => [side.name, []]));
  for (let round = 0; round <= runs; round++) {
    for (let turn = 0; turn < sides.length; turn++) {
      const side = sides[(turn + round) % sides.length];
      if (side === undefined) continue;
      await before();
      const sample = await side.run(round);
      if (round > 0) samples.get(side.name)?.push(sample);
    }
  }
  return { name, qemu, sides: sides.map((side) => resultOf(side.name, samples.get(side.name) ?? [])) };
}

function resultOf(name: string, samples: readonly Sample[]): SideResult {
  const walls = samples.map(({ wall }) => wall);
  const names = new Set(samples.flatMap(({ more }) => Object.keys(more ?? {})));
  return {
    name,
    samples: walls,
    median: median(walls),
    spread: [Math.min(...walls), Math.max(...walls)],
    more: Object.fromEntries([...names].map((each) => [each, median(samples.map(({ more }) => more?.[each] ?? 0))])),
  };
}

/** The time of `name` over that of `peer`; null: one of them did not run. */
export function ratio(tournament: Tournament, name: string, peer: string): number | null {
  const of = (wanted: string) => tournament.sides.find((side) => side.name === wanted)?.median;
  const ours = of(name);
  const theirs = of(peer);
  return ours === undefined || theirs === undefined ? null : ours / theirs;
}
