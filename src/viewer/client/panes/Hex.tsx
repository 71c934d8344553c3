import { signal } from "@preact/signals";
import { useEffect, useLayoutEffect, useRef, useState } from "preact/hooks";
import type { ViewBlock } from "../../shared/protocol.ts";
import { hex } from "../../shared/units.ts";
import { arrivals, byteAt, bytesAt } from "../bytes-cache.ts";
import { other as against, file, notice, selected } from "../state.ts";

const perRow = 16;
const rowHeight = 19;
/** Most bytes that are copied at once. */
const mostCopied = 65_536;

/** The row at the top; the block's rows may be more than a browser can scroll. */
const top = signal(0);
/** Where the selected range begins; its end is the selected byte. */
const anchor = signal<number | null>(null);

const digits = Array.from({ length: 256 }, (_, byte) => byte.toString(16).padStart(2, "0"));

export function Hex({ block, other }: { block: ViewBlock; other: ViewBlock | null }) {
  const box = useRef<HTMLDivElement>(null);
  const [rows, setRows] = useState(20);
  const offset = selected.value?.offset ?? 0;
  const last = Math.max(0, Math.ceil(block.length / perRow) - rows);
  useLayoutEffect(() => {
    const element = box.current;
    if (element === null) return;
    const resize = new ResizeObserver(() => setRows(Math.max(4, Math.floor(element.clientHeight / rowHeight))));
    resize.observe(element);
    return () => resize.disconnect();
  }, []);
  // What was chosen elsewhere is brought here.
  useEffect(() => {
    const row = Math.floor(offset / perRow);
    if (row < top.peek() || row >= top.peek() + rows - 1) top.value = Math.min(last, row);
  }, [offset, block.index, rows]);
  void arrivals.value;
  const scroll = (by: number) => {
    top.value = Math.max(0, Math.min(last, top.peek() + by));
  };
  const shown = Array.from({ length: rows }, (_, i) => top.value + i).filter((row) => row * perRow < block.length);
  return (
    <div class={`hex${other === null ? "" : " two"}`}>
      {other !== null && (
        <div class="row names" aria-hidden="true">
          <span class="offset" />
          <span class="bytes">here: {nameOf(file.value?.path)}</span>
          <span class="bytes">there: {nameOf(against.value?.path)}</span>
        </div>
      )}
      <Head other={other !== null} />
      <div
        ref={box}
        class="rows"
        // biome-ignore lint/a11y/noNoninteractiveTabindex: it takes keys, as the label says
        tabIndex={0}
        role="application"
        aria-label="Bytes. Arrows move, Shift selects, Control+C copies."
        onWheel={(event) => {
          event.preventDefault();
          scroll(Math.sign(event.deltaY) * Math.max(1, Math.round(Math.abs(event.deltaY) / 40)));
        }}
        onKeyDown={(event) => onKey(event, block, rows)}
        onPointerDown={(event) => onPoint(event, event.shiftKey)}
        onPointerMove={(event) => {
          if (event.buttons === 1) onPoint(event, true);
        }}
      >
        {shown.map((row) => (
          <Row key={row} row={row} block={block} other={other} caret={offset} />
        ))}
      </div>
      <Scrollbar rows={rows} all={Math.ceil(block.length / perRow)} last={last} />
      <div class="copy">
        <span class="dim">{rangeText()}</span>
        <button type="button" onClick={() => void copy(block, "hex")}>
          Copy hex
        </button>
        <button type="button" onClick={() => void copy(block, "text")}>
          Copy text
        </button>
      </div>
    </div>
  );
}

function nameOf(path: string | undefined): string {
  return path?.split("/").at(-1) ?? "";
}

function Head({ other }: { other: boolean }) {
  const columns = digits.slice(0, perRow);
  return (
    <div class="row head" aria-hidden="true">
      <span class="offset">offset</span>
      <span class="bytes">
        {columns.map((digit) => (
          <span key={digit}>{digit}</span>
        ))}
      </span>
      {other ? (
        <span class="bytes">
          {columns.map((digit) => (
            <span key={digit}>{digit}</span>
          ))}
        </span>
      ) : (
        <span class="chars">text</span>
      )}
    </div>
  );
}

interface RowProps {
  readonly row: number;
  readonly block: ViewBlock;
  readonly other: ViewBlock | null;
  readonly caret: number;
}

