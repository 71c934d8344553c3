/** The search: what is looked for, and what was found so far. */
import { batch, effect, signal } from "@preact/signals";
import type { ViewError, ViewHit, ViewSearch } from "../shared/protocol.ts";
import { follow } from "./api.ts";
import { showSpot } from "./map/camera.ts";
import { blocks, found, selected, side } from "./state.ts";

export interface Wanted {
  readonly pattern: string;
  readonly as: "text" | "hex" | "regex";
  readonly utf16: boolean;
  readonly ignoreCase: boolean;
}

/** What was looked for last. */
export const wanted = signal<Wanted>({ pattern: "", as: "text", utf16: false, ignoreCase: false });
export const hits = signal<readonly ViewHit[]>([]);
/** How far it is; null: nothing was looked for yet. */
export const progress = signal<ViewSearch | null>(null);
export const searching = signal(false);
/** It was stopped before its end. */
export const stopped = signal(false);
export const problem = signal<ViewError | null>(null);
/** The hit that was gone to last, an index; -1: none. */
export const current = signal(-1);
/** Moves on when the search's field is to have the focus. */
export const focusSearch = signal(0);

let end: (() => void) | null = null;
/** The side that was searched. */
let searched = 0;

effect(() => {
  // What was found belongs to one of the two.
  if (side.value !== searched) find(wanted.peek());
});

export function find(next: Wanted): void {
  end?.();
  searched = side.peek();
  batch(() => {
    wanted.value = next;
    hits.value = [];
    found.value = new Map();
    progress.value = null;
    problem.value = null;
    stopped.value = false;
    current.value = -1;
    searching.value = next.pattern !== "";
  });
  if (next.pattern === "") return;
  const query = new URLSearchParams({ side: String(side.peek()), pattern: next.pattern, as: next.as });
  if (next.utf16) query.set("utf16", "1");
  if (next.ignoreCase) query.set("ignore-case", "1");
  end = follow(
    `api/search?${query}`,
    {
      hits: (more: readonly ViewHit[]) =>
        batch(() => {
          hits.value = [...hits.value, ...more];
          found.value = pagesOf(hits.value);
        }),
      progress: (now: ViewSearch) => {
        progress.value = now;
      },
      result: (now: ViewSearch) =>
        batch(() => {
          progress.value = now;
          searching.value = false;
        }),
      failed: (error: ViewError) => {
        problem.value = error;
      },
    },
    () => {
      if (searching.value && problem.value === null) stopped.value = true;
      searching.value = false;
    },
  );
}

/** What was found stands. */
export function stopSearch(): void {
  end?.();
  batch(() => {
    stopped.value = searching.value;
    searching.value = false;
  });
}

function pagesOf(all: readonly ViewHit[]): ReadonlyMap<number, readonly number[]> {
  const pages = new Map<number, number[]>();
  for (const { block, offset } of all) {
    const page = Math.floor(offset / (blocks.peek()[block]?.pageSize ?? 4096));
    const list = pages.get(block) ?? [];
    if (list.at(-1) !== page) list.push(page);
    pages.set(block, list);
  }
  return pages;
}

export function goToHit(index: number): void {
  const hit = hits.peek()[index];
  if (hit === undefined) return;
  batch(() => {
    current.value = index;
    selected.value = { block: hit.block, offset: hit.offset };
  });
  showSpot({ block: hit.block, offset: hit.offset });
}

export function stepHit(by: number): void {
  const count = hits.peek().length;
  if (count > 0) goToHit((current.peek() + by + count) % count);
}

/** How it is looked for, in one word of a link. */
export function asOf({ as, utf16, ignoreCase }: Omit<Wanted, "pattern">): string {
  return `${as}${utf16 ? "-utf16" : ""}${ignoreCase ? "-i" : ""}`;
}

export function howOf(text: string): Omit<Wanted, "pattern"> {
  const [first = "", ...rest] = text.split("-");
  const as = (["text", "hex", "regex"] as const).find((each) => each === first) ?? "text";
  return { as, utf16: rest.includes("utf16"), ignoreCase: rest.includes("i") };
}
