/** Runs a vector every way the sources can read it, and says what was not as its header wants it. */
import { createHash } from "node:crypto";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { inflateSync } from "node:zlib";
import type { RamBlock } from "../../src/pages/block.ts";
import type { PageBatch } from "../../src/pages/sink.ts";
import type { Store } from "../../src/pages/store.ts";
import type { StreamEvents } from "../../src/stream/events.ts";
import type { StreamRecord } from "../../src/stream/records.ts";
import { MemoryFile, meta } from "../fixedram/sample.ts";
import { digestOf, keyOf, pagesOf } from "./contents.ts";
import type { Lib } from "./lib.ts";
import { SparseFile } from "./sparse-file.ts";
import { streamDigest } from "./spec.ts";
import type { Vector } from "./vector.ts";

export interface Outcome {
  /** `ok` or a code; `crash: ...` for anything that is no FixedramError. */
  readonly code: string;
  readonly at: number | null;
  readonly pages: string | null;
}

/** Sizes of the chunks that a stream is pushed in. */
const cuts = [Number.POSITIVE_INFINITY, 4096, ...(process.env["FIXEDRAM_LONG"] === "1" ? [7, 3] : []), 1];

/** @returns a sentence for each thing that is not as the vector's header says */
export async function complaints(lib: Lib, vector: Vector): Promise<string[]> {
  const { bytes, expect } = vector;
  if (vector.name.startsWith("index/")) return indexed(lib, vector);
  const part = (await import("./parts.ts")).parts[vector.name.slice(0, vector.name.indexOf("/"))];
  if (part !== undefined) return part(lib, vector);
  const found: string[] = [];
  const opened = await outcome(() => open(lib, vector));
  const main =
    opened.code === "file.compressed" && expect !== opened.code ? await outcome(() => pass(lib, vector)) : opened;
  same(found, "opened", main, vector);
  if (isStream(bytes) || isImage(bytes)) {
    const codeOnly = expect.startsWith("file.");
    const piped = await outcome(() => pass(lib, vector));
    // Nothing is allocated for pages that are kept in the plainest way.
    if (expect !== "file.too-large" && expect !== "stream.too-many-records")
      same(found, "read in one pass", piped, vector, codeOnly);
    const into = await outcome(async () => (await passInto(lib, vector)) ?? vector.pages ?? "");
    // What a stream may lack, a file may not.
    const lacking = ["file.empty-bitmaps", "file.ignore-shared", "stream.no-ram"].includes(into.code);
    // No memory is taken for pages that a stream only claims to have.
    const wanted = expect === "file.too-large" ? vector : { ...vector, expect: piped.code, at: piped.at };
    if (!lacking) same(found, "converted in one pass", into, wanted, codeOnly);
  }
  if (isStream(bytes)) found.push(...pushed(lib, vector, main));
  if (expect === "ok" && main.code === "ok" && opened.code === "ok") found.push(...(await reEncoded(lib, vector)));
  if (expect !== "ok" || vector.verify !== null) found.push(...(await verified(lib, vector)));
  if (opened.code === "ok" && vector.verify !== null) found.push(...(await served(lib, vector)));
  return found;
}

/** An index: taken, and the stream read with it holds its pages; or ignored. */
async function indexed(lib: Lib, { bytes, expect }: Vector): Promise<string[]> {
  const { identity, indexedStream } = await import("./defects/index.ts");
  const { code, pages } = await outcome(async () => {
    const index = lib.decodeIndex(bytes, identity, 0, undefined);
    if (index === null) return "ignored";
    const { map } = lib.legacyStream(storeOf(indexedStream.bytes), index, null);
    return digestOf(await pagesOf(map, new lib.ExtentList()));
  });
  const wanted = expect === "ignored" ? "ignored" : streamDigest(false, true);
  return code === "ok" && pages === wanted ? [] : [`index: ${code} ${pages}, not ${wanted}`];
}

