/** One thread reads and hashes, another writes: the file is the same as if one did everything, and whatever fails is told. */
import { closeSync, openSync, readFileSync, writeFileSync } from "node:fs";
import fc from "fast-check";
import { afterAll, describe, expect, test } from "vitest";
import { readDigests, readSealAlone } from "../../src/fixedram/seal.ts";
import { checkSealed } from "../../src/fixedram/verify.ts";
import { FixedRamOutput } from "../../src/operations/convert/outputs.ts";
import { pumpFile } from "../../src/operations/convert/pass.ts";
import { BehindFile } from "../../src/operations/copy/behind-file.ts";
import { openSnapshot } from "../../src/operations/open.ts";
import { FileStore } from "../../src/storage/file-store.ts";
import { nodeCalls } from "../../src/storage/system-calls.ts";
import { TargetFile } from "../../src/storage/target-file.ts";
import { writeFully } from "../../src/storage/write-fully.ts";
import { WorkerPool } from "../../src/workers/pool.ts";
import { type QueueMemory, QueueReader } from "../../src/workers/write-queue.ts";
import { meta } from "../fixedram/sample.ts";
import { PAGE, Recorder, read } from "../stream/helpers.ts";
import { eachFolder } from "./folder.ts";
import { contents, encode, failure, model, type Step, type Synthetic } from "./synthetic.ts";

const { at, names } = eachFolder("behind");

const pool = new WorkerPool({ size: 1 });
afterAll(() => pool.close());

const ramPages = 140 * 256;
const steps: Step[] = [];
for (let page = 0; page < 3000; page++)
  steps.push({ kind: "page", block: 0, page: 500 + page, fill: (page % 255) + 1 });
for (let i = 0; i < 400; i++)
  steps.push({ kind: "page", block: 0, page: (i * 7919) % ramPages, fill: (i % 255) + 1 }, zero(5000 + i * 3));
const synthetic: Synthetic = {
  blocks: [
    ["pc.ram", ramPages],
    ["/rom@etc/acpi/tables", 700],
  ],
  rounds: [
    [
      { kind: "zero", block: 0, page: 0, count: ramPages },
      ...steps,
      { kind: "page", block: 1, page: 3, fill: 7 },
      { kind: "zero", block: 1, page: 4, count: 600 },
    ],
    [
      // The same pages again, at once: what was written last counts.
      ...[11, 12, 13].map((fill): Step => ({ kind: "page", block: 0, page: 503, fill })),
      { kind: "zero", block: 0, page: 506, count: 2 },
      { kind: "page", block: 0, page: 30_000, fill: 0 },
      { kind: "page", block: 1, page: 5, fill: 9 },
      { kind: "zero", block: 1, page: 5, count: 1 },
      // Unpacked over what was given just before.
      { kind: "page", block: 0, page: 510, fill: 21 },
      { kind: "xbzrle", block: 0, page: 510, at: 40, fill: 5 },
      { kind: "xbzrle", block: 0, page: 31_000, at: 4000, fill: 5 },
    ],
  ],
};
function zero(page: number): Step {
  return { kind: "zero", block: 0, page, count: 1 };
}

const nothing = { onPages: () => {}, onVerified: () => {}, total: 0 };

/** What `work` puts into an output, brought to its end as convert does it; nothing stays of one that fails. */
async function ended(
  input: string,
  output: FixedRamOutput,
  work: (store: FileStore) => Promise<unknown>,
): Promise<void> {
  const store = FileStore.open(input);
  try {
    await work(store);
    await output.settle();
    await output.finish(meta);
  } catch (error) {
    await output.abort();
    throw error;
  } finally {
    await store.close();
  }
}

async function pass(input: string, output: FixedRamOutput, signal?: AbortSignal): Promise<void> {
  const more = signal === undefined ? {} : { signal };
  await ended(input, output, (store) =>
    pumpFile(store, store.size, output.pieces ?? { piece: () => output.buffer }, output.events, more),
  );
}

async function copied(input: string, to: string, signal?: AbortSignal, threads = pool): Promise<void> {
  await using snapshot = await openSnapshot(input);
  const output = new FixedRamOutput(TargetFile.create(to), null, threads);
  await ended(input, output, async (store) => {
    const digests = snapshot.seal.seal === null ? null : await readDigests(store, snapshot.seal.seal);
    const source = { snapshot, digests, verifyPages: async () => Promise.reject(new Error("compared on the way")) };
    await output.copy(source, { ...nothing, ...(signal === undefined ? {} : { signal }) });
  });
}

