/** Pages copied and compared by threads: the same result as one after the other, and damage is named. */
import { closeSync, openSync, readFileSync, writeFileSync, writeSync } from "node:fs";
import { describe, expect, test } from "vitest";
import type { Snapshot } from "../../src/containers/snapshot.ts";
import { FixedRamAssembly } from "../../src/fixedram/assembly.ts";
import type { Digests } from "../../src/fixedram/digest-sections.ts";
import { readDigests, readSealAlone } from "../../src/fixedram/seal.ts";
import { checkSealed } from "../../src/fixedram/verify.ts";
import { FixedRamWriter } from "../../src/fixedram/writer.ts";
import { copyInParallel } from "../../src/operations/copy/placed.ts";
import { openSnapshot } from "../../src/operations/open.ts";
import { eachJob, PageScreen } from "../../src/operations/parallel.ts";
import { RawWriter } from "../../src/raw/writer.ts";
import { FileStore } from "../../src/storage/file-store.ts";
import { TargetFile } from "../../src/storage/target-file.ts";
import { TargetFolder } from "../../src/storage/target-folder.ts";
import { WorkerPool } from "../../src/workers/pool.ts";
import { meta } from "../fixedram/sample.ts";
import { PAGE } from "../stream/helpers.ts";
import { eachFolder } from "./folder.ts";
import { contents, encode, failure, model, type Step, type Synthetic } from "./synthetic.ts";

const { at, names } = eachFolder("parallel");

/** Main RAM of 140 MiB: three jobs with 500 pages in each, neighbours and single ones; a ROM whose zero pages count. */
const ramPages = 140 * 256;
const steps: Step[] = [];
for (let i = 0; i < 1500; i++) {
  const page = i % 3 === 0 ? 200 + i : (i * 7919) % ramPages;
  steps.push({ kind: "page", block: 0, page, fill: (i % 255) + 1 });
}
const rounds: Step[][] = [
  [
    { kind: "zero", block: 0, page: 0, count: ramPages },
    ...steps,
    { kind: "page", block: 1, page: 3, fill: 7 },
    { kind: "zero", block: 1, page: 4, count: 600 },
  ],
  [
    { kind: "page", block: 0, page: 203, fill: 99 },
    { kind: "zero", block: 0, page: 206, count: 2 },
    // Stored, and yet zero.
    { kind: "page", block: 0, page: 30_000, fill: 0 },
    { kind: "page", block: 1, page: 5, fill: 0 },
    { kind: "xbzrle", block: 0, page: 209, at: 40, fill: 5 },
    { kind: "xbzrle", block: 0, page: 31_000, at: 4000, fill: 5 },
  ],
];
const synthetic: Synthetic = {
  blocks: [
    ["pc.ram", ramPages],
    ["/rom@etc/acpi/tables", 700],
  ],
  rounds,
};
const enough = { total: Number.MAX_SAFE_INTEGER, onPages: () => {} };

function writerFor(snapshot: Snapshot, file: TargetFile): FixedRamAssembly {
  const assembly = new FixedRamAssembly((configuration, start) => new FixedRamWriter(file, configuration, start));
  for (const record of snapshot.records) assembly.record(record);
  return assembly;
}

async function copy(from: string, to: string, digests: Digests | null = null, signal?: AbortSignal): Promise<void> {
  await using snapshot = await openSnapshot(from);
  const file = TargetFile.create(to);
  try {
    const assembly = writerFor(snapshot, file);
    const more = signal === undefined ? {} : { signal };
    expect(await copyInParallel(snapshot, assembly.writer, { digests, ...enough, ...more })).toBe(true);
    await assembly.end().finish(meta);
  } catch (error) {
    await file.abort();
    throw error;
  }
}

let sealed: Uint8Array | null = null;

/** Made once, copied for each test. */
async function sealedFile(): Promise<string> {
  const stream = encode(synthetic);
  writeFileSync(at("old.stream"), stream);
  if (sealed === null) {
    await copy(at("old.stream"), at("guest.fram"));
    sealed = readFileSync(at("guest.fram"));
  }
  writeFileSync(at("guest.fram"), sealed);
  return at("guest.fram");
}

async function digestsOf(path: string): Promise<Digests> {
  const store = FileStore.open(path);
  try {
    const seal = await readSealAlone(store);
    const digests = seal === null ? null : await readDigests(store, seal);
    if (digests === null) throw new Error("no digests");
    return digests;
  } finally {
    await store.close();
  }
}

/** The deep check, with threads or without. */
async function problemsOf(path: string, worth: number) {
  const store = FileStore.open(path);
  try {
    const seal = await readSealAlone(store);
    if (seal === null) throw new Error("no seal");
    await using pages = new PageScreen(store, undefined, worth);
    let read = 0;
    const onBytes = (bytes: number) => {
      read = bytes;
    };
    const { state, problems } = await checkSealed(store, seal, { deep: true, screen: pages.screen, onBytes });
    return { state, problems: problems.list, read };
  } finally {
    await store.close();
  }
}

function patch(path: string, position: number, ...bytes: number[]): void {
  const fd = openSync(path, "r+");
  writeSync(fd, Uint8Array.from(bytes), 0, bytes.length, position);
  closeSync(fd);
}

