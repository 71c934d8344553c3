/** Two ways of doing the same, by turns; what is told is the ratio of their medians. */

export interface Sample {
  /** Milliseconds, as a user sees it. */
  readonly wall: number;
  /** Ours: the operation's own time, without the start and end of node. The peer is driven over an open QMP connection. */
  readonly own?: number;
  /** Other figures, by name: milliseconds, or seconds of CPU where the name says so. */
  readonly more?: Readonly<Record<string, number>>;
}

export interface Comparison {
  readonly name: string;
  readonly qemu: string;
  /** What is compared with what, in words. */
  readonly ours: string;
  readonly peer: string;
  /** Milliseconds, in the order they were taken. */
  readonly samples: { readonly ours: readonly number[]; readonly peer: readonly number[] };
  readonly medians: { readonly ours: number; readonly peer: number };
  /** Median of ours over median of the peer: below 1 we are faster. */
  readonly ratio: number;
  /** The same with the operation's own time in place of the command's; null where the peer starts a program too. */
  readonly ownRatio: number | null;
  /** Lowest and highest ratio of two runs that followed each other. */
  readonly spread: readonly [number, number];
  /** Medians of the other figures of ours. */
  readonly details: Readonly<Record<string, number>>;
}

export interface Contest {
  readonly name: string;
  readonly qemu: string;
  readonly ours: { readonly text: string; readonly run: (index: number) => Promise<Sample> };
  readonly peer: { readonly text: string; readonly run: (index: number) => Promise<Sample> };
}

/** Runs both sides `runs` times after one unmeasured pair; who goes first changes from pair to pair. */
export async function compare(contest: Contest, runs: number): Promise<Comparison> {
  const { ours, peer } = contest;
  const mine: Sample[] = [];
  const theirs: number[] = [];
  for (let index = 0; index <= runs; index++) {
    let a: Sample;
    let b: Sample;
    if (index % 2 === 0) {
      a = await ours.run(index);
      b = await peer.run(index);
    } else {
      b = await peer.run(index);
      a = await ours.run(index);
    }
    if (index === 0) continue;
    mine.push(a);
    theirs.push(b.wall);
  }
  const walls = mine.map(({ wall }) => wall);
  const ratios = walls.map((wall, i) => wall / (theirs[i] ?? Number.NaN));
  const medians = { ours: median(walls), peer: median(theirs) };
  const names = new Set(mine.flatMap(({ more }) => Object.keys(more ?? {})));
  return {
    name: contest.name,
    qemu: contest.qemu,
    ours: ours.text,
    peer: peer.text,
    samples: { ours: walls, peer: theirs },
    medians,
    ratio: medians.ours / medians.peer,
    ownRatio: mine.some(({ own }) => own === undefined) ? null : median(mine.map(({ own = 0 }) => own)) / medians.peer,
    spread: [Math.min(...ratios), Math.max(...ratios)],
    details: Object.fromEntries([...names].map((name) => [name, median(mine.map(({ more }) => more?.[name] ?? 0))])),
  };
}

export function median(values: readonly number[]): number {
  const sorted = [...values].sort((a, b) => a - b);
  const middle = Math.floor(sorted.length / 2);
  const high = sorted[middle] ?? Number.NaN;
  return sorted.length % 2 === 1 ? high : ((sorted[middle - 1] ?? Number.NaN) + high) / 2;
}