/** Page by page, as a page server checks them: nothing is let through that a deep check finds. */
async function served(lib: Lib, { bytes, verify }: Vector): Promise<string[]> {
  const store = storeOf(bytes);
  const { code } = await outcome(async () => {
    const seal = await lib.readSealAlone(store);
    const check = await lib.PageCheck.open(store, seal);
    const { map } = await lib.openFixedRam(store, { allowEmpty: true, base: seal?.streamBase ?? 0 });
    const pages = await pagesOf(map, new lib.ExtentList());
    for (const block of map.blocks)
      for (let page = 0; page < block.pages; page++) {
        const content = pages.get(keyOf(block.name, page));
        if (content !== undefined) check.check(block, page, content);
      }
    return "";
  });
  if (code.startsWith("crash")) return [`served: ${code}`];
  // Headers, device state and what no page needs are looked at before by the quick check.
  const known = verify?.includes("seal.damaged-region") === true;
  const bad =
    !known && verify?.some((line) => /^seal\.(damaged-(page|table|node|bitmap)|bad-digests )/.test(line)) === true;
  if (verify?.join() === "sealed" && code === "ok") return [];
  if (bad && code === "ok") return ["served: pages that a deep check finds damaged"];
  return verify?.[0] === "sealed" && code !== "ok" && code !== "seal.no-digests" ? [`served: ${code}`] : [];
}

function same(found: string[], how: string, result: Outcome, { expect, at, pages }: Vector, codeOnly = false): void {
  if (result.code !== expect) found.push(`${how}: ${result.code} at ${result.at}, not ${expect}`);
  else if (!codeOnly && expect !== "ok" && result.at !== at)
    found.push(`${how}: ${result.code} at ${result.at}, not at ${at}`);
  else if (expect === "ok" && pages !== null && result.pages !== pages) found.push(`${how}: other pages`);
}

const isStream = (bytes: Uint8Array) =>
  bytes.length >= 4 && bytes[0] === 0x51 && bytes[1] === 0x45 && bytes[2] === 0x56 && bytes[3] === 0x4d;

const isImage = (bytes: Uint8Array) => Buffer.from(bytes.subarray(0, 16)).toString("latin1") === "LibvirtQemudSave";

export async function outcome(work: () => Promise<string> | string): Promise<Outcome> {
  try {
    return { code: "ok", at: null, pages: await work() };
  } catch (error) {
    return outcomeOf(error);
  }
}

export function outcomeOf(error: unknown): Outcome {
  const { name, code, details } = error as { name?: string; code?: string; details?: { offset?: number } };
  if (name !== "FixedramError" || code === undefined) return { code: `crash: ${error}`, at: null, pages: null };
  return { code, at: details?.offset ?? null, pages: null };
}

export function storeOf(bytes: Uint8Array): Store {
  const readSync = (target: Uint8Array, position: number): number => {
    if (position < 0) throw new RangeError(`a read at byte ${position}`);
    const part = bytes.subarray(position, position + target.length);
    target.set(part);
    return part.length;
  };
  return {
    name: "vector",
    size: bytes.length,
    readSync,
    read: async (target, position) => readSync(target, position),
    close: async () => {},
  };
}

async function open(lib: Lib, { bytes, options }: Vector): Promise<string> {
  const snapshot = await lib.openSnapshot(storeOf(bytes), options);
  try {
    // What info shows of it.
    lib.savedRunState(snapshot.devices);
    lib.uuidOf(snapshot.configuration);
    if (isImage(bytes)) lib.libvirtName((await lib.readLibvirtHeader(storeOf(bytes))).xml);
    return digestOf(await pagesOf(snapshot.map, new lib.ExtentList(7)));
  } finally {
    await snapshot.close();
  }
}

/** As convert reads what passes once. */
async function pass(lib: Lib, { bytes, options }: Vector): Promise<string> {
  const input = await lib.openInput(storeOf(bytes), { random: false, force: true, threads: false, ...options });
  try {
    if (input.snapshot !== null) return digestOf(await pagesOf(input.snapshot.map, new lib.ExtentList()));
    const sink = new PlainSink(lib);
    await input.pass(sink, { buffer: new Uint8Array(2 ** 16), drained: async () => {}, onBytes: () => {} });
    if (!sink.started) throw noRam;
    return digestOf(sink.contents);
  } finally {
    await input.close();
  }
}

/** The same into a fixed-ram file, as convert does. @returns the outcome of opening that */
async function passInto(lib: Lib, { bytes, options }: Vector): Promise<string | null> {
  const input = await lib.openInput(storeOf(bytes), { random: false, force: true, threads: false, ...options });
  try {
    if (input.snapshot !== null) return null;
    const file = new MemoryFile();
    const inflate = (data: Uint8Array, most: number) => inflateSync(data, { maxOutputLength: most });
    const assembly = new lib.FixedRamAssembly((frame, start) => new lib.FixedRamWriter(file, frame, start), inflate);
    await input.pass(assembly, { buffer: new Uint8Array(2 ** 16), drained: async () => {}, onBytes: () => {} });
    assembly.end().complete(meta);
    const snapshot = await lib.openSnapshot(file, options);
    return digestOf(await pagesOf(snapshot.map, new lib.ExtentList()));
  } finally {
    await input.close();
  }
}

