import { execFileSync } from "node:child_process";
import { chmodSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { delimiter, join } from "node:path";
import { gzipSync } from "node:zlib";
import { afterEach, describe, expect, test } from "vitest";
import { encodeSeal } from "../../src/fixedram/seal.ts";
import type { CompressedFormat } from "../../src/libvirt/decompress.ts";
import { openLibvirt, pumpLibvirt, readLibvirtHeader } from "../../src/libvirt/reader.ts";
import { ExtentKind, ExtentList } from "../../src/pages/extents.ts";
import type { Store } from "../../src/pages/store.ts";
import { meta } from "../fixedram/sample.ts";
import { isRunning, processesWith } from "../qemu/support/processes.ts";
import { Recorder, read } from "../stream/helpers.ts";
import { errorOf, fileOf, headerOf, mappedStream, sparseImage, stream } from "./sample.ts";

const root = join(import.meta.dirname, "../..");
const ownPath = process.env.PATH ?? "";
const withLzop = `${ownPath}${delimiter}${join(root, ".cache/libvirt/bin")}`;
const formats: readonly CompressedFormat[] = ["gzip", "bzip2", "xz", "lzop", "zstd"];
const folders: string[] = [];

afterEach(() => {
  process.env.PATH = withLzop;
  for (const folder of folders.splice(0)) rmSync(folder, { recursive: true });
});
process.env.PATH = withLzop;

function hasTool(program: string): boolean {
  try {
    execFileSync(program, ["--version"], { stdio: "ignore", env: { ...process.env, PATH: withLzop } });
    return true;
  } catch (error) {
    if ((process.env.FIXEDRAM_REQUIRE_ALL ?? "") !== "") throw error;
    return false;
  }
}
const missing = formats.filter((format) => !hasTool(format));
if (missing.length > 0) console.warn(`not tested, for the program is missing: ${missing.join(", ")}`);
const testable = formats.filter((format) => !missing.includes(format));

/** Packed by the program that libvirt runs. */
function pack(format: CompressedFormat, bytes: Uint8Array): Uint8Array {
  return execFileSync(format, ["-c"], { input: bytes, stdio: ["pipe", "pipe", "ignore"], maxBuffer: 2 ** 30 });
}

async function pumped(store: Store, signal?: AbortSignal): Promise<Recorder> {
  const recorder = new Recorder();
  const header = await readLibvirtHeader(store);
  const length = await pumpLibvirt(store, header, recorder, signal === undefined ? {} : { signal });
  expect(length).toBe(stream.length);
  return recorder;
}

const expected = read(stream).recorder.events;
const image = (format: CompressedFormat | "raw", ...bytes: Uint8Array[]) => fileOf(headerOf({ format }), ...bytes);

/** A program of this name in a folder that is all of PATH but the system's shell. */
function fakeProgram(name: string, script: string): void {
  const folder = mkdtempSync(join(tmpdir(), "fixedram-test-"));
  folders.push(folder);
  writeFileSync(join(folder, name), `#!/bin/sh\n${script}\n`);
  chmodSync(join(folder, name), 0o755);
  process.env.PATH = `${folder}${delimiter}${ownPath}`;
}

describe("sparse", () => {
  const openStreamAt = () => Promise.reject(new Error("not to be called"));

  test("is a page map with absolute places", async () => {
    const file = sparseImage(headerOf({ format: "sparse" }));
    const opened = await openLibvirt(file, { openStreamAt });
    if (opened.kind !== "sparse") throw new Error(opened.kind);
    const list = new ExtentList();
    expect(opened.file.map.extents(0, 0, 16, list)).toBe(16);
    expect([...list.kind.subarray(0, 3)]).toEqual([ExtentKind.zero, ExtentKind.data, ExtentKind.zero]);
    expect(list.offset[1]).toBe(2 ** 20 + 3 * 4096);
    expect(opened.file.streamBase).toBe(opened.header.streamBase);
    expect(opened.file.streamEnd).toBe(file.size);
  });

  test("of a big-endian host: its bitmaps are, too", async () => {
    const header = headerOf({ format: "sparse", little: false });
    const file = sparseImage(header);
    const { head } = mappedStream(header.length);
    file.patch(header.length + head.length - 8, [0, 0, 0, 0, 0, 0, 0, 1 << 3]);
    const opened = await openLibvirt(file, { openStreamAt });
    expect(opened.kind === "sparse" && opened.file.bitmaps[0]?.get(3)).toBe(true);
    expect(opened.kind === "sparse" && opened.file.bitmaps[0]?.count()).toBe(1);
  });

  test("is not for one pass", async () => {
    const file = sparseImage(headerOf({ format: "sparse" }));
    const header = await readLibvirtHeader(file);
    expect((await errorOf(() => pumpLibvirt(file, header, new Recorder()))).code).toBe("file.libvirt-format");
  });
});

describe("raw", () => {
  test("is opened by the function given, at its place", async () => {
    const file = image("raw", stream);
    const opened = await openLibvirt(file, { openStreamAt: async (store, base) => [store === file, base] as const });
    expect(opened).toMatchObject({ kind: "raw", stream: [true, headerOf().length] });
  });

  test("is read in one pass, whatever follows it", async () => {
    for (const after of [new Uint8Array(0), new Uint8Array(70_000).fill(0xaa)]) {
      expect((await pumped(image("raw", stream, after))).events).toEqual(expected);
    }
  });

  test("without vmdesc and sealed: the seal is not the stream's", async () => {
    const header = headerOf({ format: "raw" });
    const eof = Buffer.from(stream).lastIndexOf(Buffer.from([0x7e, 0, 0, 0, 5, 0]));
    const withoutVmdesc = stream.subarray(0, eof + 6);
    const streamEnd = header.length + withoutVmdesc.length;
    const seal = encodeSeal(header.length, streamEnd, meta);
    const file = fileOf(header, withoutVmdesc);
    file.write(seal.sections, seal.offset);
    file.write(seal.trailer, seal.trailerOffset);
    const recorder = new Recorder();
    expect(await pumpLibvirt(file, await readLibvirtHeader(file), recorder)).toBe(withoutVmdesc.length);
    expect(recorder.kinds().at(-2)).toBe("device-state-uncut");
  });

  test("cut: stream.cut with its place in the file", async () => {
    const error = await errorOf(() => pumped(image("raw", stream.subarray(0, 3000))));
    expect([error.code, error.details.offset]).toEqual(["stream.cut", headerOf().length + 3000]);
  });

  test("with a stream that would send the reader elsewhere", async () => {
    const { head } = mappedStream(headerOf().length);
    expect((await errorOf(() => pumped(image("raw", head)))).code).toBe("file.libvirt-format");
  });
});

describe.each(testable)("%s", (format) => {
  const packed = pack(format, stream);

  test("is a compressed image", async () => {
    const opened = await openLibvirt(image(format, packed), { openStreamAt: async () => null });
    expect(opened.kind).toBe("compressed");
  });

  test("gives the same records and pages", async () => {
    expect((await pumped(image(format, packed))).events).toEqual(expected);
  });

  test("what is packed behind the stream's end is ignored", async () => {
    const longer = pack(format, Buffer.concat([stream, Buffer.alloc(3_000_000, 1)]));
    expect((await pumped(image(format, longer))).events).toEqual(expected);
  });

  const whole = format === "gzip" || format === "zstd";
  if (whole)
    test("but not without end", async () => {
      const longer = pack(format, Buffer.concat([stream, Buffer.alloc(70 * 2 ** 20)]));
      expect((await errorOf(() => pumped(image(format, longer)))).code).toBe("file.libvirt-trailing");
    });

  test("cut anywhere: damaged", async () => {
    for (const length of [1, 20, packed.length - 1].map((at) => Math.min(at, packed.length - 1))) {
      const error = await errorOf(() => pumped(image(format, packed.subarray(0, length))));
      expect(error.code, `${length} of ${packed.length} bytes`).toBe("file.libvirt-compressed");
      expect(error.details.said).not.toBe("");
    }
  });

  test("a byte changed: damaged", async () => {
    const changed = packed.slice();
    const at = Math.floor(changed.length / 2);
    changed[at] = (changed[at] ?? 0) ^ 0x55;
    // What is unpacked until the damage is noticed may end the stream in another way.
    const error = await errorOf(() => pumped(image(format, changed)));
    expect(error.code).toMatch(/^file\.libvirt-compressed$|^stream\./);
  });

  test("not packed at all", async () => {
    expect((await errorOf(() => pumped(image(format, stream)))).code).toBe("file.libvirt-compressed");
  });

  test("what it unpacks to is no stream, or a cut one", async () => {
    const rubbish = await errorOf(() => pumped(image(format, pack(format, Buffer.alloc(1000, 0x41)))));
    expect(rubbish).toMatchObject({ code: "stream.bad-magic", details: { offset: 0 } });
    expect(rubbish.details.hint).toContain(format);
    const cut = await errorOf(() => pumped(image(format, pack(format, stream.subarray(0, 3000)))));
    expect(cut).toMatchObject({ code: "stream.cut", details: { offset: 3000 } });
  });

  test("ends when aborted, with the reason", async () => {
    const reason = new Error("enough");
    const controller = new AbortController();
    const file = image(format, packed);
    const readFile = file.read.bind(file);
    file.read = async (target, position, signal) => {
      if (position > 92) controller.abort(reason);
      return await readFile(target, position, signal);
    };
    const header = await readLibvirtHeader(image(format, packed));
    await expect(pumpLibvirt(file, header, new Recorder(), { signal: controller.signal })).rejects.toBe(reason);
  });

  test("a store that fails says so itself", async () => {
    const file = image(format, packed);
    const header = await readLibvirtHeader(file);
    const reason = new Error("EIO");
    file.read = () => Promise.reject(reason);
    await expect(pumpLibvirt(file, header, new Recorder())).rejects.toBe(reason);
  });
});

describe("the programs", () => {
  const packed = new Uint8Array(1000);

  test.each(formats.filter((format) => format !== "gzip"))(
    "%s missing: it is named, and how to get it",
    async (format) => {
      process.env.PATH = "/nonexistent";
      const error = await errorOf(() => pumped(image(format, packed)));
      expect(error.code).toBe("system.program-missing");
      expect(error.message).toContain(format);
      expect(error.details.hint).toContain("Install it");
    },
  );

  test("gzip needs none", async () => {
    process.env.PATH = "/nonexistent";
    expect((await pumped(image("gzip", gzipSync(stream)))).events).toEqual(expected);
  });

  test("one that can't be started", async () => {
    fakeProgram("zstd", "");
    chmodSync(join(folders[0] ?? "", "zstd"), 0o644);
    process.env.PATH = folders[0] ?? "";
    expect((await errorOf(() => pumped(image("zstd", packed)))).code).toBe("system.program-failed");
  });

  test("one that gives everything and then says it was wrong", async () => {
    const folder = mkdtempSync(join(tmpdir(), "fixedram-test-"));
    folders.push(folder);
    writeFileSync(join(folder, "stream"), stream);
    fakeProgram("zstd", `cat ${join(folder, "stream")}; echo 'checksum mismatch' >&2; exit 1`);
    const error = await errorOf(() => pumped(image("zstd", packed)));
    expect(error).toMatchObject({ code: "file.libvirt-compressed", details: { said: "checksum mismatch" } });
  });

  test("one that is killed", async () => {
    fakeProgram("zstd", "kill -9 $$");
    expect((await errorOf(() => pumped(image("zstd", packed)))).code).toBe("system.program-failed");
  });

  test("one that hangs is killed by an abort", async () => {
    // The shell becomes the program that waits, so that one pid is all there is.
    fakeProgram("zstd", 'echo $$ >"$(dirname "$0")/pid"; exec sleep 1000.25');
    const controller = new AbortController();
    const reason = new Error("enough");
    const file = image("zstd", packed);
    const readFile = file.read.bind(file);
    file.read = async (target, position) => {
      // Behind the header the program runs.
      if (position > 92) setTimeout(() => controller.abort(reason), 50);
      return await readFile(target, position);
    };
    const header = await readLibvirtHeader(image("zstd", packed));
    await expect(pumpLibvirt(file, header, new Recorder(), { signal: controller.signal })).rejects.toBe(reason);
    expect(processesWith("1000.25").filter(isRunning)).toEqual([]);
  });

  test("one whose stream is refused does not go on", async () => {
    fakeProgram("zstd", "echo no stream at all; exec sleep 1000.75");
    expect((await errorOf(() => pumped(image("zstd", packed)))).code).toBe("stream.bad-magic");
    expect(processesWith("1000.75").filter(isRunning)).toEqual([]);
  });
});
