/**
 * What the threads that take multifd channels and the one that reads the main stream have in common: the rounds. Nobody goes on to
 * round n + 1 before everybody has come to the end of round n (docs/format.md, "multifd channels").
 *
 *     word 0   what is wanted: 0 go on, 1 stop at once, 2 the main stream is whole
 *     word 1   the last round that is over
 *     word 2.. for each channel: 1 once its socket is its thread's to close
 */
const WANTED = 0;
const OVER = 1;
const TAKEN = 2;

const stop = 1;
const whole = 2;

/** Milliseconds between two looks of a thread that waits for the others; it is woken before. */
const LOOK = 1000;

export class ChannelControl {
  readonly memory: SharedArrayBuffer;
  readonly #words: Int32Array;

  constructor(memory: SharedArrayBuffer) {
    this.memory = memory;
    this.#words = new Int32Array(memory);
  }

  static for(channels: number): ChannelControl {
    return new ChannelControl(new SharedArrayBuffer((TAKEN + channels) * 4));
  }

  get stopped(): boolean {
    return Atomics.load(this.#words, WANTED) === stop;
  }

  /** No channel has anything to bring any more. */
  get whole(): boolean {
    return Atomics.load(this.#words, WANTED) === whole;
  }

  /** Stops every thread at its next look. */
  stop(): void {
    this.#want(stop);
  }

  end(): void {
    if (!this.stopped) this.#want(whole);
  }

  /** Round `round`, from 1, is over: those who wait for that go on. */
  release(round: number): void {
    Atomics.store(this.#words, OVER, round);
    Atomics.notify(this.#words, OVER);
  }

  /** Holds this thread until round `round` is over, or all is to stop. */
  waitFor(round: number): void {
    while (!this.stopped) {
      const over = Atomics.load(this.#words, OVER);
      if (over >= round) return;
      Atomics.wait(this.#words, OVER, over, LOOK);
    }
  }

  /** Holds this thread for so many milliseconds, or until all is to stop. */
  rest(milliseconds: number): void {
    if (Atomics.load(this.#words, WANTED) === 0) Atomics.wait(this.#words, WANTED, 0, milliseconds);
  }

  /** From here on the socket of channel `index` is the calling thread's to close. */
  take(index: number): void {
    Atomics.store(this.#words, TAKEN + index, 1);
  }

  taken(index: number): boolean {
    return Atomics.load(this.#words, TAKEN + index) === 1;
  }

  #want(wanted: number): void {
    Atomics.store(this.#words, WANTED, wanted);
    Atomics.notify(this.#words, WANTED);
    Atomics.notify(this.#words, OVER);
  }
}
