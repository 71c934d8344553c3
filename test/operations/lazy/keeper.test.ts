/** Page servers, real processes: killed at the worst of times, before they are ready; and left to themselves. */
import { closeSync, mkdtempSync, openSync, rmSync, writeFileSync } from "node:fs";
import { createServer, type Socket } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { expect, onTestFinished, test } from "vitest";
import { ServerKeeper } from "../../../src/operations/lazy/keeper.ts";
import { FileStore } from "../../../src/storage/file-store.ts";
import { encode } from "../synthetic.ts";

function keeperOfGuest(): { readonly keeper: ServerKeeper; readonly folder: string } {
  const folder = mkdtempSync(join(tmpdir(), "fixedram-keeper-"));
  onTestFinished(() => rmSync(folder, { recursive: true }));
  const path = join(folder, "guest.stream");
  writeFileSync(path, encode({ blocks: [["pc.ram", 4]], rounds: [[{ kind: "page", block: 0, page: 1, fill: 7 }]] }));
  const fd = openSync(path, "r");
  const { identity } = FileStore.open(path);
  const keeper = new ServerKeeper(fd);
  keeper.open({ path, identity, index: null, warm: null, guests: 1, threads: 1, bigEndian: null, verify: false });
  onTestFinished(async () => {
    await keeper.stop();
    closeSync(fd);
  });
  return { keeper, folder };
}

test("a server that is killed before it has the file open is replaced like any other", async () => {
  const { keeper } = keeperOfGuest();
  const first = keeper.server;
  process.kill(first.pid, "SIGKILL");
  await first.ended;
  const next = keeper.instead(first);
  const second = keeper.server;
  expect(second).not.toBe(first);
  process.kill(second.pid, "SIGKILL");
  const third = await next;
  expect([third.alive, third === second, keeper.restarts]).toEqual([true, false, 2]);
});

test("a server that is left to itself serves who was asked for, and ends then", async () => {
  const { keeper, folder } = keeperOfGuest();
  const socket = join(folder, "incoming.sock");
  const came = new Promise<Socket>((resolve) => {
    const qemu = createServer(resolve);
    qemu.listen(socket);
    onTestFinished(() => void qemu.close());
  });
  const { server } = keeper;
  server.serve(
    {
      ...{ guest: 0, mode: "begin", socket, hostPageSize: 4096, hostPageSizes: [], around: 1, pushRate: null },
      ...{ prefetch: null, record: null, watch: false, readAhead: 2 ** 20, shared: false, held: false, after: null },
    },
    () => {},
  );
  await server.opened;
  keeper.leave();
  await keeper.stop();
  const connection = await came;
  await new Promise((resolve) => connection.once("data", resolve));
  process.kill(server.pid, "SIGHUP");
  process.kill(server.pid, "SIGINT");
  expect(server.alive).toBe(true);
  connection.destroy();
  expect(await server.ended).toEqual({ code: 0, signal: null });
});
