/** The chart below the map of a recording: how much came when, with marks, and the moment that is shown. */
import uPlot from "uplot";
import { rgbOf, type SwatchName, type Theme } from "../../shared/palette.ts";
import { size } from "../../shared/units.ts";
import { inks } from "../map/ink.ts";
import { at, duration, latencyAt, live, totalsOf } from "./record.ts";
import { seek } from "./replay.ts";

/** CSS pixels a column, at least. */
const columnWidth = 4;
const height = 118;
const font = "11px system-ui, sans-serif";

interface Columns {
  readonly data: uPlot.AlignedData;
}

/** Sums the time steps into columns of the chart. */
function columnsOf(width: number, pageSize: number): Columns {
  const state = live.peek();
  const steps = state?.steps ?? 0;
  const stepTime = state?.stepTime ?? 1;
  const whole = Math.max(steps, Math.ceil(duration.peek() / stepTime), 1);
  const each = Math.max(1, Math.ceil((whole * columnWidth) / width));
  const x: number[] = [];
  const series: (number | null)[][] = [[], [], []];
  const seconds = (each * stepTime) / 1000;
  for (let first = 0; first < whole; first += each) {
    const { events, pages, latency } = totalsOf(first, Math.min(first + each, steps));
    x.push(((first + each / 2) * stepTime) / 1000);
    const values =
      state?.what === "save"
        ? [(pages[2] ?? 0) * pageSize, (pages[3] ?? 0) * pageSize, null]
        : [events, latencyAt(latency, 0.5), latencyAt(latency, 0.99)];
    const perSecond = state?.what === "save" ? [true, true, false] : [true, false, false];
    for (const [i, value] of values.entries())
      series[i]?.push(value !== null && perSecond[i] === true ? value / seconds : value);
  }
  return { data: [x, ...series] as uPlot.AlignedData };
}

function css(name: SwatchName, theme: Theme, alpha = 1): string {
  const [red, green, blue] = rgbOf(name, theme);
  return `rgba(${red}, ${green}, ${blue}, ${alpha})`;
}

/** Microseconds in words. */
export function shortTime(microseconds: number): string {
  if (microseconds < 1000) return `${Math.round(microseconds)} µs`;
  if (microseconds < 1e6) return `${Number((microseconds / 1000).toPrecision(2))} ms`;
  return `${Number((microseconds / 1e6).toPrecision(2))} s`;
}

function perSecond(value: number): string {
  return value >= 1000 ? `${Number((value / 1000).toPrecision(3))}k` : String(Math.round(value));
}

/** Labels of the marks do not run into each other: each has the first line on which there is room. */
function drawMarks(plot: uPlot, theme: Theme): void {
  const { ctx: context, bbox } = plot;
  const ink = inks[theme];
  const ratio = uPlot.pxRatio;
  const ends: number[] = [];
  context.save();
  context.font = `${11 * ratio}px system-ui, sans-serif`;
  context.textAlign = "left";
  context.textBaseline = "alphabetic";
  for (const { name, time } of live.peek()?.marks ?? []) {
    const x = plot.valToPos(time / 1000, "x", true);
    const width = context.measureText(name).width + 8 * ratio;
    const left = x + width > bbox.left + bbox.width ? x - width : x;
    let line = ends.findIndex((end) => end <= left);
    if (line < 0) line = ends.length;
    ends[line] = left + width;
    context.fillStyle = ink.text;
    context.fillRect(x - ratio / 2, bbox.top, ratio, bbox.height);
    context.fillStyle = ink.veil;
    context.fillRect(left, bbox.top + line * 15 * ratio, width, 14 * ratio);
    context.fillStyle = ink.text;
    context.fillText(name, left + 4 * ratio, bbox.top + (line * 15 + 11) * ratio);
  }
  context.restore();
}

/** What has not happened yet at the moment that is shown is dimmed. */
function drawMoment(plot: uPlot, theme: Theme): void {
  const moment = at.peek();
  if (moment === null) return;
  const { ctx: context, bbox } = plot;
  const x = Math.max(bbox.left, plot.valToPos(moment / 1000, "x", true));
  const ink = inks[theme];
  context.save();
  context.globalAlpha = 0.6;
  context.fillStyle = ink.ground;
  context.fillRect(x, bbox.top, bbox.left + bbox.width - x, bbox.height);
  context.globalAlpha = 1;
  context.fillStyle = ink.select;
  context.fillRect(x - uPlot.pxRatio, bbox.top, 2 * uPlot.pxRatio, bbox.height);
  context.restore();
}

