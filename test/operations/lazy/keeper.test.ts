/** Page servers that are killed, real processes, at the worst of times: before they are ready. */
import { closeSync, mkdtempSync, openSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { expect, onTestFinished, test } from "vitest";
import { ServerKeeper } from "../../../src/operations/lazy/keeper.ts";
import { FileStore } from "../../../src/storage/file-store.ts";
import { encode } from "../synthetic.ts";

test("a server that is killed before it has the file open is replaced like any other", async () => {
  const folder = mkdtempSync(join(tmpdir(), "fixedram-keeper-"));
  onTestFinished(() => rmSync(folder, { recursive: true }));
  const path = join(folder, "guest.stream");
  writeFileSync(path, encode({ blocks: [["pc.ram", 4]], rounds: [[{ kind: "page", block: 0, page: 1, fill: 7 }]] }));
  const fd = openSync(path, "r");
  const { identity } = FileStore.open(path);
  const keeper = new ServerKeeper(fd);
  keeper.open({ path, identity, index: null, warm: null, guests: 1, bigEndian: null, verify: false });
  onTestFinished(async () => {
    await keeper.stop();
    closeSync(fd);
  });
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
