import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { Readable, Writable } from "node:stream";
import { gzipSync } from "node:zlib";
import fc from "fast-check";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { printable } from "../../src/bytes/text.ts";
import type { Snapshot } from "../../src/containers/snapshot.ts";
import { FixedramError } from "../../src/errors.ts";
import { FixedRamWriter } from "../../src/fixedram/writer.ts";
import { libvirtName } from "../../src/libvirt/name.ts";
import { type ConvertOptions, convert } from "../../src/operations/convert.ts";
import { openSnapshot } from "../../src/operations/open.ts";
import { rawFileName } from "../../src/raw/names.ts";
import { RawWriter } from "../../src/raw/writer.ts";
import { TargetFile } from "../../src/storage/target-file.ts";
import { batch, configuration, MemoryFile, meta, ramStart, tail } from "../fixedram/sample.ts";
import { headerOf, xml } from "../libvirt/sample.ts";
import { PAGE } from "../stream/helpers.ts";
import {
  contents,
  device,
  digest,
  digests,
  encode,
  failure,
  model,
  pieces,
  type Step,
  type Synthetic,
} from "./synthetic.ts";

let folder = "";
beforeEach(() => {
  folder = mkdtempSync(join(existsSync("/dev/shm") ? "/dev/shm" : tmpdir(), "fixedram-convert-"));
});
afterEach(() => rmSync(folder, { recursive: true, force: true }));
const at = (name: string): string => join(folder, name);

const blocks = [
  ["pc.ram", 40],
  ["/rom@etc/acpi/tables", 8],
] as const;
const running = Buffer.concat([Buffer.from([0, 0, 0, 100]), Buffer.from("running".padEnd(100, "\0"))]);
const plain: Synthetic = {
  blocks,
  rounds: [
    [
      // QEMU's first round speaks of every page.
      { kind: "zero", block: 0, page: 0, count: 40 },
      { kind: "page", block: 0, page: 3, fill: 1 },
      { kind: "page", block: 0, page: 4, fill: 2 },
      { kind: "page", block: 1, page: 0, fill: 3 },
      { kind: "zero", block: 1, page: 1, count: 7 },
    ],
    [
      { kind: "page", block: 0, page: 3, fill: 9 },
      { kind: "zero", block: 0, page: 4, count: 1 },
      { kind: "xbzrle", block: 0, page: 39, at: 40, fill: 7 },
    ],
  ],
  devices: [device("globalstate", running, 8), device("big", new Uint8Array(300_000).fill(5), 9)],
};

function stream(name: string, synthetic: Synthetic = plain): string {
  writeFileSync(at(name), encode(synthetic));
  return at(name);
}

/** What counts of a snapshot: its pages and everything that is no page. */
function essence({ map, devices, vmdesc, configuration: { machine } }: Snapshot) {
  const states = devices.map(({ payload, ...rest }) => ({ ...rest, payload: digest(payload) }));
  return { pages: contents(map), states, vmdesc: digest(vmdesc ?? new Uint8Array(0)), machine };
}

async function opened<T>(path: string, use: (snapshot: Snapshot) => T): Promise<T> {
  await using snapshot = await openSnapshot(path);
  return use(snapshot);
}

const essenceOf = (path: string) => opened(path, essence);

/** The pages of a folder of raw files. */
function rawPages(path: string): Record<string, string> {
  const index = JSON.parse(readFileSync(join(path, "index.json"), "utf8"));
  const pages = new Map<string, Uint8Array>();
  for (const [i, { file, length, pageSize }] of index.blocks.entries()) {
    const bytes = readFileSync(join(path, file));
    expect(bytes.length).toBe(length);
    for (let page = 0; page < length / pageSize; page++)
      pages.set(`${i}:${page}`, bytes.subarray(page * pageSize, (page + 1) * pageSize));
  }
  return digests(pages);
}

