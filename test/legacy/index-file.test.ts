import { createHash } from "node:crypto";
import {
  chmodSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  utimesSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { decodeIndex, encodeIndex, type StreamIdentity } from "../../src/legacy/index-file.ts";
import { legacyStream } from "../../src/legacy/reader.ts";
import { type OpenSnapshotOptions, openSnapshot } from "../../src/operations/open.ts";
import { build, bytesOf, describe_, PAGE, piece, preamble } from "../stream/helpers.ts";
import { extentsOf, open, storeOf } from "./sample.ts";

const identity: StreamIdentity = { size: 1e6, mtimeNs: "1795000000123456789", ends: new Uint8Array(32).fill(7) };
const devices = build(piece.device(9, "cpu", bytesOf(1, 2, 3)), piece.eof);
const vmdesc = piece.vmdesc(describe_(["cpu", 3]));
const pages = build(
  piece.page(3, 0x11, "ram"),
  piece.page(4, 0x22),
  piece.page(5, 3),
  piece.page(9, 4),
  piece.page(8, 5),
);
const streams: Record<string, Uint8Array> = {
  plain: build(preamble, piece.ramStart({ ram: 16, rom: 2 }), piece.part(2, pages), piece.end(2), devices, vmdesc),
  "without END": build(preamble, piece.ramStart(), piece.part(2, pages), devices, vmdesc),
  "without vmdesc": build(preamble, piece.ramStart(), piece.part(2, pages), devices),
  "with early device state, without END and vmdesc": build(
    preamble,
    piece.ramStart(),
    piece.device(5, "mem", bytesOf(1)),
    piece.device(6, "mem2", bytesOf(2)),
    piece.part(2, pages),
    devices,
  ),
  "with commands and no pages": build(
    preamble,
    piece.command(1),
    piece.ramStart(),
    piece.part(2),
    piece.command(11),
    piece.end(2),
    devices,
    vmdesc,
  ),
};

describe("an index", () => {
  it.each(Object.entries(streams))("of a stream %s says what the stream says", async (_name, bytes) => {
    const { stream } = await open(bytes);
    const back = decodeIndex(encodeIndex(stream.index, identity), identity, 0, undefined);
    if (back === null) throw new Error("not taken");
    const again = legacyStream(storeOf(bytes), back, null);
    for (const block of stream.map.blocks) {
      expect(extentsOf(again.map, block.index)).toEqual(extentsOf(stream.map, block.index));
    }
    expect(again.records).toEqual(stream.records);
    expect(again).toMatchObject({ streamBase: 0, streamEnd: bytes.length, counts: stream.counts });
    expect(again.map.blocks).toEqual(stream.map.blocks);
  });

  it("keeps runs of pages at one stride in 40 bytes", async () => {
    const records = Array.from({ length: 1000 }, (_, page) => piece.page(page, 1, page === 0 ? "ram" : undefined));
    const bytes = build(preamble, piece.ramStart({ ram: 1000 }), piece.part(2, ...records), devices, vmdesc);
    const { stream } = await open(bytes);
    expect(encodeIndex(stream.index, identity).length).toBeLessThan(1000);
  });

  it("is taken only for the file it was made of, at the same base and page size", async () => {
    const { stream } = await open(streams["plain"] ?? bytesOf());
    const bytes = encodeIndex(stream.index, identity);
    expect(decodeIndex(bytes, identity, 0, 4096)).not.toBeNull();
    expect(decodeIndex(bytes, { ...identity, size: 999_999 }, 0, undefined)).toBeNull();
    expect(decodeIndex(bytes, { ...identity, mtimeNs: "1795000000123456788" }, 0, undefined)).toBeNull();
    expect(decodeIndex(bytes, { ...identity, ends: new Uint8Array(32) }, 0, undefined)).toBeNull();
    expect(decodeIndex(bytes, identity, 92, undefined)).toBeNull();
    expect(decodeIndex(bytes, identity, 0, 8192)).toBeNull();
  });

  it("is refused with any byte changed or lost, its digest right or not, and never throws", async () => {
    const { stream } = await open(streams["plain"] ?? bytesOf());
    const bytes = encodeIndex(stream.index, identity);
    const said = JSON.stringify(extentsOf(stream.map, 0));
    for (let at = 0; at < bytes.length; at++) {
      expect(decodeIndex(bytes.subarray(0, at), identity, 0, undefined)).toBeNull();
      const changed = bytes.slice();
      changed[at] = (changed[at] ?? 0) ^ 0x81;
      expect(decodeIndex(changed, identity, 0, undefined)).toBeNull();
      const body = changed.subarray(0, -32);
      changed.set(createHash("sha256").update(body).digest(), body.length);
      // With a digest made to fit, what comes out may be wrong but stays inside the file.
      const made = decodeIndex(changed, identity, 0, undefined);
      if (made === null) continue;
      const extents = extentsOf(legacyStream(storeOf(bytes), made, null).map, 0);
      if (JSON.stringify(extents) !== said) {
        for (const extent of extents) expect((extent[4] ?? 0) + PAGE).toBeLessThanOrEqual(made.streamEnd);
      }
    }
  });
});

describe("openSnapshot and the index beside the file", () => {
  let folder = "";
  let path = "";
  beforeEach(() => {
    folder = mkdtempSync(join(tmpdir(), "fixedram-index-"));
    path = join(folder, "guest.stream");
    writeFileSync(path, streams["plain"] ?? bytesOf());
  });
  afterEach(() => rmSync(folder, { recursive: true, force: true }));

  /** Bytes that were read through to open it: none with an index. */
  async function readThrough(options: OpenSnapshotOptions): Promise<number> {
    let read = 0;
    const snapshot = await openSnapshot(path, { ...options, onRead: (bytes) => (read = bytes) });
    expect(extentsOf(snapshot.map, 0)).toHaveLength(8);
    await snapshot.close();
    return read;
  }

  it("writes it only when asked to, 0600, and uses it from then on", async () => {
    expect(await readThrough({})).toBeGreaterThan(0);
    expect(readdirSync(folder)).toEqual(["guest.stream"]);
    expect(await readThrough({ index: "keep" })).toBeGreaterThan(0);
    expect(readdirSync(folder).sort()).toEqual(["guest.stream", "guest.stream.index"]);
    expect(statSync(`${path}.index`).mode % 0o1000).toBe(0o600);
    expect(await readThrough({})).toBe(0);
    expect(await readThrough({ index: "keep" })).toBe(0);
    expect(await readThrough({ index: "ignore" })).toBeGreaterThan(0);
  });

  it("ignores one that is stale or damaged, and makes it again", async () => {
    await readThrough({ index: "keep" });
    utimesSync(path, 1, 1);
    expect(await readThrough({})).toBeGreaterThan(0);
    expect(await readThrough({ index: "keep" })).toBeGreaterThan(0);
    expect(await readThrough({})).toBe(0);
    const kept = readFileSync(`${path}.index`);
    writeFileSync(`${path}.index`, kept.fill((kept[200] ?? 0) ^ 1, 200, 201));
    expect(await readThrough({})).toBeGreaterThan(0);
    writeFileSync(`${path}.index`, "");
    expect(await readThrough({})).toBeGreaterThan(0);
    rmSync(`${path}.index`);
    // Root may write anywhere; a folder in the way is in the way of everybody.
    chmodSync(path, 0o400);
    expect(await readThrough({})).toBeGreaterThan(0);
  });
});