describe("copying with threads", () => {
  test("a stream's pages, unpacked ones too, into a file that is as its seal says", async () => {
    const file = await sealedFile();
    expect((await problemsOf(file, Number.POSITIVE_INFINITY)).problems).toEqual([]);
    await using snapshot = await openSnapshot(file);
    expect(contents(snapshot.map)).toEqual(model(synthetic));
    // The ROM's zero pages are there, so that QEMU puts zeros over what the machine has; main RAM's are not.
    const counts = (await digestsOf(file)).blocks.map(({ present }) => present);
    expect(counts).toEqual([Object.keys(model(synthetic)).filter((key) => key.startsWith("0:")).length, 700]);
  });

  test("a sealed file's pages, compared on the way", async () => {
    const file = await sealedFile();
    await copy(file, at("again.fram"), await digestsOf(file));
    expect((await problemsOf(at("again.fram"), Number.POSITIVE_INFINITY)).problems).toEqual([]);
    await using snapshot = await openSnapshot(at("again.fram"));
    expect(contents(snapshot.map)).toEqual(model(synthetic));
  });

  test("into raw files", async () => {
    await using snapshot = await openSnapshot(await sealedFile());
    const target = TargetFolder.create(at("raw"));
    const writer = new RawWriter(target, snapshot.configuration, snapshot.ramStart);
    expect(await copyInParallel(snapshot, writer, { digests: null, ...enough })).toBe(true);
    const { data } = writer.countPages();
    expect(data).toBe(Object.keys(model(synthetic)).length);
    await target.abort();
  });

  test("not where there is little to copy", async () => {
    await using snapshot = await openSnapshot(await sealedFile());
    const file = TargetFile.create(at("little.fram"));
    const assembly = writerFor(snapshot, file);
    expect(await copyInParallel(snapshot, assembly.writer, { digests: null, ...enough, total: 2 ** 20 })).toBe(false);
    await file.abort();
  });

  test("a page that is not as it was sealed ends it, named, and nothing stays", async () => {
    const file = await sealedFile();
    const digests = await digestsOf(file);
    const place = digests.blocks[0]?.pagesOffset ?? 0;
    patch(file, place + 209 * PAGE + 17, 1);
    const error = await failure(() => copy(file, at("again.fram"), digests));
    expect(error).toMatchObject({ code: "seal.damaged-page", details: { block: "pc.ram", page: 209, path: file } });
    expect(names()).toEqual(["guest.fram", "old.stream"]);
    // Nothing to compare with: it is copied as it is.
    await copy(file, at("again.fram"));
  });

  test.each([35_839, 203])("so does a turned bit, of page %d", async (page) => {
    const file = await sealedFile();
    const digests = await digestsOf(file);
    const place = (digests.blocks[0]?.bitmapOffset ?? 0) + Math.floor(page / 8);
    patch(file, place, (readFileSync(file)[place] ?? 0) ^ (1 << (page % 8)));
    const error = await failure(() => copy(file, at("again.fram"), digests));
    expect(error).toMatchObject({ code: "seal.damaged-bitmap", details: { block: "pc.ram", page } });
  });

  test("a signal ends it, and then no thread writes any more", async () => {
    const file = await sealedFile();
    const stop = new AbortController();
    const reason = new Error("enough");
    const copying = copy(file, at("again.fram"), null, stop.signal);
    stop.abort(reason);
    await expect(copying).rejects.toBe(reason);
    expect(names()).toEqual(["guest.fram", "old.stream"]);
  });
});

describe("the deep check with threads", () => {
  test("reads every page, and finds what the one without finds", async () => {
    const file = await sealedFile();
    const [ram, rom] = (await digestsOf(file)).blocks;
    const whole = await problemsOf(file, 0);
    expect(whole).toMatchObject({ state: "sealed", problems: [] });
    expect(whole.read).toBe(((ram?.present ?? 0) + (rom?.present ?? 0)) * PAGE);
    const damages: readonly (readonly [position: number, byte: number])[] = [
      [(ram?.pagesOffset ?? 0) + 209 * PAGE, 0xee],
      [(rom?.pagesOffset ?? 0) + 650 * PAGE + 1, 0xee],
      // A digest, bits that are set, bits that are cleared: each in a node of its own.
      [(ram?.tableOffset ?? 0) + 800 * 8 + 2, 0xee],
      [(ram?.bitmapOffset ?? 0) + ramPages / 8 - 1, 0xff],
      [(ram?.bitmapOffset ?? 0) + 1199 / 8 - 7 / 8, 0x00],
    ];
    for (const [position, byte] of damages) patch(file, position, byte);
    const alone = await problemsOf(file, Number.POSITIVE_INFINITY);
    expect(new Set(alone.problems.map(({ page }) => Math.floor((page ?? -512) / 512)))).toEqual(
      new Set([-1, 0, 1, 2, 69]),
    );
    expect((await problemsOf(file, 0)).problems).toEqual(alone.problems);
  });
});

describe("jobs", () => {
  test("after a failure none is begun, and none is under way", async () => {
    await using pool = new WorkerPool({ size: 1 });
    let made = 0;
    function* jobs() {
      for (; made < 100; made++) {
        const input = { file: { fd: -1, name: "nothing" }, pageSize: PAGE, pages: 512, pagesOffset: 0, tableOffset: 0 };
        const bits = new Uint8Array(64).fill(1);
        yield { input: { ...input, firstNode: 0, bits, expected: new Uint8Array(32) }, more: null };
      }
    }
    const error = await failure(() => eachJob(pool, "screen-pages", jobs(), () => {}));
    expect(error).toMatchObject({ code: "system.io", details: { path: "nothing" } });
    expect(made).toBeLessThan(5);
  });
});
