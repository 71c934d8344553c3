/** GET api/live over real HTTP, with a resume that the test makes up. */
import * as fs from "node:fs";
import { request } from "node:http";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, expect, test } from "vitest";
import { FixedRamWriter } from "../../src/fixedram/writer.ts";
import type { Activity } from "../../src/operations/resume-lazy.ts";
import { TargetFile } from "../../src/storage/target-file.ts";
import { type ResumeViewer, viewResume } from "../../src/viewer/live-resume.ts";
import { FrameKind, FrameReader, kindOf, type LiveState, resumeKinds } from "../../src/viewer/shared/live.ts";
import type { ViewSnapshot } from "../../src/viewer/shared/protocol.ts";
import { view } from "../../src/viewer/view.ts";
import { batch, configuration, meta, ramStart, tail } from "../fixedram/sample.ts";

const folder = fs.mkdtempSync(join(tmpdir(), "fixedram-live-"));
const file = join(folder, "guest.fram");

beforeAll(async () => {
  const writer = new FixedRamWriter(TargetFile.create(file), configuration(), ramStart(["pc.ram", 1500], ["rom", 5]));
  const [ram] = writer.blocks;
  if (ram === undefined) throw new Error("no block");
  writer.writePages(batch(ram, [[7, 1]]));
  writer.tail(tail());
  await writer.finish(meta);
});
afterAll(() => fs.rmSync(folder, { recursive: true, force: true }));

/** Follows a viewer as its page does. */
class Follower {
  readonly states: LiveState[] = [];
  readonly groups: Uint16Array[] = [];
  readonly done: Promise<void>;
  #look: () => void = () => {};

  constructor({ url }: { readonly url: string }) {
    this.done = this.#follow(`${url}api/live`);
  }

  async until(wanted: () => boolean): Promise<void> {
    while (!wanted()) await new Promise<void>((resolve) => (this.#look = resolve));
  }

  async #follow(url: string): Promise<void> {
    const reader = new FrameReader();
    const { body } = await fetch(url);
    for await (const chunk of body ?? []) {
      reader.push(chunk, (kind, payload) => this.#take(kind, payload));
      this.#look();
    }
  }

  #take(kind: number, payload: Uint8Array): void {
    if (kind === FrameKind.state) {
      const state = JSON.parse(new TextDecoder().decode(payload)) as LiveState;
      if (state.renew) for (const [i, pages] of state.pages.entries()) this.groups[i] = new Uint16Array(pages);
      this.states.push(state);
    }
    if (kind !== FrameKind.groups) return;
    const [block = 0, first = 0, count = 0] = new Uint32Array(payload.buffer, 0, 3);
    this.groups[block]?.set(new Uint16Array(payload.buffer, 12, count), first);
  }

  kind(block: number, page: number): string {
    return resumeKinds[kindOf(this.groups[block]?.[page] ?? 0)] ?? "";
  }
}

const fault = (block: number, page: number, took = 20): Activity => [
  "fault",
  block,
  page,
  1,
  performance.timeOrigin + performance.now(),
  took,
];
const times = { ready: 1, running: 2, settled: 3, complete: 4, stall: 0, stallFrom: "faults", total: 9 } as const;

async function watched(work: (viewer: ResumeViewer) => Promise<void>): Promise<void> {
  const viewer = await viewResume({ file });
  try {
    await work(viewer);
  } finally {
    await viewer.close();
  }
}

test("whoever looks on is told what comes; whoever comes late, all of it", async () => {
  await watched(async (viewer) => {
    const early = new Follower(viewer);
    viewer.hooks.onActivity([fault(0, 7), ["push", 1, 0, 5, performance.timeOrigin + performance.now(), 0]]);
    viewer.hooks.onOutput();
    viewer.hooks.onRunning({ runState: "running", times: { ready: 1, running: 2 }, process: null, pageServer: 1 });
    viewer.hooks.onOutput();
    viewer.hooks.onOutput();
    await early.until(() => early.kind(0, 7) === "faulted" && early.states.at(-1)?.marks.length === 2);
    expect([early.kind(1, 4), early.kind(0, 8)]).toEqual(["pushed", "waiting"]);
    const late = new Follower(viewer);
    await late.until(() => late.states.length >= 2);
    expect([late.kind(0, 7), late.kind(1, 0), late.kind(0, 6)]).toEqual(["faulted", "pushed", "waiting"]);
    viewer.finished({ times });
    await Promise.all([early.done, late.done]);
    for (const follower of [early, late]) {
      const last = follower.states.at(-1);
      expect(last?.end).toEqual({ ok: true, message: "All of the guest's memory is in." });
      expect(last?.marks.map(({ name }) => name)).toEqual(["running", "first output", "faults quiet", "all in"]);
      expect(last?.counts.slice(0, 5)).toEqual([0, 5, 0, 0, 1]);
    }
    // After the end, too.
    const after = new Follower(viewer);
    await after.done;
    expect(after.kind(0, 7)).toBe("faulted");
    const said = (await (await fetch(`${viewer.url}api/snapshot`)).json()) as ViewSnapshot;
    expect(said.live).toBe("resume");
  });
});

test("what went wrong is told, and names in it cannot steer a terminal", async () => {
  await watched(async (viewer) => {
    const follower = new Follower(viewer);
    await follower.until(() => follower.states.length > 0);
    viewer.failed(new Error("no \x1b[2Jguest"));
    await follower.done;
    expect(follower.states.at(-1)?.end).toEqual({ ok: false, message: "no \\x1b[2Jguest" });
  });
});

test("a page that does not listen holds nothing up, and has all of it once it does", async () => {
  await watched(async (viewer) => {
    const response = await new Promise<import("node:http").IncomingMessage>((resolve) => {
      request(`${viewer.url}api/live`, resolve).end();
    });
    response.pause();
    // A thousand small changes every few milliseconds: more than a socket takes in.
    for (let turn = 0; turn < 40; turn++) {
      viewer.hooks.onActivity(Array.from({ length: 700 }, (_, i) => fault(0, (i * 2 + turn) % 1500)));
      await new Promise((resolve) => setTimeout(resolve, 5));
    }
    viewer.finished({ times });
    const reader = new FrameReader();
    let last: LiveState | null = null;
    for await (const chunk of response) {
      reader.push(chunk as Uint8Array, (kind, payload) => {
        if (kind === FrameKind.state) last = JSON.parse(new TextDecoder().decode(payload)) as LiveState;
      });
    }
    expect(last).toMatchObject({ end: { ok: true } });
  });
});

test("nothing goes on in a plain viewer; without the token, or for another page, nothing is told", async () => {
  const plain = await view({ file });
  expect((await fetch(`${plain.url}api/live`)).status).toBe(404);
  await plain.close();
  await watched(async ({ url }) => {
    const { origin, port } = new URL(url);
    expect((await fetch(`${origin}/api/live`)).status).toBe(403);
    expect((await fetch(`${url}api/live`, { method: "POST" })).status).toBe(405);
    const ask = (headers: Record<string, string>) =>
      new Promise<number>((resolve) => {
        request(`${url}api/live`, { headers }, (response) => {
          resolve(response.statusCode ?? 0);
          response.destroy();
        }).end();
      });
    expect(await ask({ origin: "http://elsewhere.example" })).toBe(403);
    expect(await ask({ host: `elsewhere.example:${port}` })).toBe(403);
    expect(await ask({ "sec-fetch-site": "cross-site" })).toBe(403);
    expect(await ask({})).toBe(200);
  });
});
