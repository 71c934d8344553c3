/** Pages sent on multifd channels by real threads over real sockets, read by our own reader: each arrives once, in its round. */
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { connect, createServer, type Socket } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import fc from "fast-check";
import { afterAll, expect, onTestFinished, test } from "vitest";
import { ChannelSender, sharedFiles } from "../../../src/operations/resume/channels.ts";
import type { PageMap } from "../../../src/pages/map.ts";
import { FileStore } from "../../../src/storage/file-store.ts";
import { MultifdReader } from "../../../src/stream/multifd-reader.ts";
import { WorkerPool } from "../../../src/workers/pool.ts";

const PAGE = 4096;
const PAGES = 5000;
const blocks = ["pc.ram", "rom"].map((name, index) => ({
  index,
  name,
  length: PAGES * PAGE,
  pageSize: PAGE,
  pages: PAGES,
}));
const uuid = Uint8Array.from({ length: 16 }, (_, i) => i);

/** A file whose page i begins with i, and QEMU's ends of the channels. */
async function setUp(channels: number, pages = PAGES) {
  const folder = mkdtempSync(join(tmpdir(), "fixedram-send-"));
  const path = join(folder, "pages");
  const content = Buffer.alloc(pages * PAGE);
  for (let page = 0; page < pages; page++) content.writeUInt32BE(page, page * PAGE);
  writeFileSync(path, content);
  const store = FileStore.open(path);
  const said: string[][] = [];
  const peers: Socket[] = [];
  const server = createServer((socket) => {
    peers.push(socket);
    const heard: string[] = [];
    said.push(heard);
    const reader = new MultifdReader(new Uint8Array(MultifdReader.bufferBytes(PAGE)), blocks, {
      greeting: ({ channel, uuid: id }) => heard.push(`channel ${channel} ${id.join("")}`),
      pages: ({ block, count, pages: places, offsets, chunk }) => {
        const view = new DataView(chunk.buffer, chunk.byteOffset);
        for (let i = 0; i < count; i++) heard.push(`${block.name}:${places[i]}=${view.getUint32(offsets[i] ?? 0)}`);
      },
      zeroPages: () => heard.push("zero"),
      sync: () => heard.push("sync"),
    });
    socket.on("data", (bytes) => reader.push(bytes));
    socket.on("error", () => {});
  });
  await new Promise<void>((resolve) => server.listen(join(folder, "socket"), resolve));
  const sockets: Socket[] = [];
  for (let i = 0; i < channels; i++) {
    sockets.push(
      await new Promise<Socket>((resolve) => {
        const socket = connect(join(folder, "socket"), () => resolve(socket));
        socket.on("error", () => {});
      }),
    );
  }
  const map = { blocks, stores: [store] } as unknown as PageMap;
  const sent: number[] = [];
  const sender = new ChannelSender(pool, map, sharedFiles([store]) ?? [], sockets, uuid, (bytes) => sent.push(bytes));
  onTestFinished(async () => {
    await sender.close();
    for (const socket of [...sockets, ...peers]) socket.destroy();
    server.close();
    await store.close();
    rmSync(folder, { recursive: true });
  });
  return { sender, said, sent, sockets, peers };
}

const zero = async () => {};
const pool = new WorkerPool({ size: 3 });
afterAll(() => pool.close());

test(
  "every page once, with its bytes, between the SYNCs of its round",
  () =>
    fc.assert(
      fc.asyncProperty(
        fc.array(
          fc.record({
            block: fc.nat(1),
            first: fc.nat(400),
            pages: fc.integer({ min: 1, max: 4600 }),
            from: fc.nat(400),
          }),
          { minLength: 1, maxLength: 5 },
        ),
        fc.integer({ min: 1, max: 3 }),
        async (extents, channels) => {
          const { sender, said, sent } = await setUp(channels);
          await sender.round();
          const visitor = sender.visitor(zero);
          for (const { block, first, pages, from } of extents) await visitor.data(block, first, pages, 0, from * PAGE);
          await sender.round();
          await expect
            .poll(() => said.map((heard) => heard.filter((each) => each === "sync").length))
            .toEqual(Array(channels).fill(2));
          for (const heard of said) {
            expect(heard[0]).toMatch(/^channel \d 0123456789101112131415$/);
            expect([heard[1], heard.at(-1)]).toEqual(["sync", "sync"]);
          }
          expect(said.map(([first]) => first).sort()).toEqual(
            Array.from({ length: channels }, (_, i) => `channel ${i} 0123456789101112131415`),
          );
          const got = said.flatMap((heard) => heard.slice(2, -1)).sort();
          const wanted = extents.flatMap(({ block, first, pages, from }) =>
            Array.from({ length: pages }, (_, i) => `${blocks[block]?.name}:${first + i}=${from + i}`),
          );
          expect(got).toEqual(wanted.sort());
          expect(sent.at(-1)).toBe(wanted.length * PAGE);
        },
      ),
      { numRuns: 8 },
    ),
  60_000,
);

test("a channel that QEMU closes, and a file that ends, are errors", async () => {
  const { sender, peers } = await setUp(2);
  await sender.round();
  peers[0]?.destroy();
  const visitor = sender.visitor(zero);
  const send = async () => {
    for (let i = 0; i < 50; i++) await visitor.data(0, 0, PAGES, 0, 0);
  };
  await expect(send()).rejects.toMatchObject({ code: "qemu.load-failed" });
  const short = await setUp(1, 10);
  await short.sender.round();
  await short.sender.visitor(zero).data(0, 0, 100, 0, 0);
  await expect(short.sender.round()).rejects.toMatchObject({ code: "file.truncated" });
});

test("closing stops threads that nobody takes pages from", async () => {
  const { sender, peers } = await setUp(2);
  await sender.round();
  for (const peer of peers) peer.pause();
  void sender.visitor(zero).data(0, 0, PAGES, 0, 0);
  await new Promise((resolve) => setImmediate(resolve));
  await sender.close();
});
