/**
 * Multifd channels beside a main stream, on real sockets, taken by real threads: whatever comes first, the file is what a plain
 * model of the rounds says.
 */
import { mkdtempSync, rmSync } from "node:fs";
import { connect, type Socket } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import fc from "fast-check";
import { afterAll, describe, expect, onTestFinished, test } from "vitest";
import { Capture } from "../../../src/operations/save/capture.ts";
import { ChannelCapture, type ChannelOptions } from "../../../src/operations/save/channels.ts";
import { listenForMigration } from "../../../src/qemu/migration-socket.ts";
import { makePrivateFolder } from "../../../src/qemu/private-folder.ts";
import { FileStore } from "../../../src/storage/file-store.ts";
import { TargetFile } from "../../../src/storage/target-file.ts";
import { encodeGreeting, encodePacketHeader, packetHeaderSize } from "../../../src/stream/multifd-packet.ts";
import { WorkerPool } from "../../../src/workers/pool.ts";
import { meta } from "../../fixedram/sample.ts";
import { contents, encode, model, open, type Step } from "../synthetic.ts";

const PAGE = 4096;
const blocks = [
  ["pc.ram", 40],
  ["rom", 5],
] as const;
const CHANNELS = 2;
const uuid = new Uint8Array(16);

const pool = new WorkerPool({ size: CHANNELS });
afterAll(() => pool.close());

/** One round: what comes on each channel, and zero pages of the main stream. No page comes twice in a round. */
interface Round {
  readonly channels: readonly (readonly Step[])[];
  readonly main: readonly Step[];
}

/** A step as packets of a channel; SYNC with the last one, or by itself. */
function packetsOf(steps: readonly Step[], sync: "last" | "alone"): Uint8Array[] {
  const packets = steps.map((step, i) => {
    const name = blocks[step.block]?.[0] ?? "";
    const zeroPages = step.kind === "zero" ? Array.from({ length: step.count }, (_, k) => step.page + k) : [];
    const pages = step.kind === "page" ? [step.page] : [];
    const last = sync === "last" && i === steps.length - 1;
    const body = step.kind === "page" ? new Uint8Array(PAGE).fill(step.fill) : new Uint8Array(0);
    return Buffer.concat([header({ block: name, pages, zeroPages, sync: last }), body]);
  });
  if (sync === "alone" || steps.length === 0) packets.push(Buffer.from(header({ sync: true })));
  return packets;
}

function header(wish: { block?: string; pages?: number[]; zeroPages?: number[]; sync: boolean }): Uint8Array {
  const bytes = new Uint8Array(packetHeaderSize(PAGE));
  encodePacketHeader(bytes, { number: 1, block: "", pages: [], zeroPages: [], ...wish }, PAGE);
  return bytes;
}

interface Scene {
  readonly channels: ChannelCapture;
  readonly capture: Capture;
  readonly target: TargetFile;
  /** QEMU's ends, in the order of the channels. */
  readonly sockets: readonly Socket[];
  /** Opens the file, once it is complete. */
  read(): Promise<Record<string, string>>;
}

async function setUp(more: Partial<ChannelOptions> = {}): Promise<Scene> {
  const folder = mkdtempSync(join(tmpdir(), "fixedram-channels-"));
  const sockets = makePrivateFolder();
  const listener = await listenForMigration(sockets, undefined, CHANNELS);
  const path = listener.uri.slice("unix:".length);
  const dial = () =>
    new Promise<Socket>((resolve) => {
      const socket = connect(path, () => resolve(socket));
      socket.on("error", () => {});
    });
  const ends: Socket[] = [];
  for (let i = 0; i <= CHANNELS; i++) ends.push(await dial());
  const never = new AbortController().signal;
  const main = await listener.accept({ chunk: () => {} }, never);
  const target = TargetFile.create(join(folder, "x.fram"));
  const channels = new ChannelCapture({
    pool,
    target,
    directIo: false,
    onProgress: () => {},
    ...more,
  });
  const capture = new Capture(
    target,
    ({ name }) => name === "pc.ram",
    () => {},
    () => {},
    channels,
  );
  channels.connected(await listener.channels(never));
  onTestFinished(async () => {
    await channels.close();
    main.close();
    for (const end of ends) end.destroy();
    listener.close();
    sockets.remove();
    await target.abort();
    rmSync(folder, { recursive: true });
  });
  const read = async () => {
    const store = FileStore.open(target.partial);
    const held = contents((await open(store)).map);
    await store.close();
    return held;
  };
  return { channels, capture, target, sockets: ends.slice(1), read };
}

