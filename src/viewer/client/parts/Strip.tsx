import { effect } from "@preact/signals";
import { useEffect, useRef } from "preact/hooks";
import { rgbOf } from "../../shared/palette.ts";
import type { ViewRange } from "../../shared/protocol.ts";
import { partsOf } from "../../shared/strip.ts";
import { hex, size } from "../../shared/units.ts";
import { showSpot } from "../map/camera.ts";
import { inks, label } from "../map/ink.ts";
import { blocks, file, hovered, physicalOf, selected, spotOfPhysical, theme } from "../state.ts";

/** The guest's physical address space in one line, with where we are in it. */
export function Strip() {
  const ref = useRef<HTMLCanvasElement>(null);
  const memory = file.value?.memory ?? null;
  useEffect(() => {
    const canvas = ref.current;
    if (canvas === null || memory === null) return;
    const draw = () => drawStrip(canvas, memory.ranges);
    const resize = new ResizeObserver(draw);
    resize.observe(canvas);
    const stop = effect(() => {
      for (const read of [theme, selected, hovered, file]) void read.value;
      draw();
    });
    return () => {
      resize.disconnect();
      stop();
    };
  }, [memory]);
  if (memory === null) return null;
  const jump = (event: MouseEvent) => {
    const canvas = ref.current;
    if (canvas === null) return;
    const x = event.clientX - canvas.getBoundingClientRect().left;
    const part = partsOf(memory.ranges, canvas.clientWidth).find(({ left, width }) => x >= left && x < left + width);
    if (part?.range == null) return;
    const spot = spotOfPhysical(part.start + Math.floor(((x - part.left) / part.width) * part.length));
    if (spot === null) return;
    const pageSize = blocks.value[spot.block]?.pageSize ?? 1;
    selected.value = { block: spot.block, offset: spot.offset - (spot.offset % pageSize) };
    showSpot(spot);
  };
  return (
    <footer title={`Guest-physical memory, ${memory.note}. A click goes there.`}>
      <canvas ref={ref} class="strip" onClick={jump} />
    </footer>
  );
}

function drawStrip(canvas: HTMLCanvasElement, ranges: readonly ViewRange[]): void {
  const context = canvas.getContext("2d");
  const { clientWidth: width, clientHeight: height } = canvas;
  if (context === null || width === 0) return;
  const ratio = window.devicePixelRatio;
  canvas.width = Math.round(width * ratio);
  canvas.height = Math.round(height * ratio);
  context.setTransform(ratio, 0, 0, ratio, 0, 0);
  const ink = inks[theme.peek()];
  const [red, green, blue] = rgbOf("data", theme.peek());
  const bar = { top: 5, height: 12 };
  const parts = partsOf(ranges, width);
  const font = "10.5px ui-monospace, 'DejaVu Sans Mono', Menlo, Consolas, monospace";
  const style = { color: ink.faint, font, ground: null };
  let free = 0;
  for (const { start, length, range, left, width: wide } of parts) {
    if (range === null) {
      context.strokeStyle = ink.line;
      context.setLineDash([2, 3]);
      context.beginPath();
      context.moveTo(left + 2, bar.top + bar.height / 2);
      context.lineTo(left + wide - 2, bar.top + bar.height / 2);
      context.stroke();
      context.setLineDash([]);
      if (wide >= 40) label(context, size(length), left + 4, height - 4, { ...style, limit: wide - 6 });
      continue;
    }
    context.fillStyle = `rgba(${red}, ${green}, ${blue}, ${range.readOnly ? 0.3 : 0.62})`;
    context.fillRect(left, bar.top, Math.max(1, wide - 1), bar.height);
    if (left >= free && wide > 70) {
      const name = blocks.peek()[range.block]?.label ?? "";
      label(context, `${hex(start)}  ${name} ${size(length)}`, left, height - 4, { ...style, limit: wide - 6 });
      free = left + Math.min(wide, 230);
    }
  }
  const mark = (address: number | null, color: string, thick: number) => {
    if (address === null) return;
    const part = parts.find(({ start, length }) => address >= start && address < start + length);
    if (part === undefined) return;
    const x = part.left + ((address - part.start) / part.length) * part.width;
    context.fillStyle = ink.ground;
    context.fillRect(x - thick / 2 - 1, bar.top - 3, thick + 2, bar.height + 6);
    context.fillStyle = color;
    context.fillRect(x - thick / 2, bar.top - 3, thick, bar.height + 6);
  };
  const under = hovered.peek();
  if (under !== null)
    mark(physicalOf({ block: under.block.index, offset: under.page * under.block.pageSize }), ink.hover, 1);
  const spot = selected.peek();
  if (spot !== null) mark(physicalOf(spot), ink.select, 3);
}
