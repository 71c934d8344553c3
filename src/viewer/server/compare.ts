import { PageBitmap } from "../../bytes/bitmap.ts";
import { safe } from "../../bytes/text.ts";
import { diffPages } from "../../operations/diff/pages.ts";
import { dataBytes } from "../../pages/count.ts";
import type { ViewComparison } from "../shared/protocol.ts";
import type { Announcer } from "./events.ts";
import type { Side } from "./side.ts";

/** Milliseconds between two words on how far it is. */
const apart = 300;

/** Compares the pages of two snapshots and marks on both what differs; tells how far it is as `compare`. Never rejects. */
export async function compareSides(side: Side, other: Side, announcer: Announcer, signal: AbortSignal): Promise<void> {
  const [a, b] = [other.snapshot.map, side.snapshot.map];
  const total = Math.max(await dataBytes(a), await dataBytes(b));
  const state = { bytes: 0, pages: { changed: 0, added: 0, gone: 0, unknown: 0 } };
  let told = performance.now();
  const tell = (done: boolean, failed: string | null = null) => {
    for (const layer of ["changed", "added", "gone"] as const) for (const each of [side, other]) each.forget(layer);
    const bytes = done ? total : Math.min(state.bytes, total);
    const word: ViewComparison = { done, bytes, total, pages: { ...state.pages }, failed };
    announcer.tell("compare", word);
    told = performance.now();
  };
  tell(false);
  try {
    const onPages = (bytes: number) => {
      state.bytes += bytes;
      if (performance.now() - told > apart) tell(false);
    };
    for await (const { block: name, kind, first, pages } of diffPages(a, b, { signal, onPages })) {
      state.pages[kind] += pages;
      if (kind === "unknown") continue;
      mark(side, kind, name, first, pages);
      // What came to be on one side is gone on the other.
      mark(other, kind === "added" ? "gone" : kind === "gone" ? "added" : kind, name, first, pages);
    }
    tell(true);
  } catch (error) {
    if (!signal.aborted) tell(true, safe(error instanceof Error ? error.message : String(error)));
  }
}

function mark(side: Side, layer: "changed" | "added" | "gone", name: string, first: number, pages: number): void {
  const block = side.snapshot.map.blocks.find((each) => each.name === name);
  if (block === undefined) return;
  const bitmap = side.marks[layer].get(block.index) ?? new PageBitmap(block.pages);
  side.marks[layer].set(block.index, bitmap);
  const end = Math.min(block.pages, first + pages);
  if (first < end) bitmap.setRange(first, end - first);
}
