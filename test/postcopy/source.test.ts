/** The source against a destination that plays QEMU's half: any order of requests, any delay, any break. */
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { ExtentKind, type ExtentList } from "../../src/pages/extents.ts";
import { postcopyBlocks } from "../../src/postcopy/blocks.ts";
import type { PageSource } from "../../src/postcopy/pages.ts";
import { PostcopySource } from "../../src/postcopy/source.ts";
import type { PageRun } from "../../src/postcopy/working-set.ts";
import { configuration } from "../fixedram/sample.ts";
import { PAGE, Peer, type PeerBlock } from "./peer.ts";

interface Model {
  readonly blocks: readonly PeerBlock[];
  /** Which pages hold data. */
  readonly data: readonly (readonly boolean[])[];
}

const content = (block: number, page: number) => new Uint8Array(PAGE).fill(1 + ((block * 7 + page) % 250));

/** Extents of at most `longest` pages: 1 is a stream, whose pages lie apart. */
function pageSource(
  { blocks, data }: Model,
  longest: number,
  slow: () => Promise<void>,
): PageSource & { fail: Error | null } {
  const ram = blocks.map(({ name, pages }, index) => ({ index, name, length: pages * PAGE, pageSize: PAGE, pages }));
  const fill = (views: readonly Uint8Array[], block: number, page: number) => {
    for (const [i, view] of views.entries()) view.set(content(block, page + i));
  };
  const source = {
    fail: null as Error | null,
    map: {
      blocks: ram,
      stores: [],
      extents: (block: number, first: number, count: number, into: ExtentList) => {
        let page = first;
        while (page < first + count) {
          const kind = data[block]?.[page];
          let end = page + 1;
          while (end < first + count && data[block]?.[end] === kind && end - page < longest) end++;
          if (!into.push(kind === true ? ExtentKind.data : ExtentKind.zero, page, end - page, 0, page * PAGE)) break;
          page = end;
        }
        return page - first;
      },
    },
    readNow: (
      views: readonly Uint8Array[],
      _store: number,
      offset: number,
      { index }: { index: number },
      page: number,
    ) => {
      if (source.fail !== null) throw source.fail;
      expect(offset).toBe(page * PAGE);
      fill(views, index, page);
    },
    readLater: async (
      views: readonly Uint8Array[],
      _s: number,
      _o: number,
      { index }: { index: number },
      page: number,
    ) => {
      await slow();
      if (source.fail !== null) throw source.fail;
      fill(views, index, page);
    },
    confirm: () => {},
  };
  return source;
}

interface Choices {
  readonly model: Model;
  readonly longest: number;
  readonly around: number;
  readonly ahead: number;
  readonly readAhead: number;
  readonly patient: boolean;
  readonly prefetch: readonly PageRun[];
  /** Pages that the guest touches, in order; and after how many turns of the event loop each. */
  readonly touches: readonly (readonly [block: number, page: number, wait: number])[];
  /** After so many bytes the connection breaks. */
  readonly breaks: readonly number[];
  readonly seed: number;
}

const choices: fc.Arbitrary<Choices> = fc
  .array(fc.record({ units: fc.integer({ min: 1, max: 40 }), unit: fc.constantFrom(1, 1, 4) }), {
    minLength: 1,
    maxLength: 3,
  })
  .chain((shapes) => {
    const blocks = shapes.map(({ units, unit }, i) => ({ name: `block${i}`, pages: units * unit, unit }));
    const anyPage = fc
      .nat({ max: blocks.length - 1 })
      .chain((block) => fc.tuple(fc.constant(block), fc.nat({ max: (blocks[block]?.pages ?? 1) - 1 })));
    return fc.record({
      model: fc.record({
        blocks: fc.constant(blocks),
        data: fc.tuple(...blocks.map(({ pages }) => fc.array(fc.boolean(), { minLength: pages, maxLength: pages }))),
      }),
      longest: fc.constantFrom(1, 3, 1000),
      around: fc.constantFrom(1, 4, 32),
      ahead: fc.constantFrom(0, 3 * PAGE, 1_000_000),
      readAhead: fc.constantFrom(1, 2 ** 21),
      patient: fc.boolean(),
      prefetch: fc.array(
        anyPage.map(([block, page]): PageRun => [block, page, Math.min(3, (blocks[block]?.pages ?? 1) - page)]),
        { maxLength: 8 },
      ),
      touches: fc.array(
        anyPage.chain(([block, page]) => fc.tuple(fc.constant(block), fc.constant(page), fc.nat({ max: 3 }))),
        { maxLength: 40 },
      ),
      breaks: fc.array(fc.integer({ min: 1, max: 6000 }), { maxLength: 4 }),
      seed: fc.nat(),
    });
  });