describe("every container into every other", () => {
  const step: fc.Arbitrary<Step> = fc.oneof(
    fc.record({ kind: fc.constant("page" as const), block: fc.constant(0), page: fc.nat(39), fill: fc.nat(255) }),
    fc.record({ kind: fc.constant("page" as const), block: fc.constant(1), page: fc.nat(7), fill: fc.nat(255) }),
    fc.record({ kind: fc.constant("zero" as const), block: fc.nat(1), page: fc.nat(4), count: fc.constant(3) }),
    fc.record({
      kind: fc.constant("xbzrle" as const),
      block: fc.constant(0),
      page: fc.nat(39),
      at: fc.nat(4000),
      fill: fc.nat(255),
    }),
  );
  const rounds = fc.array(fc.array(step, { maxLength: 30 }), { minLength: 1, maxLength: 3 });

  test("any pages stay what they are: stream, fixed-ram, libvirt image, stream again, fixed-ram again, raw", async () => {
    await fc.assert(
      fc.asyncProperty(rounds, fc.boolean(), async (steps, background) => {
        // A file all of whose memory is zero is refused: QEMU's broken combinations leave such ones.
        fc.pre(Object.keys(model({ rounds: steps })).length > 0);
        rmSync(at("raw"), { recursive: true, force: true });
        const first = stream("a.stream", { ...plain, rounds: steps, background });
        const to = async (input: string, name: string, more: Partial<ConvertOptions> = {}) => {
          await convert({ input, output: at(name), ...more });
          return at(name);
        };
        const expected = { ...(await essenceOf(first)), pages: model({ rounds: steps }) };
        const fram = await to(first, "b.fram");
        const image = await to(fram, "c.image", { to: "libvirt-sparse", xml });
        const again = await to(image, "d.stream", { to: "stream" });
        const last = await to(again, "e.fram");
        for (const path of [fram, image, again, last]) expect(await essenceOf(path), path).toEqual(expected);
        expect(rawPages(await to(last, "raw", { to: "raw" }))).toEqual(expected.pages);
      }),
      { numRuns: 20, interruptAfterTimeLimit: 30_000 },
    );
  }, 60_000);

  test("a fixed-ram file through a stream is the same byte for byte but for its seal", async () => {
    await convert({ input: stream("a"), output: at("b.fram") });
    await convert({ input: at("b.fram"), output: at("c"), to: "stream" });
    await convert({ input: at("c"), output: at("d.fram") });
    const ends = await Promise.all(["b.fram", "d.fram"].map((name) => opened(at(name), ({ streamEnd }) => streamEnd)));
    expect(ends[0]).toBe(ends[1]);
    const [b, d] = ["b.fram", "d.fram"].map((name) => readFileSync(at(name)).subarray(0, ends[0]));
    expect(b?.equals(d ?? Buffer.alloc(0))).toBe(true);
  });

  test("the record is kept, with how it was converted; an image's XML comes back", async () => {
    const file = TargetFile.create(at("a.fram"));
    const writer = new FixedRamWriter(file, configuration(), ramStart(...blocks));
    writer.writePages(batch(writer.blocks[0] ?? never(), [[1, 1]]));
    writer.tail(tail());
    await writer.finish(meta);
    const image = await convert({ input: at("a.fram"), output: at("b"), to: "libvirt-sparse", xml });
    expect(image).toMatchObject({ uuid: meta.uuid, to: "libvirt-sparse", path: at("b") });
    const back = await convert({ input: at("b"), output: at("c.fram") });
    expect(back.id).toMatch(/^[0-9a-f]{64}$/);
    const again = await convert({ input: at("c.fram"), output: at("d"), to: "libvirt-sparse" });
    expect(again.uuid).toBe(meta.uuid);
    const records = await Promise.all(["b", "c.fram", "d"].map((name) => opened(at(name), (each) => each.meta)));
    const [, second, third] = records;
    for (const record of records) expect(record).toMatchObject(JSON.parse(JSON.stringify(meta)));
    expect(second?.["converted"]).toMatchObject([{ from: "fixed-ram" }, { from: "libvirt (sparse)" }]);
    expect(third?.["converted"]).toHaveLength(3);
    expect(await opened(at("d"), ({ libvirt }) => Buffer.from(libvirt?.xml ?? []).toString())).toBe(
      Buffer.from(xml).toString(),
    );
  });

  test("of a stream without a record the seal tells what is known", async () => {
    await convert({ input: stream("a"), output: at("b.fram") });
    const record = await opened(at("b.fram"), (each) => each.meta);
    expect(record).toMatchObject({ machine: "pc-i440fx-7.2", runState: "running", disks: [], argv: null });
    expect(record?.created).toBe(new Date(Math.floor(statSync(at("a")).mtimeMs)).toISOString());
    await convert({ input: at("a"), output: at("image"), to: "libvirt-sparse", xml });
    expect(await opened(at("image"), ({ libvirt }) => libvirt?.wasRunning)).toBe(true);
  });
});

