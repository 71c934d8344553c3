/** The guard's end of a migration socket: whenever QEMU connects, all it sends is taken, and drain may be asked for again. */
import { mkdtempSync, rmSync } from "node:fs";
import { connect, type Socket } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, expect, test } from "vitest";
import { Relay } from "../../../src/operations/save/relay.ts";

let folder: string;
let path: string;
let relay: Relay;
beforeEach(async () => {
  folder = mkdtempSync(join(tmpdir(), "fixedram-relay-"));
  path = join(folder, "migration.sock");
  relay = new Relay();
});
afterEach(() => rmSync(folder, { recursive: true }));

/** More than the system keeps for a reader that does not read. */
const STREAM = new Uint8Array(8 * 2 ** 20);

/** Sends a stream as QEMU does; resolves when all of it was taken. */
function send(socket: Socket): Promise<void> {
  return new Promise((resolve, reject) => {
    socket.once("error", reject);
    socket.end(STREAM, () => resolve());
  });
}

test("QEMU connects before: read to its end, twice asked for", async () => {
  const connected = new Promise<unknown>((resolve) => void relay.listen(path, null, resolve));
  await new Promise((resolve) => setImmediate(resolve));
  const sent = send(connect(path));
  expect(await connected).toBeTruthy();
  expect(relay.connected).toBe(true);
  await relay.drain(true);
  await sent;
  await relay.drain(false);
});

test("QEMU connects while it is waited for", async () => {
  await relay.listen(path, null, () => {});
  const drained = relay.drain(true);
  const sent = send(connect(path));
  await Promise.all([drained, sent]);
  expect(relay.connected).toBe(true);
});

test("QEMU connects between a look and the drain: the drain takes it although nothing was expected", async () => {
  const connected = new Promise<unknown>((resolve) => void relay.listen(path, null, resolve));
  await new Promise((resolve) => setImmediate(resolve));
  expect(relay.connected).toBe(false);
  const sent = send(connect(path));
  await connected;
  await Promise.all([relay.drain(false), sent]);
});

test("nobody is to come: the socket is closed at once; and a relay that never listened has nothing to do", async () => {
  await relay.drain(true);
  await relay.listen(path, null, () => {});
  await relay.drain(false);
  await expect(send(connect(path))).rejects.toThrow();
});
