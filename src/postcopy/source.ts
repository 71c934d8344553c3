/**
 * The source's half of a postcopy migration, played from a file (docs/protocol.md). No I/O and no clock of its own: bytes of the
 * return path go in, bytes for the destination come out through the wire.
 *
 *     begin:    header ... START | prefetch | DISCARD | PACKAGED( LISTEN devices PING RUN ) -> serving
 *     recover:  RECV_BITMAP a block -> bitmaps -> RESUME -> RESUME_ACK                       -> serving
 *     serving:  answers, windows, push                                                      -> END, EOF -> ended
 */
import { bitmapBytes } from "../bytes/bitmap.ts";
import { FixedramError } from "../errors.ts";
import { type PostcopyBlock, SentPages } from "./blocks.ts";
import {
  askBitmap,
  beginning,
  discards,
  ending,
  Ping,
  type PostcopyInput,
  packaged,
  remainingSections,
  resumeCommand,
} from "./framing.ts";
import { LatencyHistogram } from "./latency.ts";
import { Pace, type PaceOptions } from "./pace.ts";
import type { PageSource, Watcher, Wire } from "./pages.ts";
import { Pusher } from "./push.ts";
import { Readahead } from "./readahead.ts";
import { ReturnPathReader } from "./return-path.ts";
import { Sender } from "./sender.ts";
import type { PageRun, WorkingSetRecorder } from "./working-set.ts";

export interface SourceOptions {
  readonly input: PostcopyInput;
  readonly blocks: readonly PostcopyBlock[];
  /** The destination's own page size, bytes. */
  readonly hostPageSize: number;
  readonly pages: PageSource;
  readonly wire: Wire;
  /** Milliseconds. */
  readonly now: () => number;
  /** Lets the event loop turn, so that requests that came meanwhile are seen. */
  readonly turn: () => Promise<void>;
  /** Pages that a fault brings along, its own included. */
  readonly around: number;
  /** The thread serves other guests too: no read may hold it. */
  readonly patient: boolean;
  /** The push waits until {@link PostcopySource.release}. */
  readonly held: boolean;
  /** Bytes that the push may hold, read ahead. */
  readonly readAhead: number;
  readonly pace: PaceOptions;
  /** Runs to be sent ahead, in order. */
  readonly prefetch: readonly PageRun[];
  /** Bytes of them that may go before the guest runs; the rest follows first thing after. */
  readonly prefetchAhead: number;
  readonly recorder: Pick<WorkingSetRecorder, "touch"> | null;
  readonly events: SourceEvents;
}

export interface SourceEvents {
  /** The destination has taken in the device state and is about to run. */
  loaded(): void;
  /** Its verdict at the end: 0 is fine. */
  shut(value: number): void;
}

/** What has been done so far. */
export interface SourceCounts {
  /** Requests answered with pages, and those for pages that were on their way already. */
  readonly faults: number;
  readonly ignored: number;
  readonly dataPages: number;
  readonly zeroPages: number;
}

interface Window {
  readonly entry: PostcopyBlock;
  next: number;
  readonly end: number;
}

export class PostcopySource {
  readonly sent: SentPages;
  readonly latency = new LatencyHistogram();
  readonly #options: SourceOptions;
  readonly #sender: Sender;
  readonly #reader: ReturnPathReader;
  readonly #readahead: Readahead;
  readonly #pace: Pace;
  readonly #pusher: Pusher;
  readonly #windows: Window[] = [];
  readonly #waiting: { block: number; unit: number; since: number }[] = [];
  /** What of the prefetch list is still to be sent once the guest runs. */
  #prefetch: PageRun[] = [];
  #serving = false;
  #held: boolean;
  /** Requests that came before it was known what the destination has. */
  readonly #early: (() => void)[] = [];
  #ended = false;
  #faults = 0;
  #ignored = 0;
  #watcher: Watcher | null = null;
  #wake: () => void = () => {};
  readonly #bitmaps = new Map<string, (bits: Uint8Array) => void>();
  #acknowledged: (value: number) => void = () => {};
  #failure: { readonly error: unknown } | null = null;
  #refuse: (error: unknown) => void = () => {};

