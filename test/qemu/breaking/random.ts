/** Chance that can be had again: FIXEDRAM_SEED=N repeats what a failure printed. */
export class Chance {
  readonly seed: number;
  #state: number;

  constructor(seed = Number(process.env.FIXEDRAM_SEED ?? Math.floor(Math.random() * 2 ** 31))) {
    this.seed = seed;
    this.#state = seed % 2 ** 31;
  }

  /** From 0 up to, not including, 1 (a linear congruence: even enough to pick delays with). */
  next(): number {
    this.#state = (this.#state * 1_103_515 + 12_345) % 2 ** 31;
    return (this.#state % 65_536) / 65_536;
  }

  below(limit: number): number {
    return this.next() * limit;
  }

  pick<T>(choices: readonly T[]): T {
    const choice = choices[Math.floor(this.below(choices.length))];
    if (choice === undefined) throw new Error("nothing to pick from");
    return choice;
  }
}
