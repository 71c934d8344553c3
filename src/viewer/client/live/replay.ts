import { signal } from "@preact/signals";
import { at, duration, live } from "./record.ts";

export const playing = signal(false);

/** Milliseconds that a replay of all of it takes at least, and at most. */
const shortest = 5000;
const longest = 20_000;

/** Milliseconds of the recording in one of a replay. */
export function speed(): number {
  const whole = duration.value;
  return whole / Math.max(shortest, Math.min(longest, whole));
}

/** Shows a moment; at and past the end: the newest. */
export function seek(time: number): void {
  at.value = time >= duration.peek() ? null : Math.max(0, time);
}

export function step(by: number): void {
  playing.value = false;
  seek((at.peek() ?? duration.peek()) + by * Math.max(1, duration.peek() / 100));
}

/** Plays on from the moment that is shown, or from the start; or holds. While it is still going on, the newest is where holding ends. */
export function togglePlay(): void {
  if (live.peek() === null) return;
  if (playing.peek()) {
    playing.value = false;
    return;
  }
  if (at.peek() === null && live.peek()?.end === null) {
    at.value = duration.peek();
    return;
  }
  if (at.peek() === null) at.value = 0;
  playing.value = true;
  let last = performance.now();
  const turn = (now: number): void => {
    if (!playing.peek()) return;
    const next = (at.peek() ?? 0) + (now - last) * speed();
    last = now;
    seek(next);
    if (at.peek() === null) playing.value = false;
    else requestAnimationFrame(turn);
  };
  requestAnimationFrame(turn);
}
