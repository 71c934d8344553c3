import { availableParallelism } from "node:os";
import { printable } from "../../bytes/text.ts";
import { FixedramError } from "../../errors.ts";
import { type MemoryHit, searchPages } from "../../operations/inside/search-pages.ts";
import { dataBytes } from "../../pages/count.ts";
import { mostPattern, type PatternOptions, parsePattern } from "../../search/pattern.ts";
import { mostHits, type ViewHit, type ViewSearch } from "../shared/protocol.ts";
import type { EventStream } from "./events.ts";
import type { Side } from "./side.ts";

/** Milliseconds between two words on what was found. */
const apart = 100;
/** Hits told together, at most. */
const atOnce = 100;
/** Bytes of what stands around a hit, and of the hit itself, that are told. */
const context = { before: 16, after: 48 };
const mostShown = 128;
/** Beyond this many threads a disk or the memory's bandwidth is the limit. */
const mostThreads = 8;

export interface SearchQuery extends PatternOptions {
  readonly pattern: string;
}

/** @throws `usage.bad-choice` */
export function searchQuery(query: URLSearchParams): SearchQuery {
  const as = (["text", "hex", "regex"] as const).find((each) => each === (query.get("as") ?? "text"));
  const pattern = query.get("pattern") ?? "";
  if (as === undefined || pattern.length > 2 * mostPattern + mostPattern) {
    throw new FixedramError("usage.bad-choice", "the search is not one that can be made here", {
      expected: `as: text, hex, regex; a pattern of ${mostPattern} bytes at most`,
    });
  }
  return { pattern, as, utf16: query.get("utf16") === "1", ignoreCase: query.get("ignore-case") === "1" };
}

/**
 * Searches the pages that hold data, in threads: `hits` events (at most {@link mostHits} hits in all) and `progress`, then `result`. Ends
 * when the page does not listen any more.
 *
 * @throws `usage.bad-pattern`, `file.truncated`, `system.*`; the signal's reason
 */
export async function searchSide(
  side: Side,
  { pattern, ...options }: SearchQuery,
  stream: EventStream,
  signal: AbortSignal,
): Promise<void> {
  const began = performance.now();
  const scan = parsePattern(pattern, options);
  const { map } = side.snapshot;
  const total = await dataBytes(map, signal);
  const state = { searched: 0, hits: 0 };
  let batch: ViewHit[] = [];
  let told = 0;
  const tell = (): void => {
    if (batch.length > 0) stream.send("hits", batch);
    batch = [];
    const progress: ViewSearch = { ...state, total, more: false, time: performance.now() - began };
    stream.send("progress", progress);
    told = performance.now();
  };
  const onBytes = (bytes: number): void => {
    state.searched += bytes;
    if (performance.now() - told > apart) tell();
  };
  tell();
  let more = false;
  const threads = Math.min(mostThreads, availableParallelism());
  // One more than is told tells that there are more.
  const most = mostHits + 1;
  for await (const hit of searchPages(map, scan, { signal, blocks: map.blocks, most, context, threads, onBytes })) {
    if (state.hits === mostHits) {
      more = true;
      break;
    }
    state.hits++;
    batch.push(hitOf(side, hit));
    if (batch.length >= atOnce) tell();
  }
  tell();
  const result: ViewSearch = { ...state, total, more, time: performance.now() - began };
  stream.send("result", result);
}

function hitOf({ inside }: Side, { block, offset, length, context: bytes, before }: MemoryHit): ViewHit {
  const shown = bytes.subarray(0, before + Math.min(length, mostShown) + context.after);
  return {
    block: block.index,
    label: printable(block.name),
    offset,
    length,
    physical: physicalOf(inside, block.name, offset),
    bytes: Buffer.from(shown).toString("hex"),
    before,
  };
}

function physicalOf(inside: Side["inside"], block: string, offset: number): number | null {
  try {
    return inside.physical.addressesOf(block, offset)[0] ?? null;
  } catch (error) {
    // No memory map is known: hits are told by block alone.
    if (error instanceof FixedramError) return null;
    throw error;
  }
}
