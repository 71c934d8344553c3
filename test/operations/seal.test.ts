import * as fs from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { FixedramError } from "../../src/errors.ts";
import { readSealAlone } from "../../src/fixedram/seal.ts";
import { checkSealed } from "../../src/fixedram/verify.ts";
import { FixedRamWriter } from "../../src/fixedram/writer.ts";
import { openSnapshot } from "../../src/operations/open.ts";
import { seal } from "../../src/operations/seal.ts";
import { verify } from "../../src/operations/verify.ts";
import { type FileSystemCalls, nodeCalls } from "../../src/storage/system-calls.ts";
import { TargetFile } from "../../src/storage/target-file.ts";
import { batch, configuration, MemoryFile, meta, ramStart, tail } from "../fixedram/sample.ts";
import { mapped } from "../hostile/sound.ts";
import { encode } from "./synthetic.ts";

let folder: string;
let file: string;
beforeEach(() => {
  folder = fs.mkdtempSync(join(tmpdir(), "fixedram-seal-"));
  file = join(folder, "guest.mapped");
});
afterEach(() => fs.rmSync(folder, { recursive: true, force: true }));

/** A file as QEMU leaves it: no digests, no seal. */
async function write(record: typeof meta | null = null, more = tail()): Promise<FixedRamWriter> {
  const options = { isMainRam: () => true, digests: record !== null };
  const writer = new FixedRamWriter(
    TargetFile.create(file),
    configuration(),
    ramStart(["pc.ram", 1500], ["rom", 5]),
    options,
  );
  const [ram, rom] = writer.blocks;
  if (ram === undefined || rom === undefined) throw new Error("no block");
  const pages = Array.from({ length: 600 }, (_, i): [number, number] => [i + 100, (i % 250) + 1]);
  writer.writePages(batch(ram, pages, 0));
  writer.writePages(batch(ram, [[1499, 3]]));
  writer.writePages(batch(rom, [[2, 8]]));
  writer.tail(more);
  await writer.finish(record);
  return writer;
}

interface Done {
  readonly kind: "write" | "truncate" | "sync";
  readonly position: number;
  readonly bytes: Uint8Array;
}

/** node:fs, keeping what changes the file; call number `failing` fails, and from then on all if `dead`. */
function watched(log: Done[], failing = 0, dead = false): FileSystemCalls {
  let count = 0;
  const turn = () => {
    count++;
    if (count === failing || (dead && failing > 0 && count > failing))
      throw Object.assign(new Error("made by the test"), { code: "EIO" });
  };
  return {
    ...nodeCalls,
    writeSync: (fd, bytes, offset, length, position) => {
      turn();
      log.push({ kind: "write", position, bytes: bytes.slice(offset, offset + length) });
      return nodeCalls.writeSync(fd, bytes, offset, length, position);
    },
    ftruncateSync: (fd, length) => {
      turn();
      log.push({ kind: "truncate", position: length, bytes: new Uint8Array(0) });
      nodeCalls.ftruncateSync(fd, length);
    },
    fsync: async (fd) => {
      turn();
      await nodeCalls.fsync(fd);
      log.push({ kind: "sync", position: 0, bytes: new Uint8Array(0) });
    },
  };
}

/** "none" and "half", or "sealed" when it is and deep-verifies; anything else is a failure of the test. */
async function stateOf(bytes: MemoryFile): Promise<string> {
  let found: Awaited<ReturnType<typeof readSealAlone>>;
  try {
    found = await readSealAlone(bytes);
  } catch (error) {
    if (error instanceof FixedramError) return error.code;
    throw error;
  }
  if (found === null) return "unsealed";
  const result = await checkSealed(bytes, found, { deep: true });
  return result.problems.count === 0 ? "sealed" : `damaged ${result.problems.list[0]?.code}`;
}

