export interface PaceOptions {
  /** Milliseconds without a fault after which the guest counts as quiet. */
  readonly quiet: number;
  /** Milliseconds that faults may hold the push back altogether, from the guest's start. */
  readonly hold: number;
  /** Share of the time that the push may take while faults go on. */
  readonly share: number;
  /** Bytes a second that are pushed at most; null: no limit. */
  readonly rate: number | null;
}

/** Milliseconds of --push-rate that may be sent at once. */
const burst = 20;

/** Why these: see docs/performance.md, "Instant resume". */
export const usualPace: PaceOptions = { quiet: 10, hold: 250, share: 0.5, rate: null };

/**
 * When the background may send. It waits until the faults quieten, so that it does not take the processor and the disk from a guest
 * that has just begun; a guest that never quietens gets its pages all the same, at part of the speed.
 */
export class Pace {
  readonly #options: PaceOptions;
  #started = 0;
  #lastFault = 0;
  #settled: number | null = null;
  /** The push owes the guest this point in time. */
  #notBefore = 0;
  /** Of --push-rate. */
  #paid = 0;

  constructor(options: PaceOptions, now: number) {
    this.#options = options;
    this.start(now);
  }

  /** The guest runs. */
  start(now: number): void {
    this.#started = now;
    this.#lastFault = now;
  }

  fault(now: number): void {
    this.#lastFault = now;
  }

  /** When the faults were quiet for the first time, milliseconds on the clock; null: not yet. */
  settled(now: number): number | null {
    if (this.#settled === null && now - this.#lastFault >= this.#options.quiet) this.#settled = this.#lastFault;
    return this.#settled;
  }

  /** Milliseconds until the push may send its next piece; 0: now. */
  wait(now: number): number {
    const { quiet, hold } = this.#options;
    const limited = this.#paid - now;
    const calm = this.#lastFault + quiet - now;
    this.settled(now);
    if (calm <= 0) return Math.max(0, limited);
    const held = this.#started + hold - now;
    // Before the time is up only quiet lets it begin, after that it goes on with pauses.
    const throttled = held > 0 ? held : this.#notBefore - now;
    return Math.max(0, limited, Math.min(calm, throttled));
  }

  /** A piece of `bytes` was pushed, which took from `began` to `now`. */
  pushed(bytes: number, began: number, now: number): void {
    const { share, rate } = this.#options;
    this.#notBefore = now + ((now - began) * (1 - share)) / share;
    if (rate !== null) this.#paid = Math.max(this.#paid, now - burst) + (bytes / rate) * 1000;
  }
}
