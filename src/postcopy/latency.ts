/** Steps of the histogram: eight in each doubling, so that a percentile is right within 10 %. */
const steps = 8;
const octaves = 32;

export interface LatencySummary {
  /** Faults. */
  readonly count: number;
  /** Microseconds; 0 when there was none. */
  readonly p50: number;
  readonly p90: number;
  readonly p99: number;
  readonly max: number;
  readonly sum: number;
  /** [upper bound in microseconds, faults up to it and above the one before], those with faults in them. */
  readonly histogram: readonly (readonly [upTo: number, faults: number])[];
}

/** Times in microseconds, counted in steps; adding allocates nothing. */
export class LatencyHistogram {
  readonly #counts = new Float64Array(steps * octaves);
  #count = 0;
  #sum = 0;
  #max = 0;

  add(microseconds: number): void {
    const value = Math.max(microseconds, 1);
    const at = Math.min(this.#counts.length - 1, Math.ceil(Math.log2(value) * steps));
    this.#counts[at] = (this.#counts[at] ?? 0) + 1;
    this.#count++;
    this.#sum += microseconds;
    if (microseconds > this.#max) this.#max = microseconds;
  }

  /** Takes in what another one has counted; of a summary, which went between processes. */
  merge(other: LatencySummary): void {
    for (const [upTo, faults] of other.histogram) {
      const at = Math.min(this.#counts.length - 1, Math.round(Math.log2(Math.max(upTo, 1)) * steps));
      this.#counts[at] = (this.#counts[at] ?? 0) + faults;
    }
    this.#count += other.count;
    this.#sum += other.sum;
    this.#max = Math.max(this.#max, other.max);
  }

  summary(): LatencySummary {
    const histogram: [number, number][] = [];
    for (const [at, faults] of this.#counts.entries()) {
      if (faults > 0) histogram.push([Math.round(bound(at) * 10) / 10, faults]);
    }
    return {
      count: this.#count,
      p50: this.#percentile(0.5),
      p90: this.#percentile(0.9),
      p99: this.#percentile(0.99),
      max: Math.round(this.#max * 10) / 10,
      sum: Math.round(this.#sum),
      histogram,
    };
  }

  #percentile(share: number): number {
    let left = Math.ceil(this.#count * share);
    if (left === 0) return 0;
    for (const [at, faults] of this.#counts.entries()) {
      left -= faults;
      if (left <= 0) return Math.round(Math.min(bound(at), this.#max) * 10) / 10;
    }
    return this.#max;
  }
}

function bound(at: number): number {
  return 2 ** (at / steps);
}
