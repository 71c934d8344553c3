/**
 * A coverage-guided fuzzer: inputs that take a branch that no other took (or took as often) are kept, and changed further. The
 * branches are counted in one array by the copy of the sources that script/lib/instrument.ts makes: no debugger, no child process.
 */
export interface Target {
  readonly name: string;
  /** Files of src whose branches it is meant to take. */
  readonly meant: RegExp;
  readonly seeds: readonly Uint8Array[];
  /** Pieces that are put into inputs. */
  readonly words: readonly Uint8Array[];
  /** Longest input, bytes. */
  readonly most: number;
  /** Throws when something is not right. Failures that the sources are meant to report are caught in here. */
  run(input: Uint8Array, random: Random): void | Promise<void>;
  /** What costs more, for inputs that are kept and for one in many. */
  thorough?(input: Uint8Array): void | Promise<void>;
}

/** One run in so many is thorough whatever it reaches. */
const thoroughEvery = 512;
const turnRuns = 8192;

/** xorshift32: the same numbers for the same seed. */
export class Random {
  #state: number;

  constructor(seed: number) {
    this.#state = seed === 0 ? 1 : seed;
  }

  next(): number {
    let x = this.#state;
    x ^= x << 13;
    x ^= x >>> 17;
    x ^= x << 5;
    this.#state = x;
    return x >>> 0;
  }

  below(limit: number): number {
    return limit <= 1 ? 0 : this.next() % limit;
  }
}

export interface Find {
  readonly input: Uint8Array;
  readonly message: string;
}

export interface FuzzResult {
  readonly runs: number;
  readonly seconds: number;
  /** Seconds of the processor. */
  readonly cpuSeconds: number;
  /** Inputs kept. */
  readonly corpus: readonly Uint8Array[];
  readonly finds: readonly Find[];
}

export interface FuzzOptions {
  /** Counters of the branches taken. */
  readonly taken: Uint8Array;
  readonly seed: number;
  readonly seconds: number;
  readonly runs: number;
  readonly corpus: readonly Uint8Array[];
  /** Branches seen, by how often: kept from run to run. */
  readonly seen: Uint8Array;
  /** Told every now and then, when signals have had their turn; returns whether to go on. */
  readonly onTurn?: (runs: number, finds: number) => boolean;
}

/** Groups of counts: once, twice, a few, many. */
const groups = Uint8Array.from({ length: 256 }, (_, n) =>
  n === 0 ? 0 : n === 1 ? 1 : n === 2 ? 2 : n < 8 ? 4 : n < 32 ? 8 : 16,
);

function isNew(taken: Uint8Array, words: Uint32Array, seen: Uint8Array): boolean {
  let found = false;
  for (let word = 0; word < words.length; word++) {
    if (words[word] === 0) continue;
    for (let i = word * 4; i < word * 4 + 4; i++) {
      const group = groups[taken[i] ?? 0] ?? 0;
      if (group !== 0 && ((seen[i] ?? 0) & group) === 0) {
        seen[i] = (seen[i] ?? 0) | group;
        found = true;
      }
    }
  }
  return found;
}

/** Runs inputs of one target and keeps those that take something new. */
class Fuzzer {
  readonly corpus: Uint8Array[] = [];
  readonly finds = new Map<string, Find>();
  readonly #target: Target;
  readonly #options: FuzzOptions;
  readonly #words: Uint32Array;
  readonly #random: Random;
  #count = 0;

  constructor(target: Target, options: FuzzOptions, random: Random) {
    const { taken } = options;
    this.#target = target;
    this.#options = options;
    this.#words = new Uint32Array(taken.buffer, taken.byteOffset, Math.floor(taken.length / 4));
    this.#random = random;
  }

  /** A promise only where the target gives one. */
  once(input: Uint8Array): void | Promise<void> {
    this.#options.taken.fill(0);
    try {
      const waiting = this.#target.run(input, this.#random);
      if (waiting !== undefined) return this.#later(waiting, input);
    } catch (error) {
      return this.#found(input, error);
    }
    return this.#after(input);
  }

