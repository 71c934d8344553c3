import { PageKind, type ViewBlock } from "../../shared/protocol.ts";
import { count, hex } from "../../shared/units.ts";
import { arrivals, failureAt, kindAt } from "../bytes-cache.ts";
import { keepInSight } from "../map/camera.ts";
import { blockOf, other, physicalOf, selected } from "../state.ts";
import { Hex } from "./Hex.tsx";
import { Inspector } from "./Inspector.tsx";

const kinds: Readonly<Record<number, string>> = {
  [PageKind.zero]: "zero page",
  [PageKind.data]: "data",
  [PageKind.absent]: "not in the file",
};

export function PagePane() {
  const spot = selected.value;
  const block = blockOf(spot);
  void arrivals.value;
  if (spot === null || block === null) {
    return (
      <div class="empty">
        <h2>No page chosen</h2>
        <p>Click a page on the map, or press g to go to an address.</p>
      </div>
    );
  }
  const page = Math.floor(spot.offset / block.pageSize);
  const kind = kindAt(0, block, page);
  const failed = failureAt(0, block, page);
  const physical = physicalOf(spot);
  const there = otherBlock(block);
  const turn = (by: number) => {
    const next = page + by;
    if (next < 0 || next >= block.pages) return;
    selected.value = { block: block.index, offset: next * block.pageSize };
    keepInSight(selected.value);
  };
  return (
    <>
      <div class="title">
        <h2>
          {block.label} <span class="dim">page</span> {count(page)}
        </h2>
        <span class={`kind k${kind ?? 1}`}>{kind === null ? "" : kinds[kind]}</span>
        <span class="turn">
          <button type="button" title="The page before" aria-label="The page before" onClick={() => turn(-1)}>
            ‹
          </button>
          <button type="button" title="The next page" aria-label="The next page" onClick={() => turn(1)}>
            ›
          </button>
        </span>
      </div>
      <p class="where">
        <span>
          offset <b>{hex(spot.offset)}</b>
        </span>
        {physical !== null && (
          <span>
            physical <b>{hex(physical)}</b>
          </span>
        )}
        {block.pagesOffset !== null && (
          <span>
            in the file <b>{hex(block.pagesOffset + spot.offset)}</b>
          </span>
        )}
      </p>
      {failed !== null && (
        <p class="bad" role="alert">
          {failed}
        </p>
      )}
      <Hex block={block} other={there} />
      <Inspector block={block} offset={spot.offset} />
    </>
  );
}

/** The block of that name in the other snapshot. */
function otherBlock(block: ViewBlock): ViewBlock | null {
  return other.value?.blocks.find(({ name, pageSize }) => name === block.name && pageSize === block.pageSize) ?? null;
}