/** What an output says of a stream without RAM; opening it says the same. */
const noRam = { name: "FixedramError", code: "file.no-ram" };

/** Keeps pages in the plainest way. */
export class PlainSink implements StreamEvents {
  readonly contents = new Map<string, Uint8Array>();
  started = false;
  readonly #encoded: InstanceType<Lib["EncodedPages"]>;

  constructor(lib: Lib) {
    const writePage = (block: RamBlock, page: number, bytes: Uint8Array) => {
      this.contents.set(keyOf(block.name, page), bytes.slice());
    };
    const readPage = (block: RamBlock, page: number, into: Uint8Array) => {
      into.fill(0);
      into.set(this.contents.get(keyOf(block.name, page)) ?? []);
    };
    const sink = { writePage, readPage } as unknown as ConstructorParameters<Lib["EncodedPages"]>[0];
    this.#encoded = new lib.EncodedPages(sink, (data, most) => inflateSync(data, { maxOutputLength: most }));
  }

  record(record: StreamRecord): void {
    if (record.kind === "ram-start") this.started = true;
  }

  pages({ block, pages, offsets, chunk, count }: PageBatch): void {
    for (let k = 0; k < count; k++) {
      const at = offsets[k] ?? 0;
      this.contents.set(keyOf(block.name, pages[k] ?? 0), chunk.slice(at, at + block.pageSize));
    }
  }

  zeroPages(block: RamBlock, first: number, count: number): void {
    for (let page = first; page < first + count; page++) this.contents.delete(keyOf(block.name, page));
  }

  encoded(...[block, page, kind, data]: Parameters<StreamEvents["encoded"]>): void {
    this.#encoded.put(block, page, kind, data);
  }
}

/** Digest of everything a reader gives; the same however the stream was cut. */
class EventDigest implements StreamEvents {
  readonly #hash = createHash("sha1");

  record(record: StreamRecord): void {
    this.#hash.update(
      JSON.stringify(record, (_key, value) =>
        value instanceof Uint8Array ? Buffer.from(value).toString("latin1") : value,
      ),
    );
  }

  pages({ block, pages, offsets, chunk, count }: PageBatch): void {
    for (let k = 0; k < count; k++) {
      const at = offsets[k] ?? 0;
      this.#hash.update(`p${block.index}:${pages[k]}`).update(chunk.subarray(at, at + block.pageSize));
    }
  }

  zeroPages(block: RamBlock, first: number, count: number): void {
    for (let page = first; page < first + count; page++) this.#hash.update(`z${block.index}:${page}`);
  }

  encoded(...[block, page, kind, data]: Parameters<StreamEvents["encoded"]>): void {
    this.#hash.update(`${kind}${block.index}:${page}`).update(data);
  }

  digest(): string {
    return this.#hash.digest("hex");
  }
}

/** Gives a reader its bytes in chunks, going with it where a mapped-ram stream goes on. */
export function drive(
  lib: Lib,
  bytes: Uint8Array,
  events: StreamEvents,
  cut: number,
  options: Vector["options"],
): number {
  const reader = new lib.StreamReader(events, options);
  while (!reader.complete) {
    const at = reader.position;
    // A copy that is spoilt afterwards shows what was kept without copying it.
    const chunk = bytes.slice(at, at + cut);
    if (chunk.length === 0) break;
    try {
      reader.push(chunk);
    } catch (error) {
      pushAgain(reader, error);
    }
    chunk.fill(0xee);
  }
  reader.end();
  return reader.position;
}

/** After an error every push throws it again. */
function pushAgain(reader: InstanceType<Lib["StreamReader"]>, error: unknown): never {
  try {
    reader.push(Uint8Array.of(0));
  } catch (again) {
    if (again === error) throw error;
  }
  throw new Error("a reader that has failed reads on", { cause: error });
}

function pushed(lib: Lib, { bytes, options }: Vector, opened: Outcome): string[] {
  const results = cuts
    .filter((cut) => cut > 1000 || bytes.length < 2 ** 18)
    .map((cut) => {
      const events = new EventDigest();
      try {
        const end = drive(lib, bytes, events, cut, options);
        return `ok to ${end} ${events.digest()}`;
      } catch (error) {
        const { code, at } = outcomeOf(error);
        return `${code} at ${at} ${events.digest()}`;
      }
    });
  const [whole = ""] = results;
  const found = results.flatMap((result, i) =>
    result === whole ? [] : [`in chunks of ${cuts[i]}: ${result}, whole: ${whole}`],
  );
  if (whole.startsWith("crash")) found.push(whole);
  const failed = !whole.startsWith("ok");
  if (failed && !opened.code.startsWith("file.") && !whole.startsWith(`${opened.code} at ${opened.at} `))
    found.push(`pushed: ${whole}, opened: ${opened.code}`);
  return found;
}

