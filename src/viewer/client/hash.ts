/** The view as a link: `#block=pc.ram&at=0x1f000&zoom=12&x=..&y=..&mode=content&order=hilbert&pane=page`. */
import { effect } from "@preact/signals";
import { orders } from "../shared/grid.ts";
import { asOf, find, howOf, wanted } from "./search.ts";
import { availableModes, blocks, mode, order, pane, panes, selected, side, snapshot, theme, view } from "./state.ts";

function write(): string {
  const parts = new URLSearchParams();
  const spot = selected.value;
  const block = spot === null ? null : blocks.value[spot.block];
  if (spot !== null && block != null) {
    // Two blocks may have one name; the number tells.
    parts.set(
      "block",
      blocks.value.some((each) => each !== block && each.name === block.name) ? `#${spot.block}` : block.name,
    );
    parts.set("at", `0x${spot.offset.toString(16)}`);
  }
  const now = view.value;
  if (now !== null) {
    parts.set("zoom", String(Number(now.zoom.toPrecision(5))));
    parts.set("x", String(Number(now.x.toFixed(2))));
    parts.set("y", String(Number(now.y.toFixed(2))));
  }
  if (side.value === 1) parts.set("side", "1");
  if (mode.value !== "state") parts.set("mode", mode.value);
  if (order.value !== "rows") parts.set("order", order.value);
  if (pane.value !== null) parts.set("pane", pane.value);
  const { pattern, ...how } = wanted.value;
  if (pattern !== "") {
    parts.set("find", pattern);
    parts.set("as", asOf(how));
  }
  return parts.toString();
}

/** Takes from a link what it understands. */
export function readHash(text: string): void {
  const parts = new URLSearchParams(text.replace(/^#/, ""));
  const number = (name: string) => {
    const value = Number(parts.get(name) ?? Number.NaN);
    return Number.isFinite(value) ? value : null;
  };
  side.value = parts.get("side") === "1" && snapshot.value?.other != null ? 1 : 0;
  order.value = orders.find((each) => each === parts.get("order")) ?? "rows";
  mode.value = availableModes.value.find((each) => each === parts.get("mode")) ?? mode.value;
  const name = parts.get("block");
  const block = blocks.value.find((each) => each.name === name || `#${each.index}` === name);
  const at = number("at") ?? 0;
  if (block !== undefined && at >= 0 && at < block.length)
    selected.value = { block: block.index, offset: Math.floor(at) };
  const [zoom, x, y] = [number("zoom"), number("x"), number("y")];
  view.value = zoom !== null && zoom > 0 && x !== null && y !== null ? { zoom, x, y } : null;
  pane.value = panes.find((each) => each === parts.get("pane")) ?? null;
  const pattern = parts.get("find");
  if (pattern !== null && pattern !== wanted.value.pattern) find({ pattern, ...howOf(parts.get("as") ?? "") });
}

/** Keeps the address as what is shown; a link that is pasted over it is followed. */
export function keepHash(): void {
  readHash(location.hash);
  let written = location.hash;
  let waiting = 0;
  effect(() => {
    if (snapshot.value === null) return;
    const text = write();
    clearTimeout(waiting);
    waiting = window.setTimeout(() => {
      written = text === "" ? "" : `#${text}`;
      if (written !== location.hash) history.replaceState(null, "", written === "" ? location.pathname : written);
    }, 250);
  });
  addEventListener("hashchange", () => {
    if (location.hash !== written) readHash(location.hash);
  });
  effect(() => {
    document.documentElement.dataset["theme"] = theme.value;
  });
}
