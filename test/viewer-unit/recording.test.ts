/** A recording against a plain list of what happened, and the frames it is told in. */
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { groupOf, Recording } from "../../src/viewer/server/live/recording.ts";
import {
  FrameReader,
  frame,
  heatOf,
  kindOf,
  latencyBound,
  mostGroups,
  mostSteps,
  StepField,
  stepFields,
  stepOf,
} from "../../src/viewer/shared/live.ts";

const TiB = 2 ** 40 / 4096;

test("a block of 1 TiB and 20000 small ones stay below the limit", () => {
  expect(groupOf([1000, 5])).toBe(1);
  expect(groupOf([mostGroups])).toBe(1);
  expect(groupOf([TiB])).toBe(64);
  const many = [TiB, ...Array<number>(20_000).fill(3)];
  const recording = new Recording(many);
  expect(recording.groups.reduce((sum, { length }) => sum + length, 0)).toBeLessThanOrEqual(mostGroups);
});

test("a million events over hours take the room of none, and no page is lost", () => {
  const recording = new Recording([1000]);
  const before = recording.steps.length;
  for (let i = 0; i < 1_000_000; i++) recording.add(0, i % 1000, 1, 1 + (i % 4), i * 15, i % 4 === 3 ? 100 : null);
  expect(recording.steps.length).toBe(before);
  expect(recording.used).toBeLessThanOrEqual(mostSteps);
  expect(recording.counts).toEqual([0, 250_000, 250_000, 250_000, 250_000, 0, 0, 0]);
  let [faults, pages] = [0, 0];
  for (let step = 0; step < mostSteps; step++) {
    faults += recording.steps[step * stepFields + StepField.events] ?? 0;
    for (let kind = 1; kind <= 4; kind++) pages += recording.steps[step * stepFields + StepField.pages + kind] ?? 0;
  }
  expect([faults, pages]).toEqual([250_000, 1_000_000]);
  // What changed is not listed without end either.
  expect(recording.takeWritten().all).toBe(true);
});

describe("a group", () => {
  const event = fc.record({
    first: fc.nat(199),
    count: fc.integer({ min: 1, max: 40 }),
    kind: fc.integer({ min: 1, max: 4 }),
    after: fc.nat(5000),
  });

  test("has the strongest kind of its pages, and the time of the first to come", () => {
    fc.assert(
      fc.property(fc.array(event, { maxLength: 40 }), fc.constantFrom(mostGroups, 60), (events, most) => {
        const recording = new Recording([200], most);
        let time = 0;
        const model = Array.from({ length: 200 }, () => ({ kind: 0, time: -1 }));
        for (const { first, count, kind, after } of events) {
          time += after;
          recording.add(0, first, Math.min(count, 200 - first), kind, time, null);
          for (let page = first; page < Math.min(200, first + count); page++) {
            const group = Math.floor(page / recording.group) * recording.group;
            const one = model[group];
            if (one === undefined) continue;
            one.kind = Math.max(one.kind, kind);
            if (one.time < 0) one.time = time;
          }
        }
        for (let page = 0; page < 200; page += recording.group) {
          const value = recording.groups[0]?.[page / recording.group] ?? 0;
          expect(kindOf(value)).toBe(model[page]?.kind);
          if (value !== 0) {
            const off = (model[page]?.time ?? 0) - stepOf(value) * recording.stepTime;
            expect(off).toBeGreaterThanOrEqual(0);
            expect(off).toBeLessThan(recording.stepTime);
          }
        }
      }),
    );
  });

  test("that was written to is told once", () => {
    const recording = new Recording([100]);
    recording.takeWritten();
    recording.add(0, 3, 2, 1, 0, null);
    recording.add(0, 5, 4, 2, 1, null);
    recording.add(0, 50, 1, 4, 7, 33);
    expect(recording.takeWritten()).toEqual({
      all: false,
      ranges: [
        { block: 0, first: 3, count: 6 },
        { block: 0, first: 50, count: 1 },
      ],
      firstStep: 0,
    });
    expect(recording.takeWritten()).toMatchObject({ all: false, ranges: [] });
  });
});

test("faults are counted in the class of what they took", () => {
  const recording = new Recording([10]);
  for (const took of [1, 16, 17, 32, 33, 1e9]) recording.add(0, 0, 1, 4, 0, took);
  const classes = [...recording.steps.subarray(StepField.latency, stepFields)];
  expect(classes.slice(0, 3)).toEqual([2, 2, 1]);
  expect(classes.at(-1)).toBe(1);
  expect([latencyBound(0), latencyBound(1)]).toEqual([16, 32]);
});

test("heat grows with the times a page came, within its kinds", () => {
  expect([1, 2, 3, 4, 5, 8, 9, 16, 17, 10_000].map(heatOf)).toEqual([2, 3, 4, 4, 5, 5, 6, 6, 7, 7]);
});

test("frames come out as they went in, however the stream is cut", () => {
  const payload = fc.uint8Array({ maxLength: 40 });
  fc.assert(
    fc.property(fc.array(payload), fc.array(fc.integer({ min: 1, max: 30 }), { minLength: 1 }), (payloads, cuts) => {
      const frames = payloads.map((bytes, i) => frame(i + 1, [], bytes));
      const all = new Uint8Array(frames.reduce((sum, { length }) => sum + length, 0));
      let at = 0;
      for (const bytes of frames) {
        all.set(bytes, at);
        at += bytes.length;
      }
      const reader = new FrameReader();
      const found: [number, number[]][] = [];
      at = 0;
      for (let i = 0; at < all.length; i++) {
        const length = cuts[i % cuts.length] ?? 1;
        reader.push(all.subarray(at, at + length), (kind, bytes) => found.push([kind, [...bytes]]));
        at += length;
      }
      expect(found).toEqual(payloads.map((bytes, i) => [i + 1, [...bytes]]));
    }),
  );
});