/** Sends all of a channel at once, as far ahead as the sockets let it; the main stream in chunks of `size`. */
async function play(scene: Scene, rounds: readonly Round[], sync: "last" | "alone", size: number): Promise<void> {
  const { capture, channels, sockets } = scene;
  sockets.forEach((socket, i) => {
    socket.write(encodeGreeting({ channel: CHANNELS - 1 - i, uuid }));
    // The set-up section ends a round of its own.
    socket.write(header({ sync: true }));
    for (const round of rounds) for (const packet of packetsOf(round.channels[i] ?? [], sync)) socket.write(packet);
  });
  const bytes = encode({ blocks, rounds: rounds.map(({ main }) => main) });
  for (let at = 0; at < bytes.length; at += size) await capture.chunk(bytes.subarray(at, at + size));
  await channels.end();
  capture.complete(meta);
}

/** Rounds in which each page comes once, by whichever way. */
const round: fc.Arbitrary<Round> = fc
  .record({
    page: fc.uniqueArray(fc.nat(44), { maxLength: 14 }),
    way: fc.array(fc.nat(2 * CHANNELS + 1), { minLength: 14, maxLength: 14 }),
    fill: fc.integer({ min: 1, max: 200 }),
  })
  .map(({ page, way, fill }) => {
    const channels: Step[][] = Array.from({ length: CHANNELS }, () => []);
    const main: Step[] = [];
    page.forEach((each, i) => {
      const place = each < 40 ? { block: 0, page: each } : { block: 1, page: each - 40 };
      const by = way[i] ?? 0;
      if (by < CHANNELS) channels[by]?.push({ kind: "page", ...place, fill: fill + i });
      else if (by < 2 * CHANNELS) channels[by - CHANNELS]?.push({ kind: "zero", ...place, count: 1 });
      else main.push({ kind: "zero", ...place, count: 1 });
    });
    return { channels, main };
  });

describe("rounds", () => {
  test(
    "whatever comes first, and by whichever channel, every round is whole before the next",
    () =>
      fc.assert(
        fc.asyncProperty(
          fc.array(round, { minLength: 1, maxLength: 6 }),
          fc.constantFrom("last" as const, "alone" as const),
          fc.integer({ min: 20, max: 3000 }),
          async (rounds, sync, size) => {
            const scene = await setUp();
            await play(scene, rounds, sync, size);
            const steps = rounds.map(({ channels, main }) => [...channels.flat(), ...main]);
            expect(await scene.read()).toEqual(model({ rounds: steps }));
            expect(scene.capture.counts.total).toBe(45);
          },
        ),
        { numRuns: 40 },
      ),
    60_000,
  );

  test("a page that is zero in the main stream's round 1 and data in round 2 of a fast channel stays data", async () => {
    const scene = await setUp();
    const { capture, channels, sockets } = scene;
    const [fast, slow] = sockets;
    for (const [i, socket] of sockets.entries()) socket.write(encodeGreeting({ channel: i, uuid }));
    const sync = header({ sync: true });
    // The fast channel is two rounds ahead before anybody else has begun.
    fast?.write(sync);
    fast?.write(sync);
    for (const packet of packetsOf([{ kind: "page", block: 0, page: 7, fill: 5 }], "last")) fast?.write(packet);
    const stream = encode({ blocks, rounds: [[{ kind: "zero", block: 0, page: 7, count: 1 }], []] });
    const taken = (async () => capture.chunk(stream))();
    for (let round = 0; round < 3; round++) {
      await new Promise((resolve) => setImmediate(resolve));
      expect(capture.isWhole).toBe(false);
      slow?.write(sync);
    }
    await taken;
    expect(capture.isWhole).toBe(true);
    await channels.end();
    capture.complete(meta);
    expect(await scene.read()).toEqual(model({ rounds: [[{ kind: "page", block: 0, page: 7, fill: 5 }]] }));
    expect(channels.pages).toBe(1);
  });
});

