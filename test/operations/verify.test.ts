import * as fs from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { FixedRamWriter } from "../../src/fixedram/writer.ts";
import { parseId, verify } from "../../src/operations/verify.ts";
import { TargetFile } from "../../src/storage/target-file.ts";
import { batch, configuration, meta, ramStart, tail } from "../fixedram/sample.ts";

let folder: string;
let file: string;
beforeEach(() => {
  folder = fs.mkdtempSync(join(tmpdir(), "fixedram-verify-"));
  file = join(folder, "guest.fram");
});
afterEach(() => fs.rmSync(folder, { recursive: true, force: true }));

async function write(record: typeof meta | null = meta): Promise<FixedRamWriter> {
  const writer = new FixedRamWriter(TargetFile.create(file), configuration(), ramStart(["pc.ram", 2 ** 16]));
  const [ram] = writer.blocks;
  if (ram === undefined) throw new Error("no block");
  const pages = Array.from({ length: 700 }, (_, i): [number, number] => [i + 100, (i % 250) + 1]);
  writer.writePages(batch(ram, pages, 0));
  writer.writePages(batch(ram, [[60_000, 3]]));
  writer.tail(tail());
  await writer.finish(record);
  return writer;
}

function patch(position: number, ...bytes: number[]): void {
  const fd = fs.openSync(file, "r+");
  fs.writeSync(fd, Uint8Array.from(bytes), 0, bytes.length, position);
  fs.closeSync(fd);
}

const codes = async (options: Partial<Parameters<typeof verify>[0]> = {}) => {
  const { ok, sealState, problems } = await verify({ file, ...options });
  return [ok, sealState, ...problems.map(({ code }) => code)];
};

describe("verify", () => {
  it("finds a sealed file sound, quick and deep, and tells its id", async () => {
    const writer = await write();
    const seen: number[] = [];
    for (const deep of [false, true]) {
      const result = await verify({ file, deep, onProgress: ({ bytes }) => seen.push(bytes) });
      expect(result).toMatchObject({ ok: true, sealState: "sealed", id: writer.id, uuid: meta.uuid, problems: [] });
      const { coverage } = result;
      expect(Object.values(coverage ?? {}).reduce((sum, bytes) => sum + bytes, 0)).toBe(fs.statSync(file).size);
    }
  });

  it("demands an id", async () => {
    const { id } = await write();
    expect(await codes({ id: (id ?? "").toUpperCase() })).toEqual([true, "sealed"]);
    expect(await codes({ id: "0".repeat(64) })).toEqual([false, "sealed", "seal.wrong-id"]);
    await expect(verify({ file, id: "abc" })).rejects.toMatchObject({ code: "usage.bad-id" });
    expect(() => parseId(`${"0".repeat(63)}g`)).toThrow();
    await write(null);
    expect(await codes({ id: id ?? "" })).toEqual([false, "none", "seal.wrong-id"]);
  });

  it("names a page lost and a page changed, with the file's place", async () => {
    const writer = await write();
    const at = (page: number) => (writer.layout.blocks[0]?.pagesOffset ?? 0) + page * 4096;
    patch(at(60_000) + 17, 9);
    patch(at(120), ...new Uint8Array(3 * 4096));
    expect(await codes()).toEqual([true, "sealed"]);
    const { ok, problems } = await verify({ file, deep: true });
    expect(ok).toBe(false);
    expect(problems).toMatchObject([
      { code: "seal.damaged-page", block: "pc.ram", page: 120, pages: 3, offset: at(120), length: 3 * 4096 },
      { code: "seal.damaged-page", block: "pc.ram", page: 60_000, pages: 1, offset: at(60_000) },
    ]);
  });

  it("tells unsealed, half-sealed, stale and damaged files, and changed headers, apart", async () => {
    const writer = await write(null);
    const unsealed = await verify({ file, deep: true });
    expect(unsealed).toMatchObject({ ok: true, sealState: "none", container: "mapped-ram", id: null });
    const nothing = { pages: 0, regions: 0, tables: 0, seal: 0 };
    expect(unsealed.coverage).toEqual({ ...nothing, uncovered: fs.statSync(file).size });
    expect(unsealed.unchecked[0]).toContain("no seal");
    await write();
    const { size } = fs.statSync(file);
    fs.truncateSync(file, size - 128);
    expect(await codes()).toEqual([false, "half", "seal.half"]);
    await write();
    patch(writer.layout.tailOffset, ...tail(false));
    expect(await codes()).toEqual([false, "stale", "seal.damaged-region", "seal.stale"]);
    await write();
    patch(size - 10, 1);
    expect(await codes()).toEqual([false, "damaged", "seal.damaged-trailer"]);
    await write();
    patch(1, 0x20);
    expect(await codes()).toEqual([false, "damaged", "seal.damaged-region"]);
    await write();
    fs.truncateSync(file, writer.layout.tailOffset - 4096);
    expect((await codes())[0]).toBe(false);
  });

  it("refuses what is no snapshot at all", async () => {
    fs.writeFileSync(file, "QFI\xfb is something else, long enough to be looked at");
    await expect(verify({ file })).rejects.toMatchObject({ code: expect.stringMatching(/^file\./), exitCode: 3 });
    await expect(verify({ file: join(folder, "none") })).rejects.toMatchObject({ code: "system.not-found" });
  });
});
