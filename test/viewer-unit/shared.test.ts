import { randomBytes } from "node:crypto";
import { deflateSync } from "node:zlib";
import { expect, test } from "vitest";
import { ContentClass, classify } from "../../src/bytes/content.ts";
import { parseAddress, physicalIn, spotIn } from "../../src/viewer/shared/address.ts";
import { inspect } from "../../src/viewer/shared/inspect.ts";
import type { ViewBlock, ViewRange } from "../../src/viewer/shared/protocol.ts";
import { partsOf } from "../../src/viewer/shared/strip.ts";
import { count, percent, size } from "../../src/viewer/shared/units.ts";
import { worldOf } from "../../src/viewer/shared/world.ts";

const block = (index: number, name: string, pages: number): ViewBlock => ({
  ...{ index, name, label: name, length: pages * 4096, pageSize: 4096, pages, present: 0, absent: 0 },
  pagesOffset: null,
});
const blocks = [block(0, "pc.ram", 65_536), block(1, "vga:x", 16)];
const ranges: ViewRange[] = [
  { start: 0, length: 0xa0000, block: 0, offset: 0, readOnly: false },
  { start: 0x100000, length: 0x8000000 - 0x100000, block: 0, offset: 0x100000, readOnly: false },
  { start: 0x100000000, length: 0x8000000, block: 0, offset: 0x8000000, readOnly: false },
];

test("addresses as they are typed", () => {
  const parse = (text: string) => parseAddress(text, blocks[0] ?? null, blocks, ranges);
  expect(parse("0x1f000")).toEqual({ spot: { block: 0, offset: 0x1f000 } });
  expect(parse(" 64k ")).toEqual({ spot: { block: 0, offset: 65_536 } });
  expect(parse("page 12")).toEqual({ spot: { block: 0, offset: 12 * 4096 } });
  expect(parse("vga:x:0x10")).toEqual({ spot: { block: 1, offset: 16 } });
  expect(parse("p:0x100000000")).toEqual({ spot: { block: 0, offset: 0x8000000 } });
  expect(parse("v:0xffff8000_1000")).toEqual({ virtual: "0xffff80001000" });
  // Too large for an offset: the kernel's addresses, as other tools print them.
  expect(parse("0xffffffff8ec17a0b")).toEqual({ virtual: "0xffffffff8ec17a0b" });
  expect(parse("0xffff_8880_0000_1000")).toEqual({ virtual: "0xffff888000001000" });
  for (const text of ["0x1_0000_0000_0000_0000", "pc.ram:0xffffffff8ec17a0b", "page 0xffffffff8ec17a0b"])
    expect(parse(text), text).toHaveProperty("problem");
  for (const text of ["", "pc.ram", "0xfffffffff", "page 65536", "p:0xb0000", "nothing:0", "1e99"])
    expect(parse(text), text).toHaveProperty("problem");
});

test("physical addresses lead to bytes of blocks and back", () => {
  for (const address of [0, 0x9ffff, 0x100000, 0x100001000]) {
    const spot = spotIn(ranges, address);
    if (spot === null) throw new Error("nothing there");
    expect(physicalIn(ranges, spot)).toBe(address);
  }
  expect(spotIn(ranges, 0xa0000)).toBe(null);
  expect(physicalIn(ranges, { block: 0, offset: 0xa0000 })).toBe(null);
});

test("the strip of physical memory fills its width, holes short", () => {
  const parts = partsOf(ranges, 1000);
  expect(parts.map(({ range }) => range !== null)).toEqual([true, false, true, false, true]);
  expect(parts.reduce((sum, { width }) => sum + width, 0)).toBeCloseTo(1000);
  expect(parts[3]?.width).toBeLessThan(60);
});

test("blocks do not lie on each other, the largest stands first", () => {
  const many = Array.from({ length: 40 }, (_, i) => block(i, `b${i}`, 1 + ((i * 7919) % 5000)));
  const { plots, width, height } = worldOf([...many, block(40, "ram", 131_072)], "rows");
  expect(plots[0]).toMatchObject({ x: 0, y: 0, block: { name: "ram" } });
  for (const [i, a] of plots.entries()) {
    expect(a.x + a.width).toBeLessThanOrEqual(width);
    expect(a.y + a.height).toBeLessThanOrEqual(height);
    for (const b of plots.slice(i + 1))
      expect(a.x + a.width <= b.x || b.x + b.width <= a.x || a.y + a.height <= b.y || b.y + b.height <= a.y).toBe(true);
  }
});

test("bytes are read as numbers both ways round", () => {
  const readings = new Map(inspect(Uint8Array.of(0xff, 0, 0, 0x80, 0, 0, 0, 0x40)).map((each) => [each.name, each]));
  expect(readings.get("i8")).toMatchObject({ little: "-1", big: "-1" });
  expect(readings.get("u32")).toMatchObject({ little: "2147483903", big: "4278190208" });
  expect(readings.get("x64")).toMatchObject({ little: "0x4000_0000_8000_00ff" });
  expect(inspect(new Uint8Array(3)).find(({ name }) => name === "u32")?.little).toBe("–");
});

test("what pages look like", () => {
  const of = (bytes: Uint8Array) => {
    const page = new Uint8Array(4096);
    page.set(bytes.subarray(0, 4096));
    return classify(page, 0, 4096);
  };
  expect(of(new Uint8Array(0))).toBe(ContentClass.zero);
  expect(of(Buffer.from("root:x:0:0:root:/root:/bin/bash\n".repeat(128)))).toBe(ContentClass.text);
  expect(of(randomBytes(4096))).toBe(ContentClass.random);
  const words = Buffer.from(Array.from({ length: 20_000 }, (_, i) => `${i * 7919} ${(i * i) % 9973}`).join(" "));
  expect(of(deflateSync(words, { level: 1, strategy: 2 }))).toBe(ContentClass.packed);
  const table = new Uint8Array(4096);
  for (let i = 0; i < 4096; i += 8) table[i] = i / 8;
  expect(of(table)).toBe(ContentClass.structured);
});

test("figures", () => {
  expect([size(0), size(1023), size(1536), size(2 ** 40), count(1_234_567)]).toEqual([
    ...["0 B", "1023 B", "1.50 KiB", "1 TiB", "1,234,567"],
  ]);
  expect([percent(0, 9), percent(9, 9), percent(1, 1e6), percent(999_999, 1e6), percent(1, 3)]).toEqual([
    ...["0 %", "100 %", "<0.1 %", ">99.9 %", "33.3 %"],
  ]);
});
