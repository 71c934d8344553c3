import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { devices } from "../../../src/operations/inside/devices.ts";
import { read } from "../../../src/operations/inside/read.ts";
import { encode, type Synthetic } from "../synthetic.ts";

let folder = "";
beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), "fixedram-inside-"));
});
afterAll(() => rmSync(folder, { recursive: true }));

function file(stream: Synthetic): string {
  const path = join(folder, `${Math.random()}.stream`);
  writeFileSync(path, encode(stream));
  return path;
}

const stream: Synthetic = {
  blocks: [["pc.ram", 16]],
  rounds: [
    [
      { kind: "page", block: 0, page: 1, fill: 0x11 },
      { kind: "page", block: 0, page: 2, fill: 0x22 },
    ],
  ],
};

async function bytesOf(options: Omit<Parameters<typeof read>[0], "onBytes">): Promise<Uint8Array> {
  const pieces: Uint8Array[] = [];
  await read({ ...options, onBytes: (bytes) => void pieces.push(bytes.slice()) });
  return new Uint8Array(Buffer.concat(pieces));
}

describe("a migration stream on disk", () => {
  test("is read by block and by a given map", async () => {
    const path = file(stream);
    const expected = 4098;
    expect(await bytesOf({ file: path, address: 4095n, length: expected, space: { block: "pc.ram" } })).toEqual(
      Uint8Array.from({ length: expected }, (_, i) => (i === 0 ? 0 : i <= 4096 ? 0x11 : 0x22)),
    );
    expect(await bytesOf({ file: path, address: 0x1fffn, length: 2, map: "0+64K=pc.ram" })).toEqual(
      Uint8Array.of(0x11, 0x22),
    );
  });

  test.each([
    [0x10000n, 1, "usage.no-memory"],
    [2n ** 63n, 1, "usage.no-memory"],
    [0xffffn, 2, "usage.no-memory"],
  ])("has nothing at %i for %i bytes", async (address, length, code) => {
    const path = file(stream);
    await expect(bytesOf({ file: path, address, length, map: "0+64K=pc.ram" })).rejects.toMatchObject({
      code,
      details: { path },
    });
  });

  test.each([
    ["physical", 0x1000n, 0x20000, "0+16K=pc.ram", 0x3000],
    ["physical", 0xfffn, 0x5000, "0+16K=pc.ram", 0x3001],
    ["block", 0xfff0n, 64, undefined, 16],
  ] as const)(
    "gives what lies before a byte that can't be read (%s %i, %i bytes)",
    async (space, address, length, map, given) => {
      const pieces: Uint8Array[] = [];
      const asked = read({
        file: file(stream),
        address,
        length,
        ...(map === undefined ? {} : { map }),
        space: space === "block" ? { block: "pc.ram" } : space,
        onBytes: (bytes) => void pieces.push(bytes.slice()),
      });
      await expect(asked).rejects.toMatchObject({
        code: space === "block" ? "usage.past-the-block" : "usage.no-memory",
      });
      const all = Buffer.concat(pieces);
      expect(all.length).toBe(given);
      if (address === 0x1000n) expect([all[0], all[0x1000], all[0x2000]]).toEqual([0x11, 0x22, 0]);
    },
  );

  test("has devices, and says which it has not", async () => {
    const path = file(stream);
    const { devices: all } = await devices({ file: path });
    expect(all).toMatchObject([{ name: "timer", size: 4, tree: { state: { size: 4 } }, problem: null }]);
    await expect(devices({ file: path, name: "vga" })).rejects.toMatchObject({ code: "usage.no-such-device" });
    await expect(devices({ file: path, instance: 1 })).rejects.toMatchObject({ code: "usage.no-such-device" });
  });

  test("without a vmdesc its devices are not told", async () => {
    await expect(devices({ file: file({ ...stream, vmdesc: "none" }) })).rejects.toMatchObject({
      code: "stream.no-vmdesc",
    });
  });
});