describe("what goes wrong", () => {
  const stream = encode({ blocks, rounds: [[], []] });
  const greet = ({ sockets }: Scene, numbers = [0, 1]) =>
    sockets.forEach((socket, i) => void socket.write(encodeGreeting({ channel: numbers[i] ?? 0, uuid })));

  test("a damaged packet on one channel stops all of them", async () => {
    const scene = await setUp();
    greet(scene);
    void scene.capture.chunk(stream);
    scene.sockets[0]?.write(Buffer.alloc(packetHeaderSize(PAGE)));
    await expect(scene.channels.failure).rejects.toMatchObject({ code: "stream.multifd-packet" });
    await scene.channels.close();
  });

  test("two channels with one number", async () => {
    const scene = await setUp();
    greet(scene, [1, 1]);
    void scene.capture.chunk(stream);
    await expect(scene.channels.failure).rejects.toMatchObject({ code: "stream.multifd-greeting" });
  });

  test("a connection of somebody else", async () => {
    const scene = await setUp();
    void scene.capture.chunk(stream);
    scene.sockets[1]?.write(Buffer.alloc(64, 1));
    await expect(scene.channels.failure).rejects.toMatchObject({ code: "stream.multifd-greeting" });
  });

  test("a channel that is closed inside a packet; one that is closed between packets", async () => {
    const scene = await setUp();
    const closed = new Promise<void>((resolve) => {
      scene.channels.onClosed = resolve;
    });
    greet(scene);
    void scene.capture.chunk(stream);
    scene.sockets[0]?.end();
    await closed;
    scene.sockets[1]?.write(Buffer.alloc(1));
    scene.sockets[1]?.end();
    await expect(scene.channels.failure).rejects.toMatchObject({ code: "stream.multifd-cut" });
  });

  test("rounds that do not agree end in an error, not in waiting for ever", async () => {
    const scene = await setUp({ roundTime: 200 });
    greet(scene);
    void scene.capture.chunk(stream);
    scene.sockets[0]?.write(header({ sync: true }));
    await expect(scene.channels.failure).rejects.toMatchObject({
      code: "stream.multifd-rounds",
      details: { found: expect.stringContaining("channels at 1, 0") },
    });
  });

  test("pages behind the last SYNC", async () => {
    const scene = await setUp();
    greet(scene);
    const taken = scene.capture.chunk(stream);
    for (const socket of scene.sockets) for (let i = 0; i < 3; i++) socket.write(header({ sync: true }));
    await taken;
    expect(scene.capture.isWhole).toBe(true);
    for (const packet of packetsOf([{ kind: "page", block: 0, page: 1, fill: 1 }], "alone").slice(0, 1))
      scene.sockets[0]?.write(packet);
    await new Promise((resolve) => setTimeout(resolve, 50));
    await expect(scene.channels.end()).rejects.toMatchObject({ code: "stream.multifd-late" });
  });

  test("a file that was put in the place of ours is not written to", async () => {
    const scene = await setUp();
    const { target } = scene;
    rmSync(target.partial);
    const other = TargetFile.create(join(target.partial, "..", "y.fram"));
    const { renameSync, statSync } = await import("node:fs");
    renameSync(other.partial, target.partial);
    greet(scene);
    void scene.capture.chunk(stream);
    await expect(scene.channels.failure).rejects.toMatchObject({ code: "system.target-replaced" });
    expect(statSync(target.partial).size).toBe(0);
    await other.abort();
  });

  test("closing stops threads that wait, for pages or for each other", async () => {
    const scene = await setUp();
    greet(scene);
    void scene.capture.chunk(stream);
    scene.sockets[0]?.write(header({ sync: true }));
    await new Promise((resolve) => setTimeout(resolve, 50));
    await scene.channels.close();
    // The pool's threads are free again.
    const next = await setUp();
    await play(next, [{ channels: [[], []], main: [] }], "alone", 1000);
  });
});