  constructor(options: SourceOptions) {
    this.#options = options;
    this.sent = new SentPages(options.blocks);
    const { pages, wire, now, input } = options;
    const { patient } = options;
    this.#held = options.held;
    this.#sender = new Sender(this.sent, pages, wire, input.ramStart.sectionId, now, patient, (error) =>
      this.stop(error),
    );
    this.#pusher = new Pusher(pages, this.sent, options.readAhead);
    this.#readahead = new Readahead(options.around);
    this.#pace = new Pace(options.pace, now());
    this.#reader = new ReturnPathReader(
      {
        shut: (value) => options.events.shut(value),
        pong: (value) => {
          if (value === Ping.loaded) options.events.loaded();
        },
        request: (block, start, length) => this.#request(block, start, length),
        bitmap: (block, bits) => this.#bitmaps.get(block)?.(bits),
        resumeAck: (value) => this.#acknowledged(value),
      },
      (name) => bitmapBytes(this.sent.blocks[this.sent.named(name)]?.block.pages ?? 0),
    );
  }

  set watcher(watcher: Watcher | null) {
    this.#watcher = watcher;
    this.#sender.watcher = watcher;
  }

  get counts(): SourceCounts {
    const { dataPages, zeroPages } = this.#sender;
    return { faults: this.#faults, ignored: this.#ignored, dataPages, zeroPages };
  }

  /** END is on its way: the destination takes what it asks for from now on for zeros by itself. */
  get ended(): boolean {
    return this.#ended;
  }

  /** When the faults were quiet for the first time, on the clock; null: not yet. */
  get settled(): number | null {
    return this.#pace.settled(this.#options.now());
  }

  /** Bytes of the return path. Faults are answered before this returns. What goes wrong is thrown by whoever runs. */
  receive(chunk: Uint8Array): void {
    if (this.#failure !== null) return;
    try {
      this.#reader.push(chunk);
    } catch (error) {
      this.stop(error);
    }
  }

  /** Ends what runs: it throws `error`. The wire must call back for what it was given. */
  stop(error: unknown): void {
    this.#failure ??= { error };
    this.#refuse(this.#failure.error);
    this.#wake();
  }

  /** The push may begin, as far as this guest leaves time for it. */
  release(): void {
    this.#held = false;
    this.#wake();
  }

  /** Brings a new destination to the point where its guest runs. Requests may come, and are answered, before this returns. */
  async begin(): Promise<void> {
    const { input, blocks, hostPageSize, now } = this.#options;
    await this.#sender.raw(beginning(input, blocks, hostPageSize));
    await this.#sendAhead();
    await this.#sender.raw(remainingSections(input));
    for (const command of discards(this.sent)) await this.#sender.raw(command);
    this.#check();
    // From the package on: device state is loaded by touching memory.
    this.#startServing();
    await this.#sender.raw(packaged(input));
    this.#check();
    this.#pace.start(now());
  }

  /** Takes over a destination that lost its source: what it has is asked of it, for it alone knows. */
  async recover(): Promise<void> {
    for (const { block } of this.sent.blocks) {
      const answer = this.#unlessStopped<Uint8Array>((resolve) => this.#bitmaps.set(block.name, resolve));
      await this.#sender.raw(askBitmap(block.name));
      this.sent.replace(block.index, await answer);
    }
    const acknowledged = this.#unlessStopped<number>((resolve) => {
      this.#acknowledged = resolve;
    });
    this.#startServing();
    await this.#sender.raw(resumeCommand());
    const value = await acknowledged;
    if (value !== 1) {
      throw new FixedramError("qemu.return-path", "QEMU does not take the recovered migration", {
        found: `RESUME_ACK ${value}`,
      });
    }
    this.#pace.start(this.#options.now());
  }

  /**
   * Sends all the rest: windows of faults first, then what is left of the prefetch list, then everything else as the guest leaves time
   * for it. Returns when END is sent.
   */
  async serve(): Promise<void> {
    while (!this.#ended) {
      await this.#step();
      this.#check();
      await this.#options.turn();
      this.#check();
    }
  }

  #startServing(): void {
    this.#serving = true;
    for (const request of this.#early.splice(0)) request();
  }

  #check(): void {
    if (this.#failure !== null) throw this.#failure.error;
  }

  /** An answer of the destination's, for which nothing else has to be done. */
  #unlessStopped<T>(ask: (resolve: (value: T) => void) => void): Promise<T> {
    const answer = new Promise<T>((resolve, reject) => {
      this.#refuse = reject;
      if (this.#failure !== null) reject(this.#failure.error);
      ask(resolve);
    });
    answer.catch(() => {});
    return answer;
  }

  /** One piece of background work, or a wait for something to do. */
  async #step(): Promise<void> {
    const waiting = this.#waiting.shift();
    if (waiting !== undefined) return this.#answerUnit(waiting);
    const window = this.#windows[0];
    if (window !== undefined) {
      window.next = await this.#sender.some(window.entry, window.next, window.end, "window");
      if (window.next >= window.end) this.#windows.splice(this.#windows.indexOf(window), 1);
      return;
    }
    const run = this.#prefetch[0];
    if (run !== undefined) return this.#sendLater(run);
    if (this.#held) return this.#woken();
    const { now } = this.#options;
    const pause = this.#pace.wait(now());
    if (pause > 0) return this.#pause(pause);
    const next = this.#pusher.next();
    if (next === null) return this.#end();
    if (next instanceof Promise) return Promise.race([next, this.#woken()]);
    const began = now();
    const bytes = "part" in next ? await this.#sender.pushed(next) : await this.#sender.pushedUnit(next);
    this.#pace.pushed(bytes, began, now());
  }

  async #end(): Promise<void> {
    await this.#sender.answered();
    this.#check();
    this.#ended = true;
    this.#serving = false;
    await this.#sender.raw(ending(this.#options.input.ramStart.sectionId));
  }

  /** Something came that the background should look at. */
  #woken(): Promise<void> {
    return new Promise((resolve) => {
      this.#wake = resolve;
    });
  }

  async #pause(milliseconds: number): Promise<void> {
    let timer: NodeJS.Timeout | undefined;
    const over = new Promise<void>((resolve) => {
      timer = setTimeout(resolve, Math.ceil(milliseconds));
    });
    await Promise.race([over, this.#woken()]);
    clearTimeout(timer);
  }

  #request(name: string, start: number, length: number): void {
    const { now, recorder } = this.#options;
    if (!this.#serving && !this.#ended) {
      this.#early.push(() => this.#request(name, start, length));
      return;
    }
    const since = now();
    const index = this.sent.named(name);
    const entry = this.#entry(index);
    const { block, hostPageSize, unit } = entry;
    const end = start + length;
    if (start % hostPageSize !== 0 || length % hostPageSize !== 0 || end > block.length) {
      throw new FixedramError("qemu.return-path", "QEMU asks for something that is no page of the RAM block", {
        block: name,
        expected: `multiples of ${hostPageSize} bytes below ${block.length}`,
        found: `${length} bytes at ${start}`,
      });
    }
    this.#pace.fault(since);
    const first = start / block.pageSize;
    const last = end / block.pageSize;
    recorder?.touch(index, ...this.#readahead.around(first, last, block.pages));
    for (let page = first; page < last; page += unit) {
      // After END the destination takes what it did not get for zeros by itself.
      if (this.#ended || this.sent.has(index, page)) {
        this.#ignored++;
        continue;
      }
      this.#faults++;
      if (unit > 1) this.#waiting.push({ block: index, unit: page / unit, since });
      else this.#answer(entry, page, since);
    }
    this.#wake();
  }

  #answer(entry: PostcopyBlock, page: number, since: number): void {
    const { now } = this.#options;
    const { index, pages } = entry.block;
    const served = () => {
      const took = (now() - since) * 1000;
      this.latency.add(took);
      this.#watcher?.sent("fault", index, page, 1, now(), took);
    };
    if (this.#sender.one(entry, page, served)) served();
    const window = this.#readahead;
    window.window(index, page, pages);
    if (window.end - window.first > 1) this.#windows.push({ entry, next: window.first, end: window.end });
  }

  /** A huge page is answered in its turn: its buffer holds one at a time. */
  async #answerUnit({ block, unit, since }: { block: number; unit: number; since: number }): Promise<void> {
    const entry = this.#entry(block);
    // Asked for twice, or pushed meanwhile.
    if (!this.sent.has(block, unit * entry.unit)) await this.#sender.unit(entry, unit, "fault");
    this.latency.add((this.#options.now() - since) * 1000);
  }

  /** Sends as much of the prefetch list as may go before the guest runs, in the file's order; the guest's order is for the rest. */
  async #sendAhead(): Promise<void> {
    const { prefetch, prefetchAhead } = this.#options;
    let left = prefetchAhead;
    let taken = 0;
    for (const [index, , pages] of prefetch) {
      const size = pages * (this.sent.blocks[index]?.block.pageSize ?? 0);
      if (size > left) break;
      left -= size;
      taken++;
    }
    this.#prefetch = prefetch.slice(taken);
    const ahead = prefetch.slice(0, taken).sort((a, b) => a[0] - b[0] || a[1] - b[1]);
    for (const [index, first, pages] of ahead) {
      const entry = this.#entry(index);
      // Something must be left to be discarded (framing.ts): the very first host page never goes ahead.
      let page = index === 0 ? Math.max(first, entry.unit) : first;
      while (page < first + pages) page = await this.#prefetchFrom(entry, page, first + pages);
      this.#check();
    }
  }

  /** Sends a part of the first run that is left. */
  async #sendLater([index, first, pages]: PageRun): Promise<void> {
    const next = await this.#prefetchFrom(this.#entry(index), first, first + pages);
    if (next >= first + pages) this.#prefetch.shift();
    else this.#prefetch[0] = [index, next, first + pages - next];
  }

  async #prefetchFrom(entry: PostcopyBlock, from: number, end: number): Promise<number> {
    if (entry.unit === 1) return this.#sender.some(entry, from, end, "prefetch");
    const unit = Math.floor(from / entry.unit);
    if (!this.sent.has(entry.block.index, unit * entry.unit)) await this.#sender.unit(entry, unit, "prefetch");
    return (unit + 1) * entry.unit;
  }

  #entry(index: number): PostcopyBlock {
    const entry = this.sent.blocks[index];
    if (entry === undefined) throw new RangeError(`no block ${index}`);
    return entry;
  }
}