const turn = () => new Promise<void>((resolve) => setImmediate(resolve));

/** One connection: what the source writes reaches the peer in pieces, later; what the peer says comes back at once or later. */
class Link {
  readonly peer: Peer;
  readonly #random: () => number;
  readonly #queue: { bytes: Uint8Array; done: () => void }[] = [];
  source: PostcopySource | null = null;
  left: number;
  broken = false;

  constructor(peer: Peer, left: number, random: () => number) {
    this.peer = peer;
    this.left = left;
    this.#random = random;
    peer.reply = (bytes) => this.source?.receive(bytes);
  }

  readonly write = (bytes: Uint8Array, done: () => void): boolean => {
    if (this.broken) {
      setImmediate(done);
      return false;
    }
    if (this.#queue.length === 0 && this.#random() < 0.5) {
      // The system took it, and the peer sees it later: the caller may use its bytes again at once.
      this.#queue.push({ bytes: bytes.slice(), done: () => {} });
      return true;
    }
    this.#queue.push({ bytes, done });
    return false;
  };

  /** Brings a piece to the peer. */
  deliver(): void {
    const [first] = this.#queue;
    if (first === undefined) return;
    // A break before the guest runs ends QEMU: nothing to be tried here.
    const counts = this.peer.state === "running";
    const most = Math.min(first.bytes.length, 1 + Math.floor(this.#random() * 700), counts ? this.left : 1e9);
    const piece = first.bytes.subarray(0, most).slice();
    if (counts) this.left -= most;
    if (most < first.bytes.length) first.bytes = first.bytes.subarray(most);
    else this.#queue.shift();
    this.peer.push(piece);
    // Only when all of it is there may its bytes be used again.
    if (this.#queue[0] !== first) first.done();
    if (this.left <= 0 && !this.broken) this.cut();
  }

  get waiting(): number {
    return this.#queue.length;
  }

  cut(): void {
    this.broken = true;
    for (const { done } of this.#queue.splice(0)) done();
    this.peer.broke();
    this.source?.stop(new Error("broken"));
  }
}

function generator(seed: number): () => number {
  let state = seed % 2147483646 || 1;
  return () => {
    state = (state * 48271) % 2147483647;
    return state / 2147483647;
  };
}

/** Plays a whole load; returns the peer at its end and what was asked of the source before its END. */
async function play(chosen: Choices): Promise<{ peer: Peer; owed: Set<string>; recoveries: number }> {
  const { model, around, touches, longest } = chosen;
  const random = generator(chosen.seed);
  const peer = new Peer(model.blocks);
  const asked = new Set<string>();
  const owed = new Set<string>();
  const breaks = [...chosen.breaks];
  let recoveries = 0;
  const todo = [...touches];
  for (;;) {
    const link = new Link(peer, breaks.shift() ?? Number.POSITIVE_INFINITY, random);
    const source = makeSource(chosen, link, pageSource(model, longest, turn), around);
    link.source = source;
    const work = (peer.state === "running" ? source.recover() : source.begin()).then(() => source.serve());
    let over = false;
    let failure: unknown = null;
    work.then(
      () => {
        over = true;
      },
      (error: unknown) => {
        over = true;
        failure = error;
      },
    );
    // A guest that waited when its connection broke asks again.
    let again = [...asked].map((key) => key.split(":").map(Number) as [number, number]);
    let wait = 0;
    while (!over || link.waiting > 0) {
      await turn();
      link.deliver();
      if (peer.state !== "running" || peer.paused || over) continue;
      if (wait-- > 0) continue;
      const next = again.length > 0 ? again.shift() : todo.shift();
      if (next === undefined) continue;
      const [block, page] = next;
      if (peer.has(block, page)) continue;
      wait = todo[0]?.[2] ?? 0;
      asked.add(`${block}:${page}`);
      // A request that crosses END needs no answer, and gets none.
      if (!source.ended) owed.add(`${block}:${page}`);
      const bytes = peer.request(block, page);
      const cut = Math.floor(random() * bytes.length);
      source.receive(bytes.subarray(0, cut));
      source.receive(bytes.subarray(cut));
    }
    // It may have broken behind the source's last byte: QEMU then waits, and its supervisor goes on.
    if (failure === null && !link.broken) return { peer, owed, recoveries };
    again = [];
    if (failure !== null && !(failure instanceof Error && failure.message === "broken")) throw failure;
    recoveries++;
  }
}

function makeSource(chosen: Choices, link: Link, pages: PageSource, around: number): PostcopySource {
  let now = 0;
  const entries = pages.map.blocks.map((block) => ({ block, hostPageSize: null, guestAddress: null, mapped: null }));
  const total = pages.map.blocks.reduce((sum, { length }) => sum + length, 0);
  const ramStart = { kind: "ram-start", sectionId: 2, instance: 0, version: 4, total, blocks: entries } as const;
  const device = {
    kind: "device",
    sectionId: 9,
    name: "timer",
    instance: 0,
    version: 1,
    payload: new Uint8Array(9),
    early: false,
  } as const;
  const sizes = new Map(chosen.model.blocks.map(({ name, unit }) => [name, unit * PAGE]));
  return new PostcopySource({
    input: { records: [{ kind: "header", version: 3 }, configuration(), ramStart, device], ramStart },
    blocks: postcopyBlocks(pages.map.blocks, PAGE, sizes),
    hostPageSize: PAGE,
    pages,
    wire: link,
    now: () => (now += 0.5),
    turn,
    around,
    pace: { quiet: 1, hold: 5, share: 0.5, rate: null },
    prefetch: chosen.prefetch,
    prefetchAhead: chosen.ahead,
    readAhead: chosen.readAhead,
    patient: chosen.patient,
    held: false,
    recorder: null,
    events: { loaded: () => {}, shut: () => {} },
  });
}

function expectRight({ model }: Choices, peer: Peer, owed: ReadonlySet<string>): void {
  expect(peer.state).toBe("ended");
  for (const [block, { pages }] of model.blocks.entries()) {
    for (let page = 0; page < pages; page++) {
      const found = peer.placed[block]?.get(page);
      const wanted = model.data[block]?.[page] === true ? content(block, page) : new Uint8Array(PAGE);
      if (found === undefined && (owed.has(`${block}:${page}`) || model.data[block]?.[page] === true))
        throw new Error(
          `page ${page} of block ${block} never came${owed.has(`${block}:${page}`) ? ", though it was asked for" : ""}`,
        );
      if (found !== undefined) expect(found, `page ${page} of block ${block}`).toEqual(wanted);
    }
  }
}

describe("the source of a postcopy migration", () => {
  test("sends every page once, answers every request, and takes over after any break", {
    timeout: 60_000,
  }, async () => {
    let recovered = 0;
    await fc.assert(
      fc.asyncProperty(choices, async (chosen) => {
        const { peer, owed, recoveries } = await play(chosen);
        recovered += recoveries;
        expectRight(chosen, peer, owed);
      }),
      { numRuns: Number(process.env.FIXEDRAM_RUNS ?? 60) },
    );
    // The property is worth something only if breaks happened.
    expect(recovered).toBeGreaterThan(5);
  });
});