async function expectWhole(path: string): Promise<void> {
  await using snapshot = await openSnapshot(path);
  expect(contents(snapshot.map)).toEqual(model(synthetic));
  const store = FileStore.open(path);
  const seal = await readSealAlone(store);
  if (seal === null) throw new Error("no seal");
  expect((await checkSealed(store, seal, { deep: true })).problems.list).toEqual([]);
  await store.close();
}

describe("a stream", () => {
  test("into a file that is, byte for byte, what one thread makes of it", async () => {
    writeFileSync(at("in"), encode(synthetic));
    await pass(at("in"), new FixedRamOutput(TargetFile.create(at("alone.fram")), null, null));
    const output = new FixedRamOutput(TargetFile.create(at("behind.fram")), null, pool);
    expect(output.pieces).toBeInstanceOf(BehindFile);
    await pass(at("in"), output);
    await expectWhole(at("behind.fram"));
    expect(Buffer.compare(readFileSync(at("behind.fram")), readFileSync(at("alone.fram")))).toBe(0);
  });

  test("that is cut: told, and nothing is left", async () => {
    const bytes = encode(synthetic);
    writeFileSync(at("in"), bytes.subarray(0, 9_000_000));
    const output = new FixedRamOutput(TargetFile.create(at("out.fram")), null, pool);
    expect(await failure(() => pass(at("in"), output))).toMatchObject({ code: "stream.cut" });
    expect(names()).toEqual(["in"]);
  });

  test("in pieces of any size gives the events of the whole", async () => {
    const small: Synthetic = {
      blocks: [["pc.ram", 64]],
      rounds: [
        [
          ...Array.from({ length: 20 }, (_, page): Step => ({ kind: "page", block: 0, page, fill: 1 + page })),
          zero(40),
        ],
      ],
    };
    const bytes = encode(small);
    const whole = read(bytes).recorder.events;
    const store = {
      name: "made up",
      readSync: (target: Uint8Array, position: number) => copyOf(bytes, target, position),
    };
    await fc.assert(
      fc.asyncProperty(fc.array(fc.integer({ min: 1, max: 20_000 }), { minLength: 1 }), async (sizes) => {
        const events = new Recorder();
        let n = 0;
        const piece = () => new Uint8Array(sizes[n++ % sizes.length] ?? 1);
        const end = await pumpFile(store, bytes.length, { piece }, events, {});
        expect(end).toBe(bytes.length);
        expect(events.events).toEqual(whole);
      }),
      { numRuns: 30 },
    );
  });
});

function copyOf(bytes: Uint8Array, target: Uint8Array, position: number): number {
  const part = bytes.subarray(position, position + target.length);
  target.set(part);
  return part.length;
}

describe("a sealed file", () => {
  async function sealed(): Promise<string> {
    writeFileSync(at("in"), encode(synthetic));
    await pass(at("in"), new FixedRamOutput(TargetFile.create(at("a.fram")), null, null));
    return at("a.fram");
  }

  test("page by page, compared on the way; a page that was damaged since is named", async () => {
    const file = await sealed();
    await copied(file, at("b.fram"));
    await expectWhole(at("b.fram"));
    const place = await openSnapshot(file).then(async (snapshot) => {
      await snapshot.close();
      return snapshot.ramStart.blocks[0]?.mapped?.pagesOffset ?? 0;
    });
    const bytes = readFileSync(file);
    bytes[place + 600 * PAGE + 9] = (bytes[place + 600 * PAGE + 9] ?? 0) ^ 1;
    writeFileSync(file, bytes);
    const error = await failure(() => copied(file, at("c.fram")));
    expect(error).toMatchObject({ code: "seal.damaged-page", details: { block: "pc.ram", page: 600, path: file } });
    expect(names()).toEqual(["a.fram", "b.fram", "in"]);
  });

  test("a signal ends it, and then nobody writes any more", async () => {
    const file = await sealed();
    const stop = new AbortController();
    const reason = new Error("enough");
    const copying = copied(file, at("b.fram"), stop.signal);
    setImmediate(() => stop.abort(reason));
    await expect(copying).rejects.toBe(reason);
    expect(names()).toEqual(["a.fram", "in"]);
    // The thread is free for the next.
    await copied(file, at("b.fram"));
    await expectWhole(at("b.fram"));
  });
});