test("pages that are stored and yet zero become holes", async () => {
  const rounds: Step[][] = [[0, 1, 2].map((page) => ({ kind: "page", block: 1, page, fill: page === 1 ? 0 : 5 }))];
  await convert({ input: stream("a", { ...plain, rounds }), output: at("b.fram") });
  const { pages } = await convert({ input: at("b.fram"), output: at("c.fram") });
  expect(pages).toMatchObject({ data: 2 });
  expect((await essenceOf(at("c.fram"))).pages).toEqual(model({ rounds }));
});

describe("input that is read once", () => {
  test.each([[[1]], [[3, 70_000]], [[1_000_000]]])("a pipe, in pieces of %j", async (sizes) => {
    const bytes = encode({ ...plain, devices: [device("globalstate", running, 8)] });
    const result = await convert({ input: Readable.from(pieces(bytes, sizes)), output: at("out.fram") });
    expect(result.input.container).toBe("pipe");
    expect((await essenceOf(at("out.fram"))).pages).toEqual(model(plain));
  });

  test("a Web stream into a Web stream, byte for byte; what follows is told", async () => {
    const bytes = encode(plain);
    const input = new Blob([bytes, new Uint8Array(10)]).stream();
    const taken: Uint8Array[] = [];
    const output = new WritableStream<Uint8Array>({ write: (bytes) => void taken.push(bytes) });
    const result = await convert({ input, output });
    expect(Buffer.concat(taken).equals(bytes)).toBe(true);
    expect(result.notices).toMatchObject([{ code: "trailing-bytes" }]);
  });

  test("compressed and raw images of libvirt; the guest's name and state go into the record", async () => {
    const bytes = encode(plain);
    writeFileSync(at("gzip"), Buffer.concat([headerOf({ format: "gzip" }), gzipSync(bytes)]));
    writeFileSync(at("raw"), Buffer.concat([headerOf({ format: "raw", running: 0 }), bytes]));
    for (const [name, state] of [
      ["gzip", "running"],
      ["raw", "paused"],
    ] as const) {
      await convert({ input: at(name), output: at("out.fram") });
      const found = await opened(at("out.fram"), (each) => ({ ...essence(each), meta: each.meta }));
      expect(found.pages).toEqual(model(plain));
      expect(found.meta).toMatchObject({ guestName: "gäst", runState: state });
      await convert({ input: at(name), output: at("out.stream"), to: "stream" });
      expect((await essenceOf(at("out.stream"))).pages).toEqual(model(plain));
      await convert({ input: at(name), output: at("out.image"), to: "libvirt-sparse" });
      expect(await opened(at("out.image"), ({ libvirt }) => libvirt?.wasRunning)).toBe(state === "running");
    }
  });

  test("a machine without a vmdesc, from a pipe and from a file", async () => {
    const input = stream("a", { ...plain, vmdesc: "none" });
    await convert({ input, output: at("b.fram") });
    await convert({ input: Readable.from([readFileSync(input)]), output: at("c.fram") });
    for (const name of ["b.fram", "c.fram"]) expect((await essenceOf(at(name))).pages).toEqual(model(plain));
  });
});

