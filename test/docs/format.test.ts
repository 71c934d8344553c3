/** docs/format.md is enough to write a reader from: independent-reader.ts, which was, reads what fixedram writes. */
import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, expect, test } from "vitest";
import { convert } from "../../src/operations/convert.ts";
import { openSnapshot } from "../../src/operations/open.ts";
import { seal } from "../../src/operations/seal.ts";
import { mapped } from "../hostile/sound.ts";
import { encode, type Step } from "../operations/synthetic.ts";
import { read } from "./independent-reader.ts";

let folder = "";
beforeEach(() => {
  folder = mkdtempSync(join(existsSync("/dev/shm") ? "/dev/shm" : tmpdir(), "fixedram-format-"));
});
afterEach(() => rmSync(folder, { recursive: true, force: true }));

test("a file of ours, its seal, and damage in it", async () => {
  const steps: Step[] = Array.from({ length: 600 }, (_, i) => ({
    kind: "page",
    block: 0,
    page: 3 * i,
    fill: (i % 250) + 1,
  }));
  const blocks = [
    ["pc.ram", 40_000],
    ["/rom@etc/table", 70],
  ] as const;
  writeFileSync(
    join(folder, "a"),
    encode({ blocks, rounds: [[...steps, { kind: "page", block: 1, page: 9, fill: 4 }]] }),
  );
  const path = join(folder, "a.fram");
  const made = await convert({ input: join(folder, "a"), output: path });
  const file = read(path);
  expect(file).toMatchObject({ machine: made.machine, capabilities: ["mapped-ram"], pageSize: 4096 });
  expect(file.seal?.id).toBe(made.id);
  expect(file.seal?.meta.uuid).toBe(made.uuid);
  expect(file.seal?.problems()).toEqual([]);
  expect(file.page(0, 3)?.every((byte) => byte === 2)).toBe(true);
  expect(file.page(0, 4)).toBeNull();
  for (const page of [0, 3, 1797]) expect(file.seal?.pageIsSealed(0, page)).toBe(true);
  await using snapshot = await openSnapshot(path);
  expect(file.streamEnd).toBe(snapshot.streamEnd);
  expect(file.devices).toEqual(
    snapshot.devices.map(({ name, instance, payload }) => ({ name, instance, size: payload.length })),
  );
  file.close();
  const bytes = readFileSync(path);
  bytes[(file.blocks[0]?.pagesOffset ?? 0) + 3 * 4096] = 77;
  bytes[(file.blocks[0]?.bitmapOffset ?? 0) + 100] = 0xff;
  writeFileSync(path, bytes);
  const damaged = read(path);
  expect(damaged.seal?.pageIsSealed(0, 3)).toBe(false);
  expect(damaged.seal?.problems()).toEqual(["region BMAP", "node 1 of block 0"]);
  damaged.close();
});

test("a sealed file of a big-endian host", async () => {
  const present = Object.fromEntries(Array.from({ length: 90 }, (_, i) => [7 * i, (i % 250) + 1]));
  const path = join(folder, "big");
  writeFileSync(path, mapped({ bigEndian: true, blocks: [{ name: "pc.ram", pages: 700, present }] }).bytes);
  const made = await seal({ file: path, bigEndian: true });
  const file = read(path);
  expect([file.seal?.id, file.seal?.problems()]).toEqual([made.id, []]);
  expect([file.page(0, 7)?.[0], file.page(0, 8), file.seal?.pageIsSealed(0, 623)]).toEqual([2, null, true]);
  file.close();
});
