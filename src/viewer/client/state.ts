/** What is shown, in one place; parts of the page read it, gestures and keys write it. */
import { batch, computed, signal } from "@preact/signals";
import { physicalIn, type Spot, spotIn } from "../shared/address.ts";
import type { Order } from "../shared/grid.ts";
import { type ModeName, modeNames } from "../shared/modes.ts";
import type { Theme } from "../shared/palette.ts";
import type { ViewBlock, ViewCheck, ViewComparison, ViewFile, ViewSnapshot } from "../shared/protocol.ts";
import type { View } from "../shared/view.ts";
import { worldOf } from "../shared/world.ts";
import type { ApiError } from "./api.ts";
import { moment } from "./live/record.ts";
import type { Look } from "./map/paint.ts";

export const snapshot = signal<ViewSnapshot | null>(null);
/** Which of the two is shown: 0 the file, 1 the one that it is compared with. */
export const side = signal<0 | 1>(0);
/** What is shown, and what it is compared with. */
export const file = computed<ViewFile | null>(
  () => (side.value === 1 ? snapshot.value?.other : snapshot.value?.file) ?? null,
);
export const other = computed<ViewFile | null>(
  () => (side.value === 1 ? snapshot.value?.file : snapshot.value?.other) ?? null,
);
/** Why nothing can be shown. */
export const failure = signal<ApiError | null>(null);
/** Something that went wrong on the way and is told at the bottom. */
export const notice = signal<string | null>(null);

export const theme = signal<Theme>("dark");
export const mode = signal<ModeName>("state");
export const order = signal<Order>("rows");
export const hidden = signal<ReadonlySet<string>>(new Set());
/** Null: all of it. */
export const view = signal<View | null>(null);

/** What is under the pointer: pages of a block. */
export interface Hovered {
  readonly block: ViewBlock;
  readonly page: number;
  /** More than one where a cell stands for many; of rows, pages in the cell's first row. */
  readonly pages: number;
  readonly level: number;
  /** Place on the canvas, CSS pixels. */
  readonly x: number;
  readonly y: number;
  readonly tells: string;
}

export const hovered = signal<Hovered | null>(null);
export const selected = signal<Spot | null>(null);
export const panes = ["page", "search", "devices", "cpus", "snapshot"] as const;
export type PaneName = (typeof panes)[number];
export const pane = signal<PaneName | null>(null);
/** Pages to be ringed on the map: block to page indices. */
export const found = signal<ReadonlyMap<number, readonly number[]>>(new Map());
/** Marks of damaged pages at most: beyond, the colours tell. */
const mostMarked = 400;
export const helpOpen = signal(false);
export const goOpen = signal(false);

/** What the last check of each side found. */
export const checks = signal<readonly [ViewCheck | null, ViewCheck | null]>([null, null]);
export const checked = computed(() => checks.value[side.value]);
/** Pages that it found damaged, the first of them: block to page indices. */
export const damaged = computed<ReadonlyMap<number, readonly number[]>>(() => {
  const pages = new Map<number, number[]>();
  for (const { block, page } of (checked.value?.problems ?? []).slice(0, mostMarked))
    if (block !== null && page !== null) pages.set(block, [...(pages.get(block) ?? []), page]);
  return pages;
});
export const checking = signal<{ bytes: number; total: number; deep: boolean } | null>(null);
/** How far the comparison with the other snapshot is. */
export const comparing = signal<ViewComparison | null>(null);

export const blocks = computed(() => file.value?.blocks ?? []);
export const world = computed(() => worldOf(blocks.value, order.value));

export const availableModes = computed(() => {
  const known = snapshot.value;
  return modeNames.filter((name) => {
    if (known?.pending === true) return name === "rewrites";
    if (name === "changes") return known?.other != null;
    if (name === "live") return known?.live === "resume";
    if (name === "rewrites") return known?.live === "save";
    return true;
  });
});

/** The same object while nothing about the colours changes: tiles are painted once for each. */
export const look = computed<Look>(() => {
  const state = file.value?.seal.state;
  const deep = checked.value?.deep === true && checked.value.coverage !== null;
  const trust = state === "none" || state === undefined ? "uncovered" : deep ? "intact" : "covered";
  return {
    side: side.value,
    mode: mode.value,
    theme: theme.value,
    hidden: hidden.value,
    trust: state === "sealed" || state === "damaged" ? trust : "uncovered",
    moment: mode.value === "live" || mode.value === "rewrites" ? moment.value : null,
  };
});

export function showPane(name: PaneName | null): void {
  batch(() => {
    pane.value = name;
    if (name === "page" && selected.value === null) {
      const first = [...blocks.value].sort((a, b) => b.pages - a.pages)[0];
      if (first !== undefined) selected.value = { block: first.index, offset: 0 };
    }
  });
}

export function togglePane(name: PaneName): void {
  showPane(pane.value === name ? null : name);
}

export function toggleHidden(key: string): void {
  const next = new Set(hidden.value);
  if (!next.delete(key)) next.add(key);
  hidden.value = next;
}

export function showMode(name: ModeName): void {
  batch(() => {
    mode.value = name;
    hidden.value = new Set();
  });
}

const ranges = computed(() => file.value?.memory?.ranges ?? []);

export function physicalOf(spot: Spot): number | null {
  return physicalIn(ranges.value, spot);
}

export function spotOfPhysical(address: number): Spot | null {
  return spotIn(ranges.value, address);
}

/** Shows the other one of the two; what is chosen stays, where it is in both. */
export function exchange(): void {
  if (snapshot.value?.other == null) return;
  const name = blockOf(selected.value)?.name;
  batch(() => {
    side.value = side.value === 0 ? 1 : 0;
    const spot = selected.value;
    const block = blocks.value.find((each) => each.name === name);
    selected.value =
      spot === null || block === undefined || spot.offset >= block.length
        ? null
        : { block: block.index, offset: spot.offset };
    hovered.value = null;
  });
}

export function blockOf(spot: Spot | null): ViewBlock | null {
  return spot === null ? null : (blocks.value[spot.block] ?? null);
}