describe("raw files", () => {
  test("are sparse, under names that are safe, with an index", async () => {
    const big: Synthetic = {
      blocks: [["../pc.ram", 4096]],
      rounds: [[{ kind: "page", block: 0, page: 4095, fill: 1 }]],
    };
    const result = await convert({ input: stream("a", big), output: `${at("out")}/`, to: "raw" });
    expect(readdirSync(at("out")).sort()).toEqual(["%2E.%2Fpc.ram.raw", "index.json"]);
    const { size, blocks: held } = statSync(join(at("out"), "%2E.%2Fpc.ram.raw"));
    expect(size).toBe(4096 * PAGE);
    expect(held * 512).toBeLessThan(2 ** 20);
    expect(result.pages).toEqual({ total: 4096, data: 1, zero: 4095 });
  });

  test("names of blocks never meet", () => {
    const long = "x".repeat(255);
    expect(rawFileName("", 4)).toBe("~4.raw");
    expect(rawFileName("~4", 1)).toBe("%7E4.raw");
    expect(rawFileName(".", 1)).toBe("%2E.raw");
    expect(rawFileName(long, 7).length).toBeLessThan(200);
    fc.assert(
      fc.property(fc.string({ unit: "binary", maxLength: 255 }), fc.string({ maxLength: 255 }), (a, b) => {
        const [one, two] = [latin(a), latin(b)];
        expect(rawFileName(one, 0)).toMatch(/^[A-Za-z0-9_%~-][A-Za-z0-9_.%~-]*\.raw$/);
        if (one !== two) expect(rawFileName(one, 0)).not.toBe(rawFileName(two, 1));
      }),
    );
  });

  test("too many blocks, and left-out memory, are refused", () => {
    const folderOf = { file: () => new MemoryFile() };
    const many = ramStart(...Array.from({ length: 513 }, (_, i): [string, number] => [`b${i}`, 1]));
    expect(codeOf(() => new RawWriter(folderOf, configuration(), many))).toBe("file.too-large");
    expect(codeOf(() => new RawWriter(folderOf, configuration("x-ignore-shared"), ramStart(["a", 1])))).toBe(
      "file.ignore-shared",
    );
  });
});

