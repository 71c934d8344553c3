/** Pages that were read for the page pane, a few at a time. */
import { signal } from "@preact/signals";
import { PageKind, type ViewBlock } from "../shared/protocol.ts";
import { ApiError, getPages, type Pages } from "./api.ts";
import { side as shown } from "./state.ts";

const run = 16;
const mostRuns = 64;

type Held = { readonly pages: Pages } | { readonly failed: string } | null;
const held = new Map<string, Held>();
/** Changes when something has come. */
export const arrivals = signal(0);

/** @param of 0: what is shown, 1: what it is compared with */
function runOf(of: number, block: ViewBlock, page: number): Held {
  const side = shown.value === 0 ? of : 1 - of;
  const first = Math.floor(page / run) * run;
  const key = `${side} ${block.index} ${first}`;
  const known = held.get(key);
  if (known !== undefined) return known;
  held.set(key, null);
  void getPages(side, block.index, first, Math.min(run, block.pages - first))
    .then((pages) => held.set(key, { pages }))
    .catch((error: unknown) => {
      held.set(key, { failed: error instanceof ApiError ? error.message : String(error) });
    })
    .then(() => {
      for (const old of held.keys()) {
        if (held.size <= mostRuns) break;
        held.delete(old);
      }
      arrivals.value++;
    });
  return null;
}

/** The file is another one now, or is there at last. */
export function forgetBytes(): void {
  held.clear();
  arrivals.value++;
}

/** A byte; null while it is not here, -1 where the file has none. */
export function byteAt(side: number, block: ViewBlock, offset: number): number | null {
  const page = Math.floor(offset / block.pageSize);
  const found = runOf(side, block, page);
  if (found === null || "failed" in found) return null;
  const at = page % run;
  if (found.pages.kinds[at] === PageKind.absent) return -1;
  return found.pages.bytes[at * block.pageSize + (offset % block.pageSize)] ?? null;
}

/** What kind of page it is; null while that is not known. */
export function kindAt(side: number, block: ViewBlock, page: number): number | null {
  const found = runOf(side, block, page);
  return found === null || "failed" in found ? null : (found.pages.kinds[page % run] ?? null);
}

export function failureAt(side: number, block: ViewBlock, page: number): string | null {
  const found = runOf(side, block, page);
  return found !== null && "failed" in found ? found.failed : null;
}

/** Up to `length` bytes from an offset on, as far as they are here and in the block. */
export function bytesAt(side: number, block: ViewBlock, offset: number, length: number): Uint8Array {
  const bytes: number[] = [];
  for (let i = 0; i < length && offset + i < block.length; i++) {
    const byte = byteAt(side, block, offset + i);
    if (byte === null || byte < 0) break;
    bytes.push(byte);
  }
  return Uint8Array.from(bytes);
}