function Row({ row, block, other, caret }: RowProps) {
  // A row with the same properties is rendered again only for what it reads itself.
  void arrivals.value;
  const start = row * perRow;
  const from = Math.min(anchor.value ?? caret, caret);
  const to = Math.max(anchor.value ?? caret, caret);
  const cells = Array.from({ length: Math.min(perRow, block.length - start) }, (_, i) => {
    const offset = start + i;
    const byte = byteAt(0, block, offset);
    const there = other === null ? null : offset < other.length ? byteAt(1, other, offset) : -1;
    const differs = other !== null && byte !== null && there !== null && byte !== there;
    const chosen = offset >= from && offset <= to ? " on" : "";
    const tone = byte === 0 ? " z" : byte === null || byte < 0 ? " none" : "";
    return { offset, byte, there, flags: `${tone}${differs ? " differs" : ""}${chosen}` };
  });
  return (
    <div class={`row${start % block.pageSize === 0 ? " page" : ""}`}>
      <span class="offset">{hex(start).slice(2)}</span>
      <span class="bytes">
        {cells.map(({ offset, byte, flags }) => (
          <span key={offset} data-at={offset} class={flags}>
            {byte === null ? "··" : byte < 0 ? "--" : digits[byte]}
          </span>
        ))}
      </span>
      {other === null ? (
        <span class="chars">
          {cells.map(({ offset, byte, flags }) => (
            <span key={offset} data-at={offset} class={flags}>
              {byte !== null && byte >= 0x20 && byte < 0x7f ? String.fromCharCode(byte) : "."}
            </span>
          ))}
        </span>
      ) : (
        <span class="bytes there">
          {cells.map(({ offset, there, flags }) => (
            <span key={offset} data-at={offset} class={flags}>
              {there === null ? "··" : there < 0 ? "--" : digits[there]}
            </span>
          ))}
        </span>
      )}
    </div>
  );
}

function Scrollbar({ rows, all, last }: { rows: number; all: number; last: number }) {
  if (last === 0) return null;
  const size = Math.max(0.06, rows / all);
  const drag = (event: PointerEvent) => {
    if (event.buttons !== 1) return;
    const track = event.currentTarget as HTMLElement;
    track.setPointerCapture(event.pointerId);
    const { top: y, height } = track.getBoundingClientRect();
    const part = (event.clientY - y - (size * height) / 2) / (height * (1 - size));
    top.value = Math.round(Math.max(0, Math.min(1, part)) * last);
  };
  return (
    <div class="track" aria-hidden="true" onPointerDown={drag} onPointerMove={drag}>
      <div class="thumb" style={{ top: `${(top.value / last) * (1 - size) * 100}%`, height: `${size * 100}%` }} />
    </div>
  );
}

function onPoint(event: PointerEvent, extend: boolean): void {
  const cell = (document.elementFromPoint(event.clientX, event.clientY) as HTMLElement | null)?.dataset["at"];
  const spot = selected.peek();
  if (cell === undefined || spot === null) return;
  select(spot.block, Number(cell), extend);
}

function select(block: number, offset: number, extend: boolean): void {
  if (!extend) anchor.value = null;
  else if (anchor.peek() === null) anchor.value = selected.peek()?.offset ?? offset;
  selected.value = { block, offset };
}

function onKey(event: KeyboardEvent, block: ViewBlock, rows: number): void {
  const spot = selected.peek();
  if (spot === null) return;
  if ((event.ctrlKey || event.metaKey) && event.key === "c") {
    event.preventDefault();
    void copy(block, "hex");
    return;
  }
  const steps: Readonly<Record<string, number>> = {
    ArrowLeft: -1,
    ArrowRight: 1,
    ArrowUp: -perRow,
    ArrowDown: perRow,
    PageUp: -perRow * (rows - 1),
    PageDown: perRow * (rows - 1),
    Home: -(spot.offset % block.pageSize),
    End: block.pageSize - 1 - (spot.offset % block.pageSize),
  };
  const by = steps[event.key];
  if (by === undefined) return;
  event.preventDefault();
  event.stopPropagation();
  select(spot.block, Math.max(0, Math.min(block.length - 1, spot.offset + by)), event.shiftKey);
}

function range(): { from: number; length: number } {
  const caret = selected.peek()?.offset ?? 0;
  const other = anchor.peek() ?? caret;
  return { from: Math.min(caret, other), length: Math.abs(caret - other) + 1 };
}

function rangeText(): string {
  const { length } = range();
  void anchor.value;
  return length === 1 ? "" : `${length} bytes`;
}

async function copy(block: ViewBlock, as: "hex" | "text"): Promise<void> {
  const { from, length } = range();
  const bytes = bytesAt(0, block, from, Math.min(length, mostCopied));
  const text =
    as === "hex"
      ? [...bytes].map((byte) => digits[byte]).join(" ")
      : [...bytes].map((byte) => (byte >= 0x20 && byte < 0x7f ? String.fromCharCode(byte) : ".")).join("");
  try {
    await navigator.clipboard.writeText(text);
    notice.value = `${bytes.length} byte${bytes.length === 1 ? "" : "s"} copied`;
  } catch {
    notice.value = "The browser does not allow copying here.";
  }
}