describe("refusals", () => {
  const code = async (options: ConvertOptions) => (await failure(() => convert(options))).code;

  test("by what was asked for", async () => {
    const input = stream("a");
    expect(await code({ input, output: at("b") })).toBe("usage.missing-option");
    expect(await code({ input, output: input, to: "fixed-ram" })).toBe("usage.same-file");
    expect(await code({ input, output: at("b"), to: "libvirt-sparse" })).toBe("usage.libvirt-no-xml");
    expect(await code({ input, output: folder, to: "raw" })).toBe("usage.target-exists");
    expect(await code({ input, output: folder, to: "fixed-ram" })).toBe("usage.target-is-folder");
    const out = new Writable({ write: (_c, _e, done) => done() });
    expect(await code({ input, output: out, to: "fixed-ram" })).toBe("usage.needs-file");
    expect(readdirSync(folder)).toEqual(["a"]);
  });

  test("by what comes through a pipe", async () => {
    await convert({ input: stream("a"), output: at("a.fram") });
    const piped = (bytes: Uint8Array) => code({ input: Readable.from([bytes]), output: at("out.fram") });
    expect(await piped(readFileSync(at("a.fram")))).toBe("file.mapped-ram");
    expect(await piped(headerOf())).toBe("usage.not-through-pipe");
    expect(await piped(gzipSync(encode(plain)))).toBe("file.compressed");
    expect(await piped(Buffer.from("no"))).toBe("file.unknown-format");
    expect(await code({ input: Readable.from([]), output: at("out.fram") })).toBe("file.empty");
    expect(await piped(encode(plain).subarray(0, 200_000))).toMatch(/^stream\./);
    expect(readdirSync(folder).sort()).toEqual(["a", "a.fram"]);
  });

  test("a damaged seal, unless forced", async () => {
    await convert({ input: stream("a"), output: at("a.fram") });
    const bytes = readFileSync(at("a.fram"));
    const end = await opened(at("a.fram"), ({ seal }) => (seal.state === "sealed" ? seal.seal.directoryOffset : 0));
    bytes[end + 20] = (bytes[end + 20] ?? 0) ^ 1;
    writeFileSync(at("a.fram"), bytes);
    const options = { input: at("a.fram"), output: at("b.fram") };
    expect(await code(options)).toMatch(/^seal\./);
    await convert({ ...options, force: true });
    expect((await essenceOf(at("b.fram"))).pages).toEqual(model(plain));
  });

  describe("a sealed file that was damaged since: the new seal must not say that it is right", () => {
    const damages: readonly (readonly [what: string, code: string, where: (snapshot: Snapshot) => number])[] = [
      ["a page", "seal.damaged-page", ({ ramStart }) => (ramStart.blocks[0]?.mapped?.pagesOffset ?? 0) + 3 * PAGE + 9],
      ["a bit", "seal.damaged-region", ({ ramStart }) => ramStart.blocks[0]?.mapped?.bitmapOffset ?? 0],
      ["the device state", "seal.damaged-region", ({ streamEnd }) => streamEnd - 200_000],
    ];
    test.each(damages)("%s", async (_what, expected, where) => {
      await convert({ input: stream("a"), output: at("a.fram") });
      const position = await opened(at("a.fram"), where);
      const bytes = readFileSync(at("a.fram"));
      bytes[position] = (bytes[position] ?? 0) ^ 2;
      writeFileSync(at("a.fram"), bytes);
      const input = at("a.fram");
      const xmlGiven = { xml: Buffer.from("<domain/>") };
      const out: Uint8Array[] = [];
      const output = new Writable({ write: (chunk, _encoding, done) => done(void out.push(chunk)) });
      expect(await code({ input, output: at("b.fram") })).toBe(expected);
      expect(await code({ input, output: at("b"), to: "raw" })).toBe(expected);
      expect(await code({ input, output: at("b"), to: "libvirt-sparse", ...xmlGiven })).toBe(expected);
      expect(await code({ input, output: at("b"), to: "stream" })).toBe(expected);
      expect(await code({ input, output, to: "stream" })).toBe(expected);
      expect(out).toEqual([]);
      expect(readdirSync(folder).sort()).toEqual(["a", "a.fram"]);
      const error = await failure(() => convert({ input, output: at("b.fram") }));
      if (expected === "seal.damaged-page")
        expect(error.details).toMatchObject({ block: "pc.ram", page: 3, path: input });
      expect(error.details.hint).toContain("--force");
      // Whoever takes it all the same gets a file that says so.
      await convert({ input, output: at("b.fram"), force: true });
      await opened(at("b.fram"), ({ meta: record }) =>
        expect(record?.["converted"]).toMatchObject([{ from: "stream" }, { from: "fixed-ram", unchecked: true }]),
      );
    });
  });

  test("an old file stays when it fails, and nothing half-made", async () => {
    writeFileSync(at("out.fram"), "old");
    const cut = encode(plain).subarray(0, 250_000);
    await failure(() => convert({ input: Readable.from([cut]), output: at("out.fram") }));
    await failure(() => convert({ input: Readable.from([cut]), output: at("raw"), to: "raw" }));
    expect(readdirSync(folder)).toEqual(["out.fram"]);
    expect(readFileSync(at("out.fram"), "utf8")).toBe("old");
  });

  test("a signal, while nothing comes", async () => {
    const abort = new AbortController();
    const input = new Readable({ read: () => {} });
    input.push(encode(plain).subarray(0, 5000));
    const converting = convert({
      input,
      output: at("out.fram"),
      signal: abort.signal,
      onProgress: ({ phase, bytes }) => {
        if (phase === "ram" && bytes > 0) abort.abort(new Error("enough"));
      },
    });
    await expect(converting).rejects.toThrow("enough");
    expect(readdirSync(folder)).toEqual([]);
    input.destroy();
  });

  test("a reader of the stream that has gone", async () => {
    const output = new Writable({ write: (_c, _e, done) => done(Object.assign(new Error("gone"), { code: "EPIPE" })) });
    expect(await code({ input: stream("a"), output })).toBe("system.io");
  });
});

test("a domain's name", () => {
  const name = (text: string) => libvirtName(new TextEncoder().encode(text));
  expect(name("<domain type='kvm'>\n  <name>a &lt;b&gt;</name>")).toBe("a <b>");
  expect(name("<domain><title/></domain>")).toBe(null);
  expect(name("<domain ".repeat(8000))).toBe(null);
  expect(name(`<domain><name>${"x".repeat(2000)}</name>`)).toBe(null);
});

function codeOf(action: () => unknown): string {
  try {
    action();
  } catch (error) {
    if (error instanceof FixedramError) return error.code;
    throw error;
  }
  return "none";
}

function latin(text: string): string {
  return Buffer.from(text, "utf8").toString("latin1").slice(0, 255);
}

function never(): never {
  throw new Error(printable("not there"));
}