describe("seal", () => {
  it("appends a seal that verifies, and changes no byte of the stream", async () => {
    const writer = await write();
    const before = fs.readFileSync(file);
    expect((await verify({ file })).sealState).toBe("none");
    const result = await seal({ file });
    expect(result).toMatchObject({ pages: 602, sizes: { before: before.length, after: fs.statSync(file).size } });
    expect(fs.readFileSync(file).subarray(0, before.length).equals(before)).toBe(true);
    const deep = await verify({ file, deep: true, id: result.id });
    expect(deep).toMatchObject({ ok: true, sealState: "sealed", problems: [], uuid: result.uuid });
    expect(Object.values(deep.coverage ?? {}).reduce((sum, bytes) => sum + bytes, 0)).toBe(result.sizes.after);
    const fd = fs.openSync(file, "r+");
    fs.writeSync(fd, Uint8Array.of(77), 0, 1, (writer.layout.blocks[0]?.pagesOffset ?? 0) + 111 * 4096 + 5);
    fs.closeSync(fd);
    expect((await verify({ file, deep: true })).problems).toMatchObject([{ block: "pc.ram", page: 111, pages: 1 }]);
  });

  it("finds a stream that begins somewhere in the file, and says where in the seal", async () => {
    const { bytes } = mapped({ before: new Uint8Array(8192).fill(0x5a) });
    fs.writeFileSync(file, bytes);
    await expect(seal({ file })).rejects.toMatchObject({ code: "file.unknown-format" });
    const { id } = await seal({ file, offset: 8192 });
    expect(fs.readFileSync(file).subarray(0, bytes.length).equals(bytes)).toBe(true);
    expect(await verify({ file, deep: true, id })).toMatchObject({ ok: true, sealState: "sealed" });
    expect(await verify({ file, deep: true, id, offset: 8192 })).toMatchObject({ ok: true, sealState: "sealed" });
    const snapshot = await openSnapshot(file, { offset: 8192 });
    expect([snapshot.streamBase, snapshot.seal.state]).toEqual([8192, "sealed"]);
    await snapshot.close();
    fs.writeFileSync(file, bytes);
    await expect(seal({ file, offset: 4096 })).rejects.toMatchObject({ code: "stream.bad-magic" });
  });

  it("refuses what is sealed, half sealed, followed by something, or has no fixed places", async () => {
    await write(meta);
    await expect(seal({ file })).rejects.toMatchObject({ code: "seal.already" });
    fs.truncateSync(file, fs.statSync(file).size - 128);
    await expect(seal({ file })).rejects.toMatchObject({ code: "seal.in-the-way" });
    await write();
    fs.appendFileSync(file, "x");
    await expect(seal({ file })).rejects.toMatchObject({ code: "seal.trailing-bytes" });
    const { size } = fs.statSync(file);
    fs.truncateSync(file, size - 1);
    fs.appendFileSync(file, new Uint8Array(10_000));
    await expect(seal({ file })).rejects.toMatchObject({ code: "seal.trailing-bytes" });
    fs.truncateSync(file, size + 20);
    expect((await seal({ file })).pages).toBe(602);
    await expect(seal({ file: folder })).rejects.toMatchObject({ code: "file.not-regular" });
  });

  it("gives the file its former length back, whichever call fails", async () => {
    const log: Done[] = [];
    await write();
    await seal({ file, calls: watched(log) });
    for (let failing = 1; failing <= log.length; failing++) {
      await write();
      const before = fs.readFileSync(file);
      const error = await seal({ file, calls: watched([], failing) }).catch((thrown: unknown) => thrown);
      expect(error).toMatchObject({ code: "system.io" });
      expect(fs.readFileSync(file).equals(before)).toBe(true);
    }
  });

  it("never leaves a damaged file that verifies, whatever unsynced writes a crash loses", async () => {
    await write();
    const original = fs.readFileSync(file);
    const log: Done[] = [];
    await seal({ file, calls: watched(log) });
    expect(log.filter(({ kind }) => kind === "sync")).toHaveLength(2);
    const fresh = () => {
      const memory = new MemoryFile();
      memory.write(original, 0);
      return memory;
    };
    const states = new Map<string, number>();
    let state = 7;
    const coin = () => {
      state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
      return state >= 2 ** 31;
    };
    for (let crash = 0; crash <= log.length; crash++) {
      const lastSync = log.slice(0, crash).findLastIndex(({ kind }) => kind === "sync");
      for (let subset = 0; subset < 4; subset++) {
        const memory = fresh();
        log.slice(0, crash).forEach(({ kind, position, bytes }, i) => {
          if (kind === "write" && (i < lastSync || coin())) memory.write(bytes, position);
        });
        const found = await stateOf(memory);
        states.set(found, (states.get(found) ?? 0) + 1);
      }
    }
    expect([...states.keys()].sort()).toEqual(["sealed", "unsealed"]);
  });

  it("leaves at most half a seal where nothing can be undone", async () => {
    const log: Done[] = [];
    await write();
    await seal({ file, calls: watched(log) });
    const seen = new Set<string>();
    for (let failing = 1; failing <= log.length; failing++) {
      await write();
      await expect(seal({ file, calls: watched([], failing, true) })).rejects.toBeInstanceOf(FixedramError);
      const { sealState, ok } = await verify({ file, deep: true });
      seen.add(`${sealState} ${ok}`);
    }
    // The last call is the fsync behind the trailer: the seal is whole, only not known to be on disk.
    expect([...seen].sort()).toEqual(["half false", "none true", "sealed true"]);
  });
});

it("refuses a migration stream, whose pages have no fixed places", async () => {
  fs.writeFileSync(file, encode({ blocks: [["pc.ram", 4]], rounds: [[{ kind: "page", block: 0, page: 1, fill: 5 }]] }));
  await expect(seal({ file })).rejects.toMatchObject({ code: "seal.no-fixed-places" });
});
