import { type Place, pageAt, placeOf } from "../shared/grid.ts";
import { step, togglePlay } from "./live/replay.ts";
import { keepInSight, moveBy, showAll, showSpot, viewNow, zoomBy } from "./map/camera.ts";
import { focusSearch, stepHit } from "./search.ts";
import {
  availableModes,
  blockOf,
  blocks,
  exchange,
  goOpen,
  helpOpen,
  order,
  type PaneName,
  pane,
  selected,
  showMode,
  showPane,
  theme,
  togglePane,
  world,
} from "./state.ts";
import { keepTheme } from "./theme.ts";

/** What the help lists: the handlers below are this table's only other reader. */
export const keyTable: readonly (readonly [keys: string, does: string])[] = [
  ["← → ↑ ↓", "move the selection by a page; Shift: move the map"],
  ["+ −", "zoom; 0 shows all of it"],
  ["Enter", "show the selected page"],
  ["g", "go to an address"],
  ["/", "search; n and N go to the next hit and the one before"],
  ["1 … 6", "colour by state, content, ..."],
  ["o", "rows or Hilbert's curve"],
  ["p d c i", "page; devices; CPUs; snapshot, seal and check"],
  ["x", "with two snapshots: shows the other one"],
  ["t", "light or dark"],
  ["Space , .", "of a recording: play or hold; a step back; a step on"],
  ["Esc", "close what is open"],
  ["?", "this help"],
];

const paneKeys: Readonly<Record<string, PaneName>> = { p: "page", d: "devices", c: "cpus", i: "snapshot" };

export function listenToKeys(): void {
  addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    const target = event.target;
    if (event.key === "Escape") {
      closeSomething();
      return;
    }
    if (target instanceof HTMLElement && target.closest("input, textarea, select") !== null) return;
    // A button that has the focus is pressed by it.
    if (event.key === " " && target instanceof HTMLElement && target.closest("button") !== null) return;
    if (helpOpen.value || goOpen.value) return;
    if (act(event)) event.preventDefault();
  });
}

function closeSomething(): void {
  if (helpOpen.value) helpOpen.value = false;
  else if (goOpen.value) goOpen.value = false;
  else if (pane.value !== null) showPane(null);
  else selected.value = null;
  document.querySelector<HTMLElement>("canvas.map")?.focus();
}

function act(event: KeyboardEvent): boolean {
  const arrow = arrows[event.key];
  if (arrow !== undefined) {
    if (event.shiftKey) moveBy(arrow[0] * 90, arrow[1] * 90);
    else stepBy(arrow[0], arrow[1]);
    return true;
  }
  const number = Number(event.key);
  const chosen = number >= 1 ? availableModes.value[number - 1] : undefined;
  if (chosen !== undefined) {
    showMode(chosen);
    return true;
  }
  const named = paneKeys[event.key];
  if (named !== undefined) {
    togglePane(named);
    return true;
  }
  const does = single[event.key];
  does?.();
  return does !== undefined;
}

const arrows: Readonly<Record<string, readonly [number, number]>> = {
  ArrowLeft: [-1, 0],
  ArrowRight: [1, 0],
  ArrowUp: [0, -1],
  ArrowDown: [0, 1],
};

const single: Readonly<Record<string, () => void>> = {
  "+": () => zoomBy(2, undefined, undefined, true),
  "=": () => zoomBy(2, undefined, undefined, true),
  "-": () => zoomBy(0.5, undefined, undefined, true),
  "0": showAll,
  Home: showAll,
  g: () => {
    goOpen.value = true;
  },
  "?": () => {
    helpOpen.value = true;
  },
  o: () => {
    order.value = order.value === "rows" ? "hilbert" : "rows";
  },
  t: () => keepTheme(theme.value === "dark" ? "light" : "dark"),
  x: exchange,
  "/": () => {
    showPane("search");
    focusSearch.value++;
  },
  n: () => stepHit(1),
  N: () => stepHit(-1),
  " ": togglePlay,
  ",": () => step(-1),
  ".": () => step(1),
  Enter: () => {
    showPane("page");
    if (selected.value !== null && viewNow().zoom < 6) showSpot(selected.value);
  },
};

const place: Place = { x: 0, y: 0 };

/** Moves the selection to the page beside it. */
function stepBy(dx: number, dy: number): void {
  const spot = selected.value;
  const block = blockOf(spot);
  if (spot === null || block === null) {
    const first = [...blocks.value].sort((a, b) => b.pages - a.pages)[0];
    if (first !== undefined) selected.value = { block: first.index, offset: 0 };
    return;
  }
  const plot = world.value.plots.find((each) => each.block.index === spot.block);
  if (plot === undefined) return;
  placeOf(plot.grid, Math.floor(spot.offset / block.pageSize), place);
  const page = pageAt(plot.grid, place.x + dx, place.y + dy);
  if (page < 0) return;
  selected.value = { block: spot.block, offset: page * block.pageSize };
  keepInSight(selected.value);
}
