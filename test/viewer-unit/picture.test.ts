/** Pictures of a snapshot that is known page by page. */
import * as fs from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { inflateSync } from "node:zlib";
import { afterAll, beforeAll, expect, test } from "vitest";
import { FixedRamWriter } from "../../src/fixedram/writer.ts";
import { TargetFile } from "../../src/storage/target-file.ts";
import { exportMap } from "../../src/viewer/export.ts";
import { encodePng } from "../../src/viewer/picture/png.ts";
import { rgbOf } from "../../src/viewer/shared/palette.ts";
import { batch, configuration, meta, ramStart, tail } from "../fixedram/sample.ts";
import { mapped } from "../hostile/sound.ts";

const folder = fs.mkdtempSync(join(tmpdir(), "fixedram-picture-"));
const file = join(folder, "<b>guest.fram");
const script = "<script>alert(1)</script>";

beforeAll(async () => {
  const writer = new FixedRamWriter(TargetFile.create(file), configuration(), ramStart([script, 1024], ["\x1b[2J", 4]));
  const [ram] = writer.blocks;
  if (ram === undefined) throw new Error("no block");
  writer.writePages(
    batch(
      ram,
      Array.from({ length: 512 }, (_, i): [number, number] => [i, 7]),
    ),
  );
  writer.tail(tail());
  const memoryMap = [{ start: 0x100000, length: 1024 * 4096, block: script, offset: 0 }];
  await writer.finish({ ...meta, memoryMap, guestName: script });
});
afterAll(() => fs.rmSync(folder, { recursive: true, force: true }));

/** Pixels of a PNG as encodePng makes it. */
function decode(bytes: Buffer): { width: number; height: number; at: (x: number, y: number) => number[] } {
  expect(bytes.subarray(0, 8).toString("latin1")).toBe("\x89PNG\r\n\x1a\n");
  const [width, height] = [bytes.readUInt32BE(16), bytes.readUInt32BE(20)];
  const start = bytes.indexOf("IDAT") + 4;
  const lines = inflateSync(bytes.subarray(start, start + bytes.readUInt32BE(start - 8)));
  expect(lines.length).toBe((width * 3 + 1) * height);
  return {
    width,
    height,
    at: (x, y) => [...lines.subarray(y * (width * 3 + 1) + 1 + x * 3, y * (width * 3 + 1) + 4 + x * 3)],
  };
}

test("the PNG shows data above and zero below", async () => {
  const out = join(folder, "map.png");
  await exportMap({ file, out });
  const { width, height, at } = decode(fs.readFileSync(out));
  expect([width > 1000, height > 700]).toEqual([true, true]);
  expect(at(40, 40)).toEqual([...rgbOf("data", "light")]);
  expect(at(40, height - 40)).toEqual([...rgbOf("zero", "light")]);
});

test("a PNG keeps every pixel", () => {
  const pixels = Uint8Array.from({ length: 7 * 5 * 3 }, (_, i) => (i * 37) % 256);
  const { at } = decode(Buffer.from(encodePng({ width: 7, height: 5, pixels })));
  for (let y = 0; y < 5; y++)
    for (let x = 0; x < 7; x++) expect(at(x, y)).toEqual([...pixels.subarray((y * 7 + x) * 3, (y * 7 + x) * 3 + 3)]);
});

test.each(["svg", "html"])(
  "the %s stands alone, names in it are text, addresses stand beside the map",
  async (kind) => {
    const out = join(folder, `map.${kind}`);
    await exportMap({ file, out });
    const text = fs.readFileSync(out, "utf8");
    for (const raw of ["<script", "\x1b", "<b>"]) expect(text.includes(raw), raw).toBe(false);
    expect(text).not.toMatch(/(?:href|src)="(?!data:)/);
    expect(text).toContain("&#60;script&#62;");
    expect(text).toContain("0x0010_0000");
    if (kind === "html") expect(text).toMatch(/512 of 1,024 pages/);
  },
);

test("a picture never takes the place of the snapshot", async () => {
  const out = join(folder, "linked.svg");
  fs.linkSync(file, out);
  const before = fs.readFileSync(file);
  await expect(exportMap({ file, out })).rejects.toMatchObject({ code: "usage.same-file" });
  expect(before.equals(fs.readFileSync(out))).toBe(true);
});

test("a file of a big-endian host is drawn as what it is, once that is said", async () => {
  const present = Object.fromEntries(Array.from({ length: 77 }, (_, page) => [page * 3, 7]));
  const drawn: string[] = [];
  for (const bigEndian of [true, false]) {
    const path = join(folder, "mapped");
    fs.writeFileSync(path, mapped({ blocks: [{ name: "pc.ram", pages: 320, present }], bigEndian }).bytes);
    const out = join(folder, "order.svg");
    if (bigEndian) await expect(exportMap({ file: path, out })).rejects.toMatchObject({ code: "file.byte-order" });
    await exportMap({ file: path, out, bigEndian });
    drawn.push(fs.readFileSync(out, "utf8"));
  }
  expect(drawn[0]).toBe(drawn[1]);
});

test("another ending is refused before anything is read", async () => {
  await expect(exportMap({ file: "missing", out: "map.gif" })).rejects.toMatchObject({ code: "usage.bad-choice" });
});