  async #later(waiting: Promise<void>, input: Uint8Array): Promise<void> {
    try {
      await waiting;
    } catch (error) {
      return await this.#found(input, error);
    }
    return await this.#after(input);
  }

  #after(input: Uint8Array): void | Promise<void> {
    this.#count++;
    const kept = isNew(this.#options.taken, this.#words, this.#options.seen);
    if (kept) this.corpus.push(input.slice());
    const { thorough } = this.#target;
    if (thorough === undefined || (!kept && this.#count % thoroughEvery !== 0)) return;
    return this.#thoroughly(thorough, input);
  }

  async #thoroughly(thorough: NonNullable<Target["thorough"]>, input: Uint8Array): Promise<void> {
    try {
      await thorough(input);
    } catch (error) {
      await this.#found(input, error);
    }
    // What only this takes is seen, and no reason to keep an input.
    isNew(this.#options.taken, this.#words, this.#options.seen);
  }

  /** Carried out again with the calls that led there: keeping them costs more than most runs. */
  async #found(input: Uint8Array, first: unknown): Promise<void> {
    let error = first;
    const limit = Error.stackTraceLimit;
    Error.stackTraceLimit = 20;
    try {
      await this.#target.run(input, new Random(1));
      await this.#target.thorough?.(input);
    } catch (again) {
      error = again;
    }
    Error.stackTraceLimit = limit;
    const message = error instanceof Error ? `${error.name}: ${error.message}\n${error.stack}` : String(error);
    // One of each place is enough.
    const place = message
      .replace(/[0-9]+/g, "N")
      .split("\n")
      .slice(0, 4)
      .join("\n");
    if (this.finds.size < 50 && !this.finds.has(place)) this.finds.set(place, { input: input.slice(), message });
  }
}

export async function fuzz(target: Target, options: FuzzOptions): Promise<FuzzResult> {
  const random = new Random(options.seed);
  const fuzzer = new Fuzzer(target, options, random);
  const { corpus } = fuzzer;
  const began = performance.now();
  const cpu = process.cpuUsage();
  const limit = Error.stackTraceLimit;
  Error.stackTraceLimit = 0;
  for (const input of [...target.seeds, ...options.corpus]) await fuzzer.once(input);
  let runs = 0;
  while (runs < options.runs && performance.now() - began < options.seconds * 1000) {
    for (let i = 0; i < 256; i++) {
      const waiting = fuzzer.once(changed(chosen(corpus, random), corpus, target, random));
      if (waiting !== undefined) await waiting;
    }
    runs += 256;
    if (runs % turnRuns !== 0) continue;
    await new Promise((resolve) => setImmediate(resolve));
    if (options.onTurn?.(runs, fuzzer.finds.size) === false) break;
  }
  Error.stackTraceLimit = limit;
  const { user, system } = process.cpuUsage(cpu);
  const cpuSeconds = (user + system) / 1e6;
  const seconds = (performance.now() - began) / 1000;
  return { runs, seconds, cpuSeconds, corpus, finds: [...fuzzer.finds.values()] };
}

/** Newer inputs more often, for what they reach is less known; of two, the shorter more often, for it takes less time. */
function chosen(corpus: readonly Uint8Array[], random: Random): Uint8Array {
  if (random.below(2) === 0 && corpus.length > 16) return at(corpus, corpus.length - 1 - random.below(16));
  const [one, other] = [at(corpus, random.below(corpus.length)), at(corpus, random.below(corpus.length))];
  return one.length <= other.length || random.below(4) === 0 ? one : other;
}

function at(corpus: readonly Uint8Array[], index: number): Uint8Array {
  return corpus[index] ?? new Uint8Array(0);
}

