import { count, hex, plural, size } from "../../shared/units.ts";
import { canvasSize } from "../map/camera.ts";
import { hovered, order, physicalOf } from "../state.ts";

/** What is under the pointer, beside it. */
export function Tip() {
  const now = hovered.value;
  if (now === null) return null;
  const { block, page, pages, level, x, y, tells } = now;
  const offset = page * block.pageSize;
  const physical = physicalOf({ block: block.index, offset });
  const { width, height } = canvasSize.value;
  const side = 2 ** level;
  return (
    <div
      class="tip"
      role="status"
      style={{
        left: `${Math.min(x + 16, Math.max(8, width - 288))}px`,
        top: `${y + 130 > height ? y - 112 : y + 18}px`,
      }}
    >
      <div class="what">{tells === "" ? "…" : tells}</div>
      <div>
        <span>{block.label}</span> page {count(page)}
        {pages > 1 && (order.value === "hilbert" ? ` to ${count(page + pages - 1)}` : ` and ${side} × ${side} around`)}
      </div>
      <div class="dim">
        offset {hex(offset)}
        {physical !== null && <>, physical {hex(physical)}</>}
      </div>
      {level > 0 && (
        <div class="dim">
          a cell is {plural(4 ** level, "page")}, {size(4 ** level * block.pageSize)}
        </div>
      )}
    </div>
  );
}
