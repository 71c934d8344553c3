import { createHash } from "node:crypto";
import { describe, expect, it } from "vitest";
import { FixedramError } from "../../src/errors.ts";
import { decodeMeta, encodeMeta, type SnapshotMeta } from "../../src/fixedram/meta.ts";
import { openFixedRam } from "../../src/fixedram/reader.ts";
import { encodeSeal, readSeal, readSection, type Seal } from "../../src/fixedram/seal.ts";
import { encodeTrailer, uuidBytes, uuidText } from "../../src/fixedram/trailer.ts";
import { FixedRamWriter } from "../../src/fixedram/writer.ts";
import { batch, configuration, MemoryFile, meta, ramStart, tail } from "./sample.ts";

const streamEnd = 10_000;

function sealed(extra: Parameters<typeof encodeSeal>[3] = [], record: SnapshotMeta = meta): MemoryFile {
  const file = new MemoryFile();
  file.truncate(streamEnd);
  const seal = encodeSeal(0, streamEnd, record, extra);
  file.write(seal.sections, seal.offset);
  file.write(seal.trailer, seal.trailerOffset);
  return file;
}

async function sealOf(file: MemoryFile): Promise<Seal> {
  const { seal } = await readSeal(file, 0, streamEnd);
  if (seal === null) throw new Error("no seal");
  return seal;
}

/** The state, and the code of its reason. */
async function stateOf(file: MemoryFile, base = 0, end = streamEnd): Promise<string> {
  const { state, reason } = await readSeal(file, base, end);
  return reason === null ? state : `${state} ${reason.code}`;
}

/** Makes a trailer that fits whatever the directory is now. */
function retrail(file: MemoryFile, seal: Seal, changed: Partial<Seal> = {}): void {
  const directory = new Uint8Array(seal.directoryLength);
  file.readBack(directory, seal.directoryOffset);
  const directorySha256 = new Uint8Array(createHash("sha256").update(directory).digest());
  file.write(encodeTrailer({ ...seal, directorySha256, ...changed }), file.size - 128);
}

