/** Two snapshots: either one's map has what differs, as it sees it. */
import * as fs from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, expect, test } from "vitest";
import { FixedRamWriter } from "../../src/fixedram/writer.ts";
import { TargetFile } from "../../src/storage/target-file.ts";
import { gridOf } from "../../src/viewer/shared/grid.ts";
import { view } from "../../src/viewer/view.ts";
import { batch, configuration, meta, ramStart, tail } from "../fixedram/sample.ts";

const folder = fs.mkdtempSync(join(tmpdir(), "fixedram-compare-"));
afterAll(() => fs.rmSync(folder, { recursive: true, force: true }));

async function write(name: string, pages: readonly (readonly [number, number])[]): Promise<string> {
  const path = join(folder, name);
  const writer = new FixedRamWriter(TargetFile.create(path), configuration(), ramStart(["pc.ram", 100]));
  const [ram] = writer.blocks;
  if (ram === undefined) throw new Error("no block");
  writer.writePages(batch(ram, pages));
  writer.tail(tail());
  await writer.finish({ ...meta, memoryMap: [] });
  return path;
}

test("a page that only one has is added on the one, gone on the other", async () => {
  const file = await write("after.fram", [
    [1, 1],
    [2, 5],
    [3, 9],
  ]);
  const other = await write("before.fram", [
    [1, 1],
    [2, 4],
    [7, 7],
  ]);
  const viewer = await view({ file, other });
  try {
    const { width } = gridOf(100, "rows");
    const marked = async (side: number, layer: string) => {
      const path = `api/tile?side=${side}&block=0&order=rows&level=0&x=0&y=0&layers=${layer}`;
      const tile = new Uint8Array(await (await fetch(viewer.url + path)).arrayBuffer());
      return [...tile.keys()].filter((i) => tile[i] !== 0).map((i) => Math.floor(i / 256) * width + (i % 256));
    };
    await expect.poll(() => marked(0, "changed")).toEqual([2]);
    await expect.poll(() => marked(0, "gone")).toEqual([7]);
    expect([await marked(0, "added"), await marked(1, "changed")]).toEqual([[3], [2]]);
    expect([await marked(1, "added"), await marked(1, "gone")]).toEqual([[7], [3]]);
    const devices = (await (await fetch(`${viewer.url}api/devices?side=1`)).json()) as { differs: string }[];
    expect(devices.every(({ differs }) => differs === "same")).toBe(true);
    expect((await fetch(`${viewer.url}api/devices?side=2`)).status).toBe(400);
  } finally {
    await viewer.close();
  }
});