/** Of a line of the chart: `half` and `most` of the faults, or a swatch. */
export function lineColor(name: string, theme: Theme): string {
  if (name === "half") return css("prefetched", theme);
  if (name === "most") return css("random", theme, 0.8);
  return css(name === "hot" ? "hot" : name === "cold" ? "cold" : "faulted", theme);
}

function seriesOf(saving: boolean, theme: Theme): uPlot.Series[] {
  const area = (label: string, name: SwatchName): uPlot.Series => ({
    label,
    stroke: css(name, theme),
    fill: css(name, theme, 0.35),
    width: 1.5,
    ...(uPlot.paths.stepped === undefined ? {} : { paths: uPlot.paths.stepped({ align: 1 }) }),
    points: { show: false },
  });
  if (saving) return [{}, area("first", "cold"), area("again", "hot"), { show: false }];
  const line = (label: string): uPlot.Series => ({
    label,
    scale: "latency",
    stroke: lineColor(label, theme),
    width: 1.5,
    spanGaps: true,
    points: { show: true, size: 3, width: 1 },
  });
  return [{}, area("faults", "faulted"), line("half"), line("most")];
}

function axesOf(saving: boolean, theme: Theme): uPlot.Axis[] {
  const ink = inks[theme];
  const plain = { stroke: ink.faint, font, grid: { stroke: ink.line, width: 0.5 }, ticks: { show: false } };
  const time: uPlot.Axis = { ...plain, size: 22, values: (_, values) => values.map((value) => `${value} s`) };
  const left: uPlot.Axis = {
    ...plain,
    size: 74,
    space: 24,
    // Bytes are told in binary units: their marks are powers of two.
    ...(saving ? { incrs: Array.from({ length: 50 }, (_, i) => 2 ** i) } : {}),
    values: (_, values) => values.map((value) => (saving ? `${size(value)}/s` : `${perSecond(value)}/s`)),
  };
  if (saving) return [time, left];
  const right: uPlot.Axis = {
    ...plain,
    ...{ scale: "latency", side: 1, size: 58, space: 20, grid: { show: false } },
    values: (_, values) =>
      values.map((value) => (value !== null && Number.isInteger(Math.log10(value)) ? shortTime(value) : null)),
  };
  return [time, left, right];
}

/** A chart in an element. It is told when to look again; a pointer on it chooses the moment. */
export class LiveChart {
  readonly #plot: uPlot;
  readonly #pageSize: number;

  constructor(element: HTMLElement, theme: Theme, pageSize: number) {
    const saving = live.peek()?.what === "save";
    this.#pageSize = pageSize;
    const width = Math.max(200, element.clientWidth);
    const whole = (): uPlot.Range.MinMax => [0, Math.max(0.05, duration.peek() / 1000)];
    this.#plot = new uPlot(
      {
        ...{ width, height, padding: [8, saving ? 16 : 4, 0, 0], legend: { show: false } },
        cursor: { y: false, drag: { x: false, y: false }, points: { show: false } },
        scales: {
          x: { time: false, range: whole },
          y: { range: (_, _least, most) => [0, Math.max(10, (most ?? 0) * 1.15)] },
          latency: { distr: 3, range: () => [10, 1_000_000] },
        },
        series: seriesOf(saving, theme),
        axes: axesOf(saving, theme),
        hooks: {
          draw: [
            (plot) => {
              drawMoment(plot, theme);
              drawMarks(plot, theme);
            },
          ],
        },
      },
      columnsOf(width, pageSize).data,
      element,
    );
    this.#listen();
  }

  /** There is more to be seen. */
  renew(): void {
    this.#plot.setData(columnsOf(this.#plot.width, this.#pageSize).data);
  }

  /** Another moment is shown. */
  redraw(): void {
    this.#plot.redraw(false);
  }

  resize(width: number): void {
    if (width < 200 || width === this.#plot.width) return;
    this.#plot.setSize({ width, height });
    this.renew();
  }

  destroy(): void {
    this.#plot.destroy();
  }

  #listen(): void {
    const { over } = this.#plot;
    const choose = (event: PointerEvent): void => {
      const x = event.clientX - over.getBoundingClientRect().left;
      seek(this.#plot.posToVal(x, "x") * 1000);
    };
    over.addEventListener("pointerdown", (event) => {
      over.setPointerCapture(event.pointerId);
      choose(event);
    });
    over.addEventListener("pointermove", (event) => {
      if (over.hasPointerCapture(event.pointerId)) choose(event);
    });
  }
}
