import { effect } from "@preact/signals";
import { useEffect, useRef } from "preact/hooks";
import { count, duration as inWords, size } from "../../shared/units.ts";
import { blocks, theme } from "../state.ts";
import { LiveChart, lineColor, shortTime } from "./chart.ts";
import { at, duration, latencyAt, live, moment, totals } from "./record.ts";
import { playing, seek, speed, togglePlay } from "./replay.ts";

/** Below the map while something goes on, and afterwards to look at it again. */
export function Timeline() {
  const ref = useRef<HTMLDivElement>(null);
  const there = live.value !== null;
  const now = theme.value;
  useEffect(() => {
    const element = ref.current;
    if (element === null || !there) return;
    const chart = new LiveChart(element, now, blocks.peek()[0]?.pageSize ?? 4096);
    const resize = new ResizeObserver(() => chart.resize(element.clientWidth));
    resize.observe(element);
    const renew = effect(() => {
      void live.value;
      chart.renew();
    });
    const redraw = effect(() => {
      void at.value;
      chart.redraw();
    });
    return () => {
      resize.disconnect();
      renew();
      redraw();
      chart.destroy();
    };
  }, [there, now]);
  if (!there) return null;
  return (
    <section class="timeline" aria-label="Timeline">
      <div class="bar">
        <Controls />
        <Facts />
      </div>
      <div class="chart" ref={ref} />
    </section>
  );
}

function Controls() {
  const over = live.value?.end !== null;
  const shown = at.value ?? duration.value;
  const label = playing.value ? "Hold" : at.value === null && !over ? "Hold here" : "Play";
  return (
    <>
      <button type="button" class="play" title={`${label} (Space)`} aria-label={label} onClick={togglePlay}>
        {playing.value || (at.value === null && !over) ? "❚❚" : "▶"}
      </button>
      <input
        type="range"
        class="moment"
        aria-label="Moment"
        aria-valuetext={inWords(shown)}
        min={0}
        max={Math.max(1, Math.round(duration.value))}
        value={Math.round(shown)}
        onInput={(event) => {
          playing.value = false;
          seek(Number(event.currentTarget.value));
        }}
      />
      <output class="time">
        {inWords(shown)}
        <span class="dim"> of {inWords(duration.value)}</span>
        {playing.value && <span class="dim"> × {Number(speed().toPrecision(2))}</span>}
      </output>
      {at.value !== null && (
        <button
          type="button"
          onClick={() => {
            playing.value = false;
            at.value = null;
          }}
        >
          {over ? "To the end" : "Live"}
        </button>
      )}
    </>
  );
}

function Facts() {
  const state = live.value;
  const sums = totals.value;
  void moment.value;
  if (state === null || sums === null) return null;
  const pageSize = blocks.value[0]?.pageSize ?? 4096;
  const all = sums.pages.reduce((sum, pages) => sum + pages, 0);
  const facts: [label: string, value: string, line: string | null][] =
    state.what === "resume"
      ? [
          ["sent", size(all * pageSize), null],
          ["faults", count(sums.events), "faulted"],
          ["half within", lasting(sums.latency, 0.5), "half"],
          ["99 % within", lasting(sums.latency, 0.99), "most"],
        ]
      : [
          ["memory", size((all - (sums.pages[3] ?? 0)) * pageSize), "cold"],
          ["again", size((sums.pages[3] ?? 0) * pageSize), "hot"],
        ];
  const shown = [...facts, ...state.facts.map(([label, value]) => [label, value, null] as const)];
  const { end } = state;
  return (
    <dl>
      {shown.map(([label, value, line]) => (
        <div key={label}>
          <dt>
            {line !== null && <i style={{ background: lineColor(line, theme.value) }} />}
            {label}
          </dt>
          <dd>{value}</dd>
        </div>
      ))}
      <div class={end === null ? "going" : end.ok ? "good" : "bad"} role="status">
        {end === null ? "going on" : end.message}
      </div>
    </dl>
  );
}

function lasting(latency: readonly number[], part: number): string {
  const time = latencyAt(latency, part);
  return time === null ? "–" : shortTime(time);
}