describe("seal", () => {
  it("gives back what was recorded, unknown fields included", async () => {
    const record = { ...meta, argv: null, later: { a: [1] } };
    const file = sealed([{ type: "XTRA", critical: false, payload: Uint8Array.of(1, 2, 3) }], record);
    const seal = await sealOf(file);
    expect(seal.meta).toEqual(record);
    expect(seal.uuid).toBe(meta.uuid);
    expect(seal.sections.map(({ type, critical, offset }) => [type, critical, offset])).toEqual([
      ["META", false, 12288],
      ["XTRA", false, 16384],
    ]);
    expect(file.size).toBe(24576);
    const [, extra] = seal.sections;
    if (extra === undefined) throw new Error("no section");
    expect([...(await readSection(file, extra, 100))]).toEqual([1, 2, 3]);
    await expect(readSection(file, extra, 10)).rejects.toThrow(FixedramError);
  });

  it("has its fields where docs/format.md says", () => {
    const bytes = Buffer.from(sealed().bytes());
    const trailer = bytes.subarray(-128);
    expect(trailer.toString("latin1", 0, 8)).toBe("FRAMSEAL");
    expect([trailer.readUInt32BE(8), trailer.readUInt32BE(12)]).toEqual([1, 128]);
    expect(trailer.toString("hex", 16, 32)).toBe(meta.uuid.replaceAll("-", ""));
    const at = (offset: number) => Number(trailer.readBigUInt64BE(offset));
    expect([at(32), at(40), at(48)]).toEqual([0, streamEnd, 16384]);
    const directory = bytes.subarray(at(48), at(48) + at(56));
    const sha = (data: Uint8Array) => createHash("sha256").update(data).digest("hex");
    expect(trailer.toString("hex", 64, 96)).toBe(sha(directory));
    expect(trailer.toString("hex", 96)).toBe(sha(trailer.subarray(0, 96)));
    expect(directory.toString("latin1", 0, 8)).toBe("FRAMDIRS");
    expect([directory.readUInt32BE(16), directory.readUInt32BE(20)]).toEqual([1, 64]);
    expect(directory.toString("latin1", 24, 28)).toBe("META");
    const section = bytes.subarray(
      Number(directory.readBigUInt64BE(32)),
      Number(directory.readBigUInt64BE(32) + directory.readBigUInt64BE(40)),
    );
    expect(directory.toString("hex", 56, 88)).toBe(sha(section));
    expect(section.toString("latin1", 0, 8)).toBe("FRAMMETA");
    expect(JSON.parse(section.toString("utf8", 16))).toEqual(meta);
  });

  it("tells no seal, a half one, a stale one and a damaged one apart", async () => {
    const none = new MemoryFile();
    none.truncate(streamEnd);
    expect(await stateOf(none)).toBe("none");
    none.truncate(50);
    expect(await stateOf(none, 0, 50)).toBe("none");
    const half = sealed();
    half.truncate(half.size - 128);
    expect(await stateOf(half)).toBe("half seal.half");
    const followed = sealed();
    followed.patch(followed.size, [1]);
    expect(await stateOf(followed)).toBe("half seal.half");
    expect(await stateOf(sealed(), 0, streamEnd - 1)).toBe("stale seal.stale");
    expect(await stateOf(sealed(), 1)).toBe("stale seal.stale");
  });

  it("finds any changed byte of trailer, directory and META", async () => {
    const whole = sealed();
    const seal = await sealOf(whole);
    const places: [string, number, number, RegExp][] = [
      ["trailer", whole.size - 120, 120, /^damaged seal\.damaged-trailer$/],
      ["magic", whole.size - 128, 8, /^half seal\.half$/],
      ["directory", seal.directoryOffset, seal.directoryLength, /^damaged seal\.damaged-directory$/],
      ["META", 12288, seal.sections[0]?.length ?? 0, /^damaged seal\.damaged-section$/],
    ];
    for (const [, start, length, expected] of places) {
      for (let at = start; at < start + length; at += 1) {
        const [before = 0] = whole.bytes().subarray(at, at + 1);
        whole.patch(at, [before ^ 0x10]);
        expect(await stateOf(whole)).toMatch(expected);
        whole.patch(at, [before]);
      }
    }
    expect(await stateOf(whole)).toBe("sealed");
  });

  it("passes over unknown sections, but not critical ones", async () => {
    const section = (critical: boolean) => sealed([{ type: "NEW!", critical, payload: Uint8Array.of(1) }]);
    expect(await stateOf(section(false))).toBe("sealed");
    await expect(stateOf(section(true))).rejects.toMatchObject({ code: "seal.unknown-critical" });
  });

  it("refuses a version it does not know", async () => {
    const file = sealed();
    const trailer = Buffer.from(file.bytes().subarray(-128));
    trailer.writeUInt32BE(2, 8);
    trailer.set(createHash("sha256").update(trailer.subarray(0, 96)).digest(), 96);
    file.write(trailer, file.size - 128);
    await expect(stateOf(file)).rejects.toMatchObject({ code: "seal.unknown-version" });
  });

  it("refuses places outside the file even where every digest is right", async () => {
    const file = sealed();
    const seal = await sealOf(file);
    retrail(file, seal, { directoryOffset: file.size - 200, directoryLength: 150 });
    expect(await stateOf(file)).toBe("damaged seal.damaged-directory");
    retrail(file, seal, { directoryLength: 2 ** 40 });
    expect(await stateOf(file)).toBe("damaged seal.damaged-directory");
    const entry = seal.directoryOffset + 24;
    for (const [offset, bytes, code] of [
      [entry + 8, [0, 0, 0, 9], "seal.damaged-directory"],
      [entry + 16, [0, 0, 9], "seal.damaged-directory"],
      [entry + 8, [0x7f], "seal.number-too-large"],
    ] as const) {
      const broken = sealed();
      broken.patch(offset, bytes);
      retrail(broken, seal);
      expect(await stateOf(broken)).toBe(`damaged ${code}`);
    }
    const short = sealed();
    short.patch(seal.directoryOffset + 8, [0, 0, 0, 0, 0, 0, 0, 6]);
    retrail(short, { ...seal, directoryLength: 22 });
    expect(await stateOf(short)).toBe("damaged seal.out-of-bounds");
    const count = sealed();
    count.patch(seal.directoryOffset + 19, [2]);
    retrail(count, seal);
    expect(await stateOf(count)).toBe("damaged seal.damaged-directory");
    const renamed = sealed();
    renamed.patch(entry, [0x4e]);
    retrail(renamed, seal);
    expect(await stateOf(renamed)).toBe("damaged seal.damaged-directory");
  });

  it("refuses another snapshot's META", async () => {
    const file = sealed();
    retrail(file, await sealOf(file), { uuid: "00000000-0000-4000-8000-000000000000" });
    expect(await stateOf(file)).toBe("damaged seal.bad-meta");
  });

  it("goes with openFixedRam: a stream written over is stale, or worse, never sealed", async () => {
    const file = new MemoryFile();
    const writer = new FixedRamWriter(file, configuration(), ramStart(["a", 300]), { isMainRam: () => true });
    const [block] = writer.blocks;
    if (block === undefined) throw new Error("no block");
    writer.writePages(batch(block, [[1, 1]]));
    writer.tail(tail());
    await writer.finish(meta);
    expect((await openFixedRam(file)).seal.state).toBe("sealed");
    file.write(tail(false), writer.layout.tailOffset);
    expect((await openFixedRam(file)).seal.state).toBe("stale");
    file.write(tail(), writer.layout.tailOffset);
    expect((await openFixedRam(file)).seal.state).toBe("sealed");
    file.truncate(writer.streamEnd);
    expect((await openFixedRam(file)).seal.state).toBe("none");
  });
});