const interesting = [
  0, 1, 2, 3, 4, 5, 6, 7, 8, 0x10, 0x20, 0x22, 0x28, 0x40, 0x60, 0x7e, 0x7f, 0x80, 0xfe, 0xff, 0x100, 0x1000, 0xffff,
  0x10000, 0x7fffffff, 0x80000000, 0xffffffff,
];

function changed(input: Uint8Array, corpus: readonly Uint8Array[], target: Target, random: Random): Uint8Array {
  let bytes: Uint8Array = input.slice();
  const times = 1 + random.below(random.below(4) === 0 ? 8 : 2);
  for (let i = 0; i < times; i++) bytes = change(bytes, corpus, target, random);
  return bytes.length > target.most ? bytes.slice(0, target.most) : bytes;
}

function change(bytes: Uint8Array, corpus: readonly Uint8Array[], target: Target, random: Random): Uint8Array {
  // Where pages are, changes say little: half of them go to the first and last bytes.
  const near = random.below(2) === 0;
  const span = Math.min(bytes.length, 400);
  const at = near
    ? random.below(2) === 0
      ? random.below(span)
      : bytes.length - 1 - random.below(span)
    : random.below(bytes.length);
  switch (random.below(12)) {
    case 0:
      if (bytes.length > 0) bytes[at] = (bytes[at] ?? 0) ^ (1 << random.below(8));
      return bytes;
    case 1:
      if (bytes.length > 0) bytes[at] = random.below(256);
      return bytes;
    case 2:
      if (bytes.length > 0) bytes[at] = (bytes[at] ?? 0) + (random.below(2) === 0 ? 1 : -1);
      return bytes;
    case 3:
    case 4:
      return number(bytes, at, random);
    case 5:
      return spliced(bytes, at, at + 1 + random.below(random.below(2) === 0 ? 16 : 2000), new Uint8Array(0));
    case 6: {
      const end = Math.min(bytes.length, at + 1 + random.below(64));
      return spliced(bytes, at, at, bytes.slice(at, end));
    }
    case 7: {
      const word = target.words[random.below(target.words.length)] ?? new Uint8Array(0);
      return random.below(2) === 0 ? spliced(bytes, at, at, word) : spliced(bytes, at, at + word.length, word);
    }
    case 8: {
      const other = corpus[random.below(corpus.length)] ?? bytes;
      const from = random.below(other.length);
      return spliced(bytes, at, bytes.length, other.subarray(from));
    }
    case 9: {
      const other = corpus[random.below(corpus.length)] ?? bytes;
      const from = random.below(other.length);
      const length = 1 + random.below(128);
      return spliced(bytes, at, at + length, other.subarray(from, from + length));
    }
    case 10:
      return bytes.slice(0, at);
    default:
      return spliced(
        bytes,
        at,
        at,
        Uint8Array.from({ length: 1 + random.below(8) }, () => random.below(256)),
      );
  }
}

function number(bytes: Uint8Array, at: number, random: Random): Uint8Array {
  const size = 1 << random.below(4);
  const start = Math.min(at, bytes.length - size);
  if (start < 0) return bytes;
  const value = interesting[random.below(interesting.length)] ?? 0;
  for (let i = 0; i < size; i++) bytes[start + i] = 0;
  for (let i = 0; i < Math.min(4, size); i++) bytes[start + size - 1 - i] = (value >>> (8 * i)) & 255;
  // High words too: past 2^53, and numbers that wrap.
  if (size === 8 && random.below(3) === 0)
    bytes.fill(random.below(2) === 0 ? 0xff : 0x20, start, start + 1 + random.below(4));
  return bytes;
}

function spliced(bytes: Uint8Array, start: number, end: number, by: Uint8Array): Uint8Array {
  const from = Math.max(0, Math.min(start, bytes.length));
  const to = Math.max(from, Math.min(end, bytes.length));
  const out = new Uint8Array(bytes.length - (to - from) + by.length);
  out.set(bytes.subarray(0, from));
  out.set(by, from);
  out.set(bytes.subarray(to), from + by.length);
  return out;
}
