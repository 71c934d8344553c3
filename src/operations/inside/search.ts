import { setImmediate as turn } from "node:timers/promises";
import { FixedramError } from "../../errors.ts";
import { dataBytes } from "../../pages/count.ts";
import { type PatternOptions, parsePattern, type Scan } from "../../search/pattern.ts";
import { Reporter } from "../reporter.ts";
import type { Inside } from "./open.ts";
import { searchPages } from "./search-pages.ts";
import { type InsideOptions, type MapUsed, mapUsed, withInside } from "./with.ts";

/** Something that was found in a guest's memory. */
export interface SearchHit {
  /** Name, bytes as latin1, and the place in the block; bytes. */
  readonly block: string;
  readonly offset: number;
  readonly length: number;
  /** Guest-physical address; null where the block is not mapped, or no memory map is known. */
  readonly physical: number | null;
  /** What stands there, with `before` bytes that stand before the hit. Of a string: the string itself. */
  readonly context: Uint8Array;
  readonly before: number;
}

interface ScanOptions extends InsideOptions {
  /** Only in this block. */
  readonly block?: string;
  /** Ends after so many hits. Default: no limit. */
  readonly limit?: number;
  /** Threads at most; 0: none. Default: as many as there are processors. */
  readonly threads?: number;
  /** Takes the hits one by one, in block order. */
  readonly onHit: (hit: SearchHit) => void | Promise<void>;
}

export interface SearchOptions extends ScanOptions, PatternOptions {
  readonly pattern: string;
  /** Bytes of context before and after a hit; default 16 and 32. */
  readonly context?: { readonly before: number; readonly after: number };
}

export interface StringsOptions extends ScanOptions {
  /** Characters at least; default 8. */
  readonly least?: number;
  readonly utf16?: boolean;
}

export interface SearchResult {
  readonly path: string;
  readonly hits: number;
  /** Bytes of data that were searched, and that there are. */
  readonly searched: number;
  readonly data: number;
  /** Why it ended before all was searched: null when it did not. */
  readonly stopped: "limit" | "signal" | null;
  /** The map that physical addresses are by; null: none is known. */
  readonly map: MapUsed | null;
  /** Milliseconds. */
  readonly time: number;
}

/**
 * Searches the pages that hold data, in block order. A hit may cross page borders of its block, and reach into pages of zeros;
 * what lies in pages of zeros alone is not found. Ended by its signal it says so and does not throw.
 *
 * @throws `usage.bad-pattern`, `usage.no-such-block`, those of {@link openSnapshot}
 */
export async function search(options: SearchOptions): Promise<SearchResult> {
  const { pattern, context = { before: 16, after: 32 } } = options;
  return await scanMemory(options, parsePattern(pattern, options), context);
}

/** Gives the printable texts in the pages that hold data, as strings(1) does. @throws as {@link search} */
export async function strings(options: StringsOptions): Promise<SearchResult> {
  const { least = 8, utf16 = false } = options;
  return await scanMemory(options, { kind: "strings", least, utf16 }, { before: 0, after: 0 });
}

/** So long, ms, signals and timers may wait while there is one hit after the other. */
const slice = 20;

async function scanMemory(
  options: ScanOptions,
  scan: Scan,
  context: { readonly before: number; readonly after: number },
): Promise<SearchResult> {
  const { file, block, limit = Number.MAX_SAFE_INTEGER, threads, onHit, signal } = options;
  return await withInside(options, async (inside) => {
    const { map } = inside.snapshot;
    const state = { bytes: 0, total: await dataBytes(map, signal), round: 0 };
    const reporter = new Reporter(options, () => state);
    const blocks = block === undefined ? map.blocks : [inside.block(block)];
    const physical = knownMap(inside);
    let hits = 0;
    let stopped: SearchResult["stopped"] = null;
    const onBytes = (bytes: number) => {
      state.bytes += bytes;
      reporter.report();
    };
    reporter.enter("search");
    let pause = performance.now() + slice;
    try {
      // One more than is given tells that there are more.
      for await (const hit of searchPages(map, scan, { signal, blocks, most: limit + 1, context, threads, onBytes })) {
        if (hits === limit) {
          stopped = "limit";
          break;
        }
        const { offset, length, before } = hit;
        const [address] = physical ? inside.physical.addressesOf(hit.block.name, offset) : [];
        hits++;
        if (performance.now() > pause) {
          await turn();
          signal?.throwIfAborted();
          pause = performance.now() + slice;
        }
        await onHit({ block: hit.block.name, offset, length, physical: address ?? null, context: hit.context, before });
      }
    } catch (error) {
      if (signal?.aborted !== true) throw error;
      stopped = "signal";
    }
    const used = physical ? mapUsed(inside.memoryMap) : null;
    return { path: file, hits, searched: state.bytes, data: state.total, stopped, map: used, time: reporter.elapsed };
  });
}

/** Without a memory map hits are told by block alone; a map that was given has to be right. */
function knownMap(inside: Inside): boolean {
  try {
    return inside.memoryMap !== null;
  } catch (error) {
    if (error instanceof FixedramError && error.code === "file.memory-map-unknown") return false;
    throw error;
  }
}
