/** What looks inside opens every container: a migration stream behind something else, whose index is kept; bitmaps of a big-endian host. */
import { existsSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, expect, test } from "vitest";
import { diff } from "../../../src/operations/diff.ts";
import { exportSnapshot } from "../../../src/operations/export.ts";
import { gdb } from "../../../src/operations/gdb.ts";
import { devices } from "../../../src/operations/inside/devices.ts";
import { read } from "../../../src/operations/inside/read.ts";
import { search } from "../../../src/operations/inside/search.ts";
import { encode } from "../synthetic.ts";

const folder = mkdtempSync(join(tmpdir(), "fixedram-inside-"));
afterAll(() => rmSync(folder, { recursive: true }));

/** A stream 5000 bytes into a file. */
function behind(name: string, fill: number): string {
  const path = join(folder, name);
  const stream = encode({ blocks: [["pc.ram", 64]], rounds: [[{ kind: "page", block: 0, page: 5, fill }]] });
  writeFileSync(path, Buffer.concat([Buffer.alloc(5000, 0x55), stream]));
  return path;
}

test("a stream at an offset: searched, read, its devices, exported; its index is kept", async () => {
  const file = behind("a", 0x42);
  const options = { file, offset: 5000, map: "0+256K=pc.ram" };
  const places: (number | null)[] = [];
  const found = await search({
    ...options,
    keepIndex: true,
    pattern: "BBBBBBBB",
    limit: 1,
    onHit: ({ physical }) => void places.push(physical),
  });
  expect([found.hits, places]).toEqual([1, [5 * 4096]]);
  expect(existsSync(`${file}.index`)).toBe(true);
  const bytes: number[] = [];
  const onBytes = (some: Uint8Array) => void bytes.push(...some);
  await read({ ...options, address: 5n * 4096n - 1n, length: 2, space: "physical", onBytes });
  expect(bytes).toEqual([0, 0x42]);
  expect((await devices(options)).devices.map(({ name }) => name)).toEqual(["timer"]);
  const raw = await exportSnapshot({ ...options, output: join(folder, "raw"), format: "raw" });
  expect(raw.ranges).toMatchObject([{ start: 0, length: 256 * 1024 }]);
  await expect(gdb({ ...options, port: 0, once: true })).rejects.toMatchObject({ code: "stream.no-cpu" });
  // Not told where it begins, none of them finds it.
  await expect(search({ file, pattern: "B", onHit: () => {} })).rejects.toMatchObject({ code: "file.unknown-format" });
});

test("diff keeps an index for each", async () => {
  const paths = ["left", "right"].map((name, i) => {
    const path = join(folder, name);
    writeFileSync(
      path,
      encode({ blocks: [["pc.ram", 8]], rounds: [[{ kind: "page", block: 0, page: 5, fill: i + 1 }]] }),
    );
    return path;
  }) as [string, string];
  expect(await diff({ a: paths[0], b: paths[1], keepIndex: true })).toMatchObject({ pages: { changed: 1 } });
  expect(paths.map((path) => existsSync(`${path}.index`))).toEqual([true, true]);
});