describe("a disk that does not answer", () => {
  /** In place of a thread: begins, and never writes anything. */
  const hung = {
    run: (_task: string, { queue }: { readonly queue: QueueMemory }) => {
      const reader = new QueueReader(queue);
      reader.begin();
      return new Promise<void>((resolve) => {
        const look = setInterval(() => {
          if (new Int32Array(queue.words)[2] !== 2) return;
          clearInterval(look);
          resolve();
        }, 5);
      });
    },
  } as unknown as WorkerPool;
  const reason = new Error("enough");

  test("keeps no signal waiting while a snapshot is copied, and nothing stays", async () => {
    writeFileSync(at("in"), encode(synthetic));
    const stop = new AbortController();
    setTimeout(() => stop.abort(reason), 50);
    await expect(copied(at("in"), at("b.fram"), stop.signal, hung)).rejects.toBe(reason);
    expect(names()).toEqual(["in"]);
  });

  test("nor while a stream goes through", async () => {
    writeFileSync(at("in"), encode(synthetic));
    const stop = new AbortController();
    setTimeout(() => stop.abort(reason), 50);
    const output = new FixedRamOutput(TargetFile.create(at("b.fram")), null, hung);
    await expect(pass(at("in"), output, stop.signal)).rejects.toBe(reason);
    expect(names()).toEqual(["in"]);
  });
});

describe("the file that is written behind", () => {
  type Action =
    | { kind: "piece"; count: number; size: number; gap: number; position: number; fill: number }
    | { kind: "copy" | "large"; length: number; position: number; fill: number }
    | { kind: "read"; position: number };
  const position = fc.nat(300_000);
  const fill = fc.integer({ min: 1, max: 255 });
  const action: fc.Arbitrary<Action> = fc.oneof(
    fc.record({
      kind: fc.constant("piece" as const),
      count: fc.integer({ min: 1, max: 40 }),
      size: fc.constantFrom(512, 4096),
      gap: fc.constantFrom(0, 8, 9),
      position,
      fill,
    }),
    fc.record({ kind: fc.constant("copy" as const), length: fc.integer({ min: 1, max: 60_000 }), position, fill }),
    fc.record({ kind: fc.constant("large" as const), length: fc.constant(70_000), position, fill }),
    fc.record({ kind: fc.constant("read" as const), position }),
  );

  test("holds what a plain one would, whatever order things come in", async () => {
    await fc.assert(
      fc.asyncProperty(fc.array(action, { maxLength: 60 }), async (actions) => {
        const target = TargetFile.create(at("out"));
        const file = BehindFile.over(target, pool);
        if (file === null) throw new Error("no thread");
        const plain = new Uint8Array(600_000);
        for (const each of actions) {
          if (each.kind === "read") {
            const found = new Uint8Array(5000);
            file.readBack(found, each.position);
            expect(Buffer.compare(found, plain.subarray(each.position, each.position + 5000))).toBe(0);
          } else if (each.kind === "piece") {
            const { count, size, gap, fill } = each;
            const piece = file.piece();
            piece.fill(fill, 0, count * (size + gap));
            for (let i = 0; i < count; i++) piece[i * (size + gap)] = i;
            file.writeStrided(piece, 0, count, size, size + gap, each.position);
            for (let i = 0; i < count; i++) {
              plain.fill(fill, each.position + i * size, each.position + (i + 1) * size);
              plain[each.position + i * size] = i;
            }
          } else {
            file.write(new Uint8Array(each.length).fill(each.fill), each.position);
            plain.fill(each.fill, each.position, each.position + each.length);
          }
        }
        await file.settle();
        file.truncate(plain.length);
        expect(Buffer.compare(readFileSync(target.partial), plain)).toBe(0);
        await file.abort();
      }),
      { numRuns: 25 },
    );
  });

  test.each(["put", "settle"])("a write that fails is told by %s, and as what it was", async (when) => {
    writeFileSync(at("out"), "");
    const fd = openSync(at("out"), "r");
    const path = at("out");
    // While the thread starts, writes go to the file directly.
    const write = (bytes: Uint8Array, position: number) => writeFully({ calls: nodeCalls, fd, path }, bytes, position);
    const target = { shared: { fd, name: path }, write, wrote: () => {}, abort: async () => {} };
    const file = BehindFile.over(target as unknown as TargetFile, pool);
    if (file === null) throw new Error("no thread");
    const error = await failure(async () => {
      file.write(new Uint8Array(10), 7);
      if (when === "put") file.readBack(new Uint8Array(1), 0);
      await file.settle();
    });
    expect(error).toMatchObject({ code: "system.io", details: { path: at("out") } });
    expect(error.message).toContain("byte 7");
    await file.abort();
    closeSync(fd);
  });
});