/** Reads and writes again: the stream as it was, a fixed-ram file and a stream with the same pages. */
async function reEncoded(lib: Lib, vector: Vector): Promise<string[]> {
  const found: string[] = [];
  const { bytes, options } = vector;
  if (isStream(bytes)) {
    const written = new SparseFile();
    const writer = new lib.StreamWriter((piece, position) => written.write(piece, position));
    const end = drive(lib, bytes, writer, 4096, options);
    writer.end();
    const canonical = options["canonical"] !== 0;
    for (const [position, byte] of canonical ? written.changes(bytes) : []) {
      found.push(`written again: byte ${position} is ${byte}, not ${bytes[position]}`);
      break;
    }
    if (canonical && written.size < end) found.push(`written again: ${written.size} bytes, not ${end}`);
  }
  const snapshot = await lib.openSnapshot(storeOf(bytes), options);
  if (snapshot.configuration.subsections.some(({ payload }) => Buffer.from(payload).includes("x-ignore-shared"))) {
    const { configuration, ramStart } = snapshot;
    const { code } = await outcome(() => String(new lib.FixedRamWriter(new MemoryFile(), configuration, ramStart)));
    await snapshot.close();
    return code === "file.ignore-shared" ? found : [...found, `written without its shared memory: ${code}`];
  }
  const file = new MemoryFile();
  const assembly = new lib.FixedRamAssembly(
    (configuration, start) => new lib.FixedRamWriter(file, configuration, start),
  );
  for (const record of snapshot.records) assembly.record(record);
  await lib.copyPages(snapshot.map, assembly.writer);
  assembly.end().complete(meta);
  found.push(...(await holds(lib, "converted to fixed-ram", file, vector)));
  const pieces: Uint8Array[] = [];
  await lib.writeStream(snapshot, async (piece) => void pieces.push(piece.slice()), { zeroWanted: () => true });
  await snapshot.close();
  found.push(...(await holds(lib, "converted to a stream", storeOf(new Uint8Array(Buffer.concat(pieces))), vector)));
  return found;
}

async function holds(lib: Lib, how: string, store: Store, { pages, options }: Vector): Promise<string[]> {
  const found: string[] = [];
  const result = await outcome(async () => {
    const snapshot = await lib.openSnapshot(store, options);
    if (how.endsWith("fixed-ram") && snapshot.seal.state !== "sealed")
      found.push(`${how}: its seal is ${snapshot.seal.state}`);
    return digestOf(await pagesOf(snapshot.map, new lib.ExtentList()));
  });
  // All zero is what no file of QEMU's holds, so nothing of ours does.
  if (result.code === "file.empty-bitmaps") return [];
  if (result.code !== "ok") found.push(`${how}: ${result.code} at ${result.at}`);
  else if (pages !== null && result.pages !== pages) found.push(`${how}: other pages`);
  return found;
}

/** A deep check: what the header says; and whatever cannot be opened is never called good. */
async function verified(lib: Lib, { bytes, verify, expect }: Vector): Promise<string[]> {
  const folder = mkdtempSync(join(tmpdir(), "fixedram-vector-"));
  const file = join(folder, "vector");
  try {
    writeFileSync(file, bytes);
    const { ok, sealState, problems } = await lib.verify({ file, deep: true });
    if (verify === null) return ok ? [`verified: good, although it is ${expect}`] : [];
    const lines = [
      `${sealState}`,
      ...problems.map(({ code, block, page, pages }) =>
        [code, block, page, pages === undefined || pages === 1 ? undefined : `+${pages - 1}`]
          .filter((word) => word !== undefined)
          .join(" "),
      ),
    ];
    const said = lines.join("; ");
    return said === verify.join("; ") ? [] : [`verified: ${said}; not ${verify.join("; ")}`];
  } catch (error) {
    const { code } = outcomeOf(error);
    if (code.startsWith("crash")) return [`verified: ${code}`];
    return verify === null || verify[0] === code ? [] : [`verified: ${code}, not ${verify.join("; ")}`];
  } finally {
    rmSync(folder, { recursive: true });
  }
}
