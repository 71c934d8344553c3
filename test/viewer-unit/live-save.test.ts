/** A save that is watched: what is recorded of its pages, and the page's way from no file to a file. */
import * as fs from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import fc from "fast-check";
import { afterAll, expect, test } from "vitest";
import { FixedRamWriter } from "../../src/fixedram/writer.ts";
import type { PageBatch } from "../../src/pages/sink.ts";
import { TargetFile } from "../../src/storage/target-file.ts";
import { viewSave } from "../../src/viewer/live-save.ts";
import { BitSampler, SaveRecording } from "../../src/viewer/server/live/save-recording.ts";
import { FrameKind, FrameReader, heatOf, kindOf, type LiveState } from "../../src/viewer/shared/live.ts";
import type { ViewError, ViewSnapshot } from "../../src/viewer/shared/protocol.ts";
import { batch, configuration, meta, ramStart, tail } from "../fixedram/sample.ts";

const folder = fs.mkdtempSync(join(tmpdir(), "fixedram-live-save-"));
afterAll(() => fs.rmSync(folder, { recursive: true, force: true }));

const kinds = (recording: SaveRecording) => [...(recording.groups[0] ?? [])].map(kindOf);

test("each page has the heat of how often it came, whatever the order", () => {
  const event = fc.oneof(
    fc.record({ zero: fc.constant(true), pages: fc.tuple(fc.nat(40), fc.integer({ min: 1, max: 9 })) }),
    fc.record({ zero: fc.constant(false), pages: fc.array(fc.nat(49), { minLength: 1, maxLength: 20 }) }),
  );
  fc.assert(
    fc.property(fc.array(event, { maxLength: 60 }), (events) => {
      const recording = new SaveRecording([50]);
      const times = Array<number>(50).fill(0);
      const zeros = new Set<number>();
      let again = 0;
      for (const [i, { zero, pages }] of events.entries()) {
        if (zero) {
          const [first = 0, count = 1] = pages;
          recording.cameZero(0, first, count, i);
          for (let page = first; page < first + count; page++) zeros.add(page);
        } else {
          recording.came(0, pages, pages.length, i);
          for (const page of pages) {
            if ((times[page] ?? 0) > 0) again++;
            times[page] = (times[page] ?? 0) + 1;
          }
        }
      }
      expect(kinds(recording)).toEqual(times.map((came, i) => (came > 0 ? heatOf(came) : zeros.has(i) ? 1 : 0)));
      expect(recording.counts[3]).toBe(again);
    }),
  );
});

test("of a group of pages, what came again is more than all of them once", () => {
  const recording = new SaveRecording([64], 16);
  expect(recording.group).toBe(4);
  recording.came(0, [0, 1, 2, 3, 4], 5, 0);
  expect(kinds(recording).slice(0, 3)).toEqual([2, 2, 0]);
  recording.came(0, [0, 1, 2, 3], 4, 5);
  expect(kinds(recording).slice(0, 3)).toEqual([3, 2, 0]);
  recording.restIsZero(9);
  expect(kinds(recording).slice(0, 4)).toEqual([3, 2, 1, 1]);
});

test("pages whose bits threads set are found once each", () => {
  const memory = new SharedArrayBuffer(16);
  const bits = new Uint8Array(memory);
  const sampler = new BitSampler([memory], [100]);
  const look = () => {
    const found: number[] = [];
    sampler.look((_, pages, count) => found.push(...pages.slice(0, count)));
    return found;
  };
  bits[0] = 0b101;
  bits[12] = 0xff;
  expect(look()).toEqual([0, 2, 96, 97, 98, 99]);
  bits[0] = 0b111;
  expect(look()).toEqual([1]);
  expect(look()).toEqual([]);
});

test("first there is no file, then its blocks, then all of it", async () => {
  const path = join(folder, "guest\x1b[2J.fram");
  const viewer = await viewSave({ file: path });
  try {
    const snapshot = async () => (await (await fetch(`${viewer.url}api/snapshot`)).json()) as ViewSnapshot;
    expect(await snapshot()).toMatchObject({
      live: "save",
      pending: true,
      file: { blocks: [], path: expect.not.stringContaining("\x1b") as string },
    });
    for (const path of ["api/devices", "api/pages?block=0&first=0&count=1", "api/cpus"]) {
      const answer = await fetch(viewer.url + path);
      expect((await answer.json()) as ViewError, path).toMatchObject({ code: "file.being-saved" });
    }
    const states: LiveState[] = [];
    const groups: number[] = [];
    const reader = new FrameReader();
    const following = (async () => {
      const { body } = await fetch(`${viewer.url}api/live`);
      for await (const chunk of body ?? []) {
        reader.push(chunk, (kind, payload) => {
          if (kind === FrameKind.state) states.push(JSON.parse(new TextDecoder().decode(payload)) as LiveState);
          if (kind !== FrameKind.groups) return;
          const [, first = 0, count = 0] = new Uint32Array(payload.buffer, 0, 3);
          for (const [i, value] of new Uint16Array(payload.buffer, 12, count).entries())
            groups[first + i] = kindOf(value);
        });
      }
    })();
    const writer = new FixedRamWriter(TargetFile.create(path), configuration(), ramStart(["pc.ram", 30]));
    const [ram] = writer.blocks;
    if (ram === undefined) throw new Error("no block");
    const { watcher, onProgress } = viewer.hooks;
    const progress = { bytes: 0, total: 0, elapsed: 0 };
    onProgress({ ...progress, phase: "connect", round: 0 });
    watcher.laidOut(writer.blocks, null);
    const take = (pages: PageBatch) => {
      writer.writePages(pages);
      watcher.pages(pages);
    };
    onProgress({ ...progress, phase: "ram", round: 1 });
    take(
      batch(ram, [
        [3, 1],
        [4, 2],
      ]),
    );
    watcher.zeroPages(ram, 10, 5);
    expect((await snapshot()).file.blocks).toMatchObject([{ label: "pc.ram", pages: 30 }]);
    onProgress({ ...progress, phase: "ram", round: 2 });
    take(batch(ram, [[4, 3]]));
    onProgress({ ...progress, phase: "sync", round: 2 });
    writer.tail(tail());
    await writer.finish({ ...meta, memoryMap: [] });
    await viewer.finished({ path, rounds: 2, times: { total: 1, ram: 1, sync: 1, guestPause: null } });
    await following;
    const last = states.at(-1);
    expect(last).toMatchObject({ what: "save", pages: [30], end: { ok: true } });
    expect(last?.marks.map(({ name }) => name)).toEqual(["round 1", "2", "to disk", "on disk"]);
    expect(last?.counts.slice(1, 4)).toEqual([5, 2, 1]);
    expect([3, 4, 10, 14].map((page) => groups[page])).toEqual([2, 3, 1, 1]);
    expect(await snapshot()).toMatchObject({
      pending: false,
      file: { seal: { state: "sealed" }, blocks: [{ present: 2 }] },
    });
  } finally {
    await viewer.close();
  }
});

test("a file that was saved and cannot be opened is told; the save has not failed", async () => {
  const viewer = await viewSave({ file: join(folder, "none.fram") });
  const answer = await fetch(`${viewer.url}api/live`);
  await viewer.finished({
    path: join(folder, "none.fram"),
    rounds: 1,
    times: { total: 1, ram: 1, sync: 1, guestPause: null },
  });
  expect(await answer.text()).toContain("cannot be shown");
  await viewer.close();
});
