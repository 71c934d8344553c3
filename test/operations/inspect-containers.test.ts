/** What info and map tell of containers whose pages are out of reach, or stand in another order. */
import { execFileSync } from "node:child_process";
import { existsSync, mkdtempSync, readFileSync, rmSync, statSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { swapBitmapWords } from "../../src/bytes/bitmap.ts";
import { infoText } from "../../src/cli/render/info.ts";
import { convert } from "../../src/operations/convert.ts";
import { info, mapOf } from "../../src/operations/inspect.ts";
import { openSnapshot } from "../../src/operations/open.ts";
import { verify } from "../../src/operations/verify.ts";
import { cookie, headerOf, xml } from "../libvirt/sample.ts";
import { contents, encode, failure, type Synthetic } from "./synthetic.ts";

let folder = "";
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), "fixedram-inspect-"));
});
afterEach(() => rmSync(folder, { recursive: true, force: true }));
const at = (name: string): string => join(folder, name);

const synthetic: Synthetic = {
  blocks: [
    ["pc.ram", 100],
    ["vga", 8],
  ],
  rounds: [
    [
      { kind: "page", block: 0, page: 3, fill: 1 },
      { kind: "page", block: 0, page: 4, fill: 2 },
      { kind: "zero", block: 1, page: 0, count: 8 },
    ],
    [{ kind: "zero", block: 0, page: 4, count: 1 }],
  ],
};
const packers = { gzip: ["gzip", "-c"], bzip2: ["bzip2", "-c"], xz: ["xz", "-c"], zstd: ["zstd", "-c"] } as const;
type Packed = keyof typeof packers;

function image(format: Packed, little = true): string {
  const [program, ...args] = packers[format];
  const packed = execFileSync(program, args, { input: encode(synthetic) });
  const path = at(`web.${format}`);
  writeFileSync(path, Buffer.concat([headerOf({ format, little }), packed]));
  return path;
}

describe("a compressed image of libvirt's", () => {
  test.each(Object.keys(packers) as Packed[])("%s: info and map unpack it once, verify to its end", async (format) => {
    const path = image(format, format !== "xz");
    const found = await info(path);
    expect(found).toMatchObject({ container: "libvirt", seal: null, sealState: "none", machine: "pc-i440fx-7.2" });
    expect(found.libvirt).toEqual({
      format,
      version: 2,
      byteOrder: format === "xz" ? "big" : "little",
      wasRunning: true,
      xml: Buffer.from(xml).toString("utf8"),
      cookie: Buffer.from(cookie).toString("utf8"),
    });
    expect(found.blocks.map(({ name, present, pagesOffset }) => [name, present, pagesOffset])).toEqual([
      ["pc.ram", 1, null],
      ["vga", 0, null],
    ]);
    const [ram] = await mapOf(path, { width: 10 });
    expect(ram).toMatchObject({ present: 1, cells: [0.1, 0, 0, 0, 0, 0, 0, 0, 0, 0] });
    const result = await verify({ file: path, deep: true });
    expect(result).toMatchObject({ ok: true, container: "libvirt", sealState: "none" });
    expect(result.coverage.uncovered).toBe(statSync(path).size);
    expect(result.unchecked.join(" ")).toContain(format);
  });

  test("damaged among its packed bytes: verify says so", async () => {
    const path = image("gzip");
    const bytes = readFileSync(path);
    bytes[bytes.length - 6] = (bytes[bytes.length - 6] ?? 0) ^ 1;
    writeFileSync(path, bytes);
    const result = await verify({ file: path });
    expect(result).toMatchObject({ ok: false, sealState: "none", problems: [{ code: "file.libvirt-compressed" }] });
    expect(await failure(() => info(path))).toMatchObject({ code: "file.libvirt-compressed", details: { path } });
  });

  test("what virsh wrote is shown with nothing that moves a cursor", async () => {
    const evil = Buffer.from("<domain>\x1b[2J\u202e<name>x</name>\n</domain>\n\0");
    writeFileSync(at("raw"), Buffer.concat([headerOf({ data: evil, cookieOffset: 0 }), encode(synthetic)]));
    const found = await info(at("raw"));
    const text = infoText(found, plain, 100);
    expect(text).toContain("Domain (libvirt's XML)\n  <domain>\\x1b[2J\\u202e<name>x</name>\n  </domain>\n");
    expect(text).toMatch(/^ {2}libvirt +raw, version 2, little-endian; the guest ran/m);
    expect(text).not.toContain("Cookie");
    // And of a file that was made of it.
    await convert({ input: at("raw"), output: at("web.fram") });
    const kept = await info(at("web.fram"));
    expect(kept.libvirt).toMatchObject({ format: null, wasRunning: true, xml: found.libvirt?.xml, cookie: null });
    expect(infoText(kept, plain, 100)).toContain("converted from an image");
  });
});

const same = (text: string) => text;
const plain = { bold: same, dim: same, red: same, green: same, yellow: same, cyan: same } as Parameters<
  typeof infoText
>[1];

describe("bitmaps of a big-endian host", () => {
  test("are read when one says so, converted into the usual order, and not given to QEMU", async () => {
    writeFileSync(at("old.stream"), encode(synthetic));
    await convert({ input: at("old.stream"), output: at("a.fram") });
    const bytes = readFileSync(at("a.fram"));
    let end = 0;
    let pages: Record<string, string> = {};
    {
      await using snapshot = await openSnapshot(at("a.fram"));
      end = snapshot.streamEnd;
      pages = contents(snapshot.map);
      for (const { block, mapped } of snapshot.ramStart.blocks) {
        const place = mapped?.bitmapOffset ?? 0;
        swapBitmapWords(bytes.subarray(place, place + Math.ceil(block.pages / 64) * 8));
      }
    }
    writeFileSync(at("big"), bytes.subarray(0, end));
    expect((await info(at("big"), { bigEndian: true })).blocks).toEqual((await info(at("a.fram"))).blocks);
    await using big = await openSnapshot(at("big"), { bigEndian: true });
    expect(contents(big.map)).toEqual(pages);
    expect(big.loadable).toBeNull();
    expect((await failure(() => openSnapshot(at("big")))).code).toBe("file.byte-order");
    await using wrong = await openSnapshot(at("big"), { bigEndian: false });
    expect(contents(wrong.map)).not.toEqual(pages);
    await convert({ input: at("big"), output: at("b.fram"), bigEndian: true });
    await using usual = await openSnapshot(at("b.fram"));
    expect(contents(usual.map)).toEqual(pages);
    expect(usual.loadable).not.toBeNull();
  });
});

describe("the index of a stream", () => {
  test("is kept when one asks for it, and only then", async () => {
    writeFileSync(at("old.stream"), encode(synthetic));
    await info(at("old.stream"));
    expect(existsSync(at("old.stream.index"))).toBe(false);
    const found = await info(at("old.stream"), { keepIndex: true });
    expect(statSync(at("old.stream.index")).mode % 0o1000).toBe(0o600);
    const told: string[] = [];
    const again = await info(at("old.stream"), { onProgress: ({ phase }) => told.push(phase) });
    expect([again, told]).toEqual([found, []]);
    rmSync(at("old.stream.index"));
    await mapOf(at("old.stream"), { width: 10, keepIndex: true });
    expect(existsSync(at("old.stream.index"))).toBe(true);
  });
});