describe("META", () => {
  it("is refused when it is not what the format says", () => {
    const code = (json: unknown) => {
      try {
        decodeMeta(new TextEncoder().encode(typeof json === "string" ? json : JSON.stringify(json)));
      } catch (error) {
        if (error instanceof FixedramError) return error.code;
      }
      return "none";
    };
    expect(code(meta)).toBe("none");
    expect(code("{")).toBe("seal.bad-meta");
    expect(code([])).toBe("seal.bad-meta");
    for (const changed of [{ schema: 2 }, { uuid: "x" }, { created: "today" }, { disks: [{}] }, { cpu: 5 }]) {
      expect(code({ ...meta, ...changed })).toBe("seal.bad-meta");
    }
    expect(() => encodeMeta({ ...meta, created: "today" })).toThrow(expect.objectContaining({ code: "seal.bad-meta" }));
    expect(code("\xff")).toBe("seal.bad-meta");
  });

  it("has no more than 65536 ranges of memory", () => {
    const withRanges = (count: number) => {
      const memoryMap = Array.from({ length: count }, (_, i) => ({ start: i, length: 1, block: "a", offset: 0 }));
      return new TextEncoder().encode(JSON.stringify({ ...meta, memoryMap }));
    };
    expect(decodeMeta(withRanges(65_536)).memoryMap).toHaveLength(65_536);
    expect(() => decodeMeta(withRanges(65_537))).toThrow(
      expect.objectContaining({
        code: "seal.bad-meta",
        details: expect.objectContaining({ expected: expect.stringContaining("memoryMap: <=65536") }),
      }),
    );
  });

  it("keeps block names byte for byte", () => {
    const record = { ...meta, memoryMap: [{ start: 0, length: 1, block: '\x00\x80\xff"', offset: 0 }] };
    expect(decodeMeta(encodeMeta(record))).toEqual(record);
  });
});

describe("uuid", () => {
  it("goes to bytes and back", () => {
    expect(uuidText(uuidBytes(meta.uuid))).toBe(meta.uuid);
    expect(() => uuidBytes("0a")).toThrow(RangeError);
  });
});
