import { statSync } from "node:fs";
import { connect, type Socket } from "node:net";
import { PassThrough } from "node:stream";
import { describe, expect, onTestFinished, test, vi } from "vitest";
import { listenerOf, listenForMigration, type MigrationConnection } from "../../src/qemu/migration-socket.ts";
import { makePrivateFolder } from "../../src/qemu/private-folder.ts";
import { outcome } from "../operations/fake-qemu.ts";

const never = new AbortController().signal;

async function setUp() {
  const folder = makePrivateFolder();
  const listener = await listenForMigration(folder);
  const path = listener.uri.slice("unix:".length);
  const received: number[] = [];
  let total = 0;
  const receiver = {
    chunk: (bytes: Uint8Array) => {
      received.push(bytes.length);
      total += bytes.length;
    },
  };
  const peers: Socket[] = [];
  const dial = () =>
    new Promise<Socket>((resolve) => {
      const socket = connect(path, () => resolve(socket));
      socket.on("error", () => {});
      peers.push(socket);
    });
  const made: MigrationConnection[] = [];
  onTestFinished(() => {
    for (const each of made) each.close();
    for (const each of peers) each.destroy();
    listener.close();
    folder.remove();
  });
  const keep = (connection: MigrationConnection) => {
    made.push(connection);
    return connection;
  };
  return { folder, listener, path, receiver, received, total: () => total, dial, keep };
}

describe("listening", () => {
  test("only we, or the one user named, may connect", async () => {
    const { path, folder } = await setUp();
    expect(statSync(path).mode % 0o1000).toBe(0o600);
    expect(statSync(folder.path).mode % 0o1000).toBe(0o700);
  });

  test("a path that is taken is an error of the system", async () => {
    const { folder } = await setUp();
    await expect(listenForMigration(folder)).rejects.toMatchObject({ code: "system.io" });
  });

  test("a connection that came before it was asked for is found", async () => {
    const { listener, dial, receiver, keep, total } = await setUp();
    const peer = await dial();
    peer.write("early");
    await new Promise((resolve) => setImmediate(resolve));
    keep(await listener.accept(receiver, never));
    await vi.waitFor(() => expect(total()).toBe(5));
  });

  test("a second one is closed", async () => {
    const { listener, dial, receiver, keep } = await setUp();
    await dial();
    const second = await dial();
    const closed = new Promise((resolve) => second.once("close", resolve));
    second.resume();
    keep(await listener.accept(receiver, never));
    await closed;
  });

  test("aborting before there is one ends the wait; closing ends one that nobody took", async () => {
    const { listener, dial, receiver } = await setUp();
    const abort = new AbortController();
    const waiting = listener.accept(receiver, abort.signal);
    abort.abort(new Error("enough"));
    await expect(waiting).rejects.toThrow("enough");
    const peer = await dial();
    peer.resume();
    await new Promise((resolve) => setTimeout(resolve, 5));
    const closed = new Promise((resolve) => peer.once("close", resolve));
    listener.close();
    await closed;
  });
});

describe("receiving", () => {
  test.each(["of Node", "without Node's private handle"])(
    "all bytes, in order, then the end: a socket %s",
    async (kind) => {
      const { listener, dial, keep } = await setUp();
      const parts: Buffer[] = [];
      const receiver = { chunk: (bytes: Uint8Array) => void parts.push(Buffer.from(bytes)) };
      const sent = Buffer.alloc(3 * 2 ** 20, "0123456789");
      const stand = new PassThrough();
      const plain = kind !== "of Node";
      const use = plain ? listenerOf("/x", Promise.resolve(stand as unknown as Socket), () => {}) : listener;
      if (plain) stand.end(sent);
      else (await dial()).end(sent);
      const connection = keep(await use.accept(receiver, never));
      await connection.ended;
      expect(Buffer.concat(parts).equals(sent)).toBe(true);
    },
  );

  test("send reaches the peer; after it has gone, it is qemu.connection-lost", async () => {
    const { listener, dial, receiver, keep } = await setUp();
    const peer = await dial();
    const heard = new Promise<string>((resolve) => peer.once("data", (data) => resolve(String(data))));
    const connection = keep(await listener.accept(receiver, never));
    await connection.send(Buffer.from("pong"));
    expect(await heard).toBe("pong");
    peer.destroy();
    await connection.ended;
    await expect(
      connection.send(new Uint8Array(4)).then(() => connection.send(new Uint8Array(4))),
    ).rejects.toMatchObject({ code: "qemu.connection-lost" });
  });

  test("what the receiver throws ends it, reading stops, and draining still works", async () => {
    const { listener, dial, keep } = await setUp();
    const peer = await dial();
    let calls = 0;
    const fault = new Error("disk full");
    const receiver = {
      chunk: () => {
        calls++;
        throw fault;
      },
    };
    const connection = keep(await listener.accept(receiver, never));
    peer.write("first");
    await expect(connection.ended).rejects.toBe(fault);
    const flushed = new Promise((resolve) => peer.end(Buffer.alloc(4 * 2 ** 20), () => resolve("flushed")));
    expect(await outcome(flushed)).toBe("pending");
    await connection.drain();
    expect(await flushed).toBe("flushed");
    expect(calls).toBe(1);
    await connection.drain();
  });

  test("closing while it drains, and draining what is closed, come to an end", async () => {
    const { listener, dial, receiver, keep } = await setUp();
    await dial();
    const connection = keep(await listener.accept(receiver, never));
    const drained = connection.drain();
    connection.close();
    await drained;
    await connection.drain();
  });

  test("a limit is kept, in pieces of a tenth of a second", async () => {
    const { listener, dial, receiver, keep, received, total } = await setUp();
    const peer = await dial();
    const limit = 200_000;
    const began = performance.now();
    const connection = keep(await listener.accept(receiver, never, { limit }));
    peer.end(Buffer.alloc(60_000));
    await connection.ended;
    const seconds = (performance.now() - began) / 1000;
    expect(total()).toBe(60_000);
    expect(Math.max(...received)).toBeLessThanOrEqual(20_000);
    // The last piece may come before its time is over.
    expect((total() - 20_000) / seconds).toBeLessThan(limit * 1.1);
  });

  test("closing in a pause leaves no timer behind", async () => {
    const { listener, dial, receiver, keep, received } = await setUp();
    const peer = await dial();
    const timers = process.getActiveResourcesInfo().filter((name) => name === "Timeout").length;
    const connection = keep(await listener.accept(receiver, never, { limit: 1 }));
    peer.write("ab");
    await vi.waitFor(() => expect(received.length).toBeGreaterThan(0));
    connection.close();
    await connection.ended;
    expect(received).toEqual([1]);
    expect(process.getActiveResourcesInfo().filter((name) => name === "Timeout").length).toBeLessThanOrEqual(timers);
  });
});
