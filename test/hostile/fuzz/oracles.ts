/** One function for each target: runs an input, and throws when a model or another way to read it disagrees. */
import { Duplex } from "node:stream";
import type { PageBatch } from "../../../src/pages/sink.ts";
import type { StreamEvents } from "../../../src/stream/events.ts";
import type { StreamRecord } from "../../../src/stream/records.ts";
import { keyOf, pagesOf } from "../contents.ts";
import { PlainSink, storeOf } from "../run.ts";
import { resealed } from "../seals.ts";
import { SparseFile } from "../sparse-file.ts";
import type { Target } from "./engine.ts";
import type { FuzzLib } from "./fuzz-lib.ts";
import { type PlainPages, plainStream } from "./plain-stream.ts";
import { covered, sealedFile } from "./sealed-file.ts";
import { structured } from "./structured.ts";

type Run = Target["run"];

/** Told by what takes pages, whose caller knows the place. */
const placedLater = ["stream.no-ram", "stream.xbzrle-data", "stream.compressed-page"];

/** The code of an error that the sources are meant to report; anything else goes on. */
export function codeOf(error: unknown): string {
  const { name, code, details } = error as { name?: string; code?: string; details?: { offset?: unknown } };
  if (name !== "FixedramError" || code === undefined) throw error;
  if (code.startsWith("stream.") && typeof details?.offset !== "number" && !placedLater.includes(code)) {
    throw new Error(`${code} tells no offset`);
  }
  return code;
}

/** A number that is the same for the same events, however they came. */
class Quick implements StreamEvents {
  value = 0;
  #add(number: number): void {
    this.value = (Math.imul(this.value, 31) + number) | 0;
  }

  record(record: StreamRecord): void {
    this.#add(record.kind.length * 256 + record.kind.charCodeAt(4));
    if ("sectionId" in record) this.#add(record.sectionId);
    if ("payload" in record) for (const byte of record.payload) this.#add(byte);
    if ("bytes" in record) for (const byte of record.bytes) this.#add(byte);
    if ("data" in record) for (const byte of record.data) this.#add(byte);
  }

  pages({ block, pages, offsets, chunk, count }: PageBatch): void {
    for (let k = 0; k < count; k++) {
      const at = offsets[k] ?? 0;
      this.#add(block.index);
      this.#add(pages[k] ?? 0);
      for (let i = at; i < at + block.pageSize; i += 61) this.#add(chunk[i] ?? 0);
    }
  }

  zeroPages(...[block, first, count]: Parameters<StreamEvents["zeroPages"]>): void {
    for (let page = first; page < first + count; page++) this.#add(block.index * 65536 + page + 7);
  }

  encoded(...[block, page, , data]: Parameters<StreamEvents["encoded"]>): void {
    this.#add(block.index * 65536 + page);
    for (const byte of data) this.#add(byte);
  }
}

const options = { pageSize: 1024 };

/** Reads a stream in chunks; where one ends and how. */
function read(lib: FuzzLib, bytes: Uint8Array, events: StreamEvents, cut: (at: number) => number): string {
  try {
    const reader = new lib.StreamReader(events, options);
    for (let turns = 0; !reader.complete; turns++) {
      if (turns > 200_000) throw new Error("it does not end");
      const at = reader.position;
      const chunk = bytes.subarray(at, at + cut(at));
      if (chunk.length === 0) break;
      reader.push(chunk);
    }
    reader.end();
    return `ok ${reader.position}`;
  } catch (error) {
    return `${codeOf(error)} ${(error as { details: { offset?: number } }).details.offset}`;
  }
}

export function streamRun(lib: FuzzLib): Run {
  return (input, random) => {
    const [whole, cut] = [new Quick(), new Quick()];
    const result = read(lib, input, whole, () => input.length);
    // Bytes one by one cost time: they are for one run in sixteen.
    const most = random.below(16) === 0 ? 1 + random.below(8) : 64 + random.below(2048);
    const again = read(lib, input, cut, () => 1 + random.below(most));
    if (result !== again || whole.value !== cut.value)
      throw new Error(`whole: ${result}, in chunks of ${most}: ${again}`);
    if (result.startsWith("ok")) return accepted(lib, input, whole.value);
  };
}

/** A stream that was taken: written again it says the same, and its pages are those of the plain model. */
function accepted(lib: FuzzLib, input: Uint8Array, value: number): void {
  const out = new SparseFile();
  const writer = new lib.StreamWriter((piece, position) => out.write(piece, position));
  let mapped = false;
  const events: StreamEvents = {
    record: (record) => {
      if (record.kind === "ram-start") mapped = record.blocks.some((entry) => entry.mapped !== null);
      // Places far away are not written in memory.
      if (!mapped) writer.record(record);
    },
    pages: (batch) => writer.pages(batch),
    zeroPages: (block, first, count) => writer.zeroPages(block, first, count),
    encoded: (block, page, kind, data) => writer.encoded(block, page, kind, data),
  };
  read(lib, input, events, () => input.length);
  if (mapped) return;
  writer.end();
  const again = new Quick();
  const result = read(lib, out.bytes(), again, () => out.size);
  if (!result.startsWith("ok") || again.value !== value) throw new Error(`written again: ${result}`);
  const sink = new PlainSink(lib);
  if (!read(lib, input, sink, () => input.length).startsWith("ok") || !sink.started) return;
  const model = plainStream(input, options.pageSize);
  if (model !== null) equal(sink.contents, model, "the plain model");
}

function equal(found: ReadonlyMap<string, Uint8Array>, model: PlainPages, what: string): void {
  if (found.size !== model.size) throw new Error(`${found.size} pages, ${what} has ${model.size}`);
  for (const [key, bytes] of found) {
    const other = model.get(key);
    if (other === undefined || Buffer.compare(bytes, other) !== 0)
      throw new Error(`page ${JSON.stringify(key)} is not that of ${what}`);
  }
}

export function mappedRun(lib: FuzzLib): Run {
  return async (input, random) => {
    const store = storeOf(input);
    let file: Awaited<ReturnType<FuzzLib["openFixedRam"]>>;
    try {
      file = await lib.openFixedRam(store, { ...options, allowEmpty: true });
    } catch (error) {
      codeOf(error);
      return;
    }
    const model: PlainPages = new Map();
    const taken: [start: number, end: number][] = file.runs.map(({ start, end }) => [start, end]);
    for (const { block, mapped } of file.ramStart.blocks) {
      if (mapped === null) throw new Error("a block without places");
      taken.push([mapped.pagesOffset, mapped.pagesOffset + block.length]);
      taken.push([mapped.bitmapOffset, mapped.bitmapOffset + Math.ceil(block.pages / 64) * 8]);
      for (let page = 0; page < block.pages; page++) {
        if (((input[mapped.bitmapOffset + Math.floor(page / 8)] ?? 0) & (1 << (page % 8))) === 0) continue;
        const at = mapped.pagesOffset + page * block.pageSize;
        if (at + block.pageSize > input.length) throw new Error("a page past the file's end");
        model.set(keyOf(block.name, page), input.slice(at, at + block.pageSize));
      }
    }
    taken.sort((a, b) => a[0] - b[0] || a[1] - b[1]);
    let end = 0;
    for (const [start, stop] of taken) {
      if (stop <= start) continue;
      if (start < end || stop > input.length)
        throw new Error(`bytes ${start} to ${stop} are used twice, or are not there`);
      end = stop;
    }
    equal(await pagesOf(file.map, new lib.ExtentList(3), 4096), model, "the bitmaps");
    if (random.below(16) === 0) streamRun(lib)(input, random);
  };
}

export const sealSeeds = (): Uint8Array[] => [
  Uint8Array.of(0, 0, 0, 1),
  Uint8Array.of(1, 0, 4, 0, 255),
  Uint8Array.of(1, 1, 0, 9, 9, 0, 2, 0, 8),
];

/** The input is a list of changes to a sealed file: a byte that says whether it is sealed anew, then place (2 bytes) and value. */
export function sealRun(lib: FuzzLib): Run {
  return async (input) => {
    const bytes = sealedFile.slice();
    let mode = 0;
    let seal = false;
    for (let i = 0; i + 3 < input.length; i += 4) {
      mode |= input[i] ?? 0;
      const at = ((input[i + 1] ?? 0) * 256 + (input[i + 2] ?? 0)) % bytes.length;
      bytes[at] = input[i + 3] ?? 0;
    }
    const changedAt = bytes.findIndex((byte, at) => byte !== sealedFile[at] && covered[at] === 1);
    if (mode % 2 === 1) {
      // Somebody makes the seal's own digests right again, if that can be done.
      try {
        resealed(bytes);
        seal = true;
      } catch {
        return;
      }
    }
    const pages = bytes.some((byte, at) => byte !== sealedFile[at] && covered[at] === 2);
    const bad = await verdict(lib, bytes);
    if (bad === null && (pages || (changedAt >= 0 && !seal)))
      throw new Error(`byte ${changedAt} was changed, and a deep check finds nothing`);
  };
}

/** What a deep check finds wrong; null: nothing. */
async function verdict(lib: FuzzLib, bytes: Uint8Array): Promise<string | null> {
  const store = storeOf(bytes);
  try {
    const seal = await lib.readSealAlone(store);
    if (seal === null) return "no seal";
    const { problems, state } = await lib.checkSealed(store, seal, { deep: true });
    return state === "sealed" && problems.count === 0 ? null : `${state} ${problems.list[0]?.code}`;
  } catch (error) {
    return codeOf(error);
  }
}

export function libvirtRun(lib: FuzzLib): Run {
  return (input) => {
    const model = plainImage(input);
    let found: string;
    try {
      const fields = lib.parseLibvirtFields(input.subarray(0, 92), input.length);
      const header = lib.parseLibvirtData(fields, input.subarray(92, 92 + fields.dataLength));
      const { xml, cookie, wasRunning, format, byteOrder, version, dataLength } = header;
      lib.libvirtName(xml);
      found = `${byteOrder} ${xml.length} ${cookie?.length ?? -1} ${header.streamBase}`;
      const cookieFits = header.cookieOffset === 0 || header.cookieOffset === xml.length + 1;
      if (cookieFits && (cookie === null || cookie.length > 0)) {
        const again = lib.encodeLibvirtHeader({ xml, cookie, wasRunning, format, byteOrder, version, dataLength });
        const parsed = lib.parseLibvirtFields(
          Uint8Array.from([...input.subarray(0, 16), ...again.subarray(16, 92)]),
          input.length,
        );
        if (parsed.dataLength !== dataLength || parsed.format !== format || parsed.cookieOffset !== header.cookieOffset)
          throw new Error("written again, it says something else");
      }
    } catch (error) {
      found = "refused";
      codeOf(error);
    }
    if (found !== model) throw new Error(`${found}, the plain model: ${model}`);
  };
}

function plainImage(bytes: Uint8Array): string {
  if (bytes.length < 92 || Buffer.from(bytes.subarray(0, 16)).toString("latin1") !== "LibvirtQemudSave")
    return "refused";
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const little = view.getUint32(16, true) <= 2;
  const [version = 0, length = 0, , format = 0, cookie = 0] = [16, 20, 24, 28, 32].map((at) =>
    view.getUint32(at, little),
  );
  if (
    version < 1 ||
    version > 2 ||
    format > 6 ||
    length < 2 ||
    length > 2 ** 24 ||
    92 + length > bytes.length ||
    cookie >= length
  )
    return "refused";
  const data = Buffer.from(bytes.subarray(92, 92 + length));
  const xml = data.subarray(0, cookie === 0 ? length : cookie).indexOf(0);
  const end = cookie === 0 ? -1 : data.subarray(cookie).indexOf(0);
  if (xml <= 0 || (cookie !== 0 && end < 0)) return "refused";
  return `${little ? "little" : "big"} ${xml} ${end} ${92 + length}`;
}

const greeting = '{"QMP":{"version":{"qemu":{"major":7,"minor":2,"micro":0},"package":""},"capabilities":["oob"]}}\n';

export const qmpSeeds = (): Uint8Array[] =>
  [
    `${greeting}{"return":{},"id":1}\n{"event":"STOP","data":{},"timestamp":{"seconds":1,"microseconds":2}}\n`,
    `${greeting}{"error":{"class":"GenericError","desc":"no"},"id":1}\r\n`,
    '{"return":{"max-bandwidth":18446744073709551615,"a":[-9223372036854775808,1.5e300,"\\"1234567890123456789"]},"id":1}\n',
  ].map((text) => new TextEncoder().encode(text));

export function qmpRun(lib: FuzzLib): Run {
  return (input, random) => {
    const split = (cut: () => number): string[] | string => {
      const lines: string[] = [];
      const splitter = new lib.LineSplitter(2048);
      try {
        for (let at = 0; at < input.length; ) {
          const size = cut();
          lines.push(...splitter.push(input.slice(at, at + size)));
          at += size;
        }
        return lines;
      } catch (error) {
        return codeOf(error);
      }
    };
    const whole = split(() => input.length);
    const pieces = split(() => 1 + random.below(64));
    if (JSON.stringify(whole) !== JSON.stringify(pieces)) throw new Error("lines depend on how they come");
    for (const line of Array.isArray(whole) ? whole : []) sameJson(lib, line);
    if (random.below(64) === 0) return converse(lib, input);
  };
}

/** JSON.parse is the model: the same but for integers that it does not hold. */
function sameJson(lib: FuzzLib, line: string): void {
  const tried = (parse: (text: string) => unknown): { readonly value: unknown } | null => {
    try {
      return { value: parse(line) };
    } catch (error) {
      if (error instanceof SyntaxError) return null;
      throw error;
    }
  };
  const [found, model] = [tried(lib.parseQmpJson), tried(JSON.parse)];
  if ((found === null) !== (model === null)) throw new Error("JSON is not JSON");
  if (found === null || model === null) return;
  const plain = (value: unknown): string =>
    JSON.stringify(value, (_key, each) => (typeof each === "bigint" ? Number(each) : each)) ?? "";
  if (plain(found.value) !== JSON.stringify(model.value)) throw new Error(`parsed: ${plain(found.value)}`);
  const again = lib.parseQmpJson(lib.formatQmpJson(found.value));
  const exact = (value: unknown): string =>
    JSON.stringify(value, (_key, each) => (typeof each === "bigint" ? `${each}n` : each)) ?? "";
  if (exact(again) !== exact(found.value)) throw new Error(`written again: ${exact(again)}`);
}

/** A whole connection with a peer that says the input: it ends, one way or the other. */
async function converse(lib: FuzzLib, input: Uint8Array): Promise<void> {
  const stream = new Duplex({ read: () => {}, write: (_chunk, _encoding, done) => done() });
  stream.push(input);
  stream.push(null);
  try {
    const client = await lib.QmpClient.attach(stream, "peer", { greetingTimeout: 1000 });
    client.close();
  } catch (error) {
    codeOf(error);
  }
}

/** The input chooses what a stream holds and what is wrong with it (structured.ts). */
export function structuredRun(lib: FuzzLib): Run {
  return (input, random) => {
    const { bytes, model } = structured(input);
    const sink = new PlainSink(lib);
    const most = 1 + random.below(3000);
    const result = read(lib, bytes, sink, () => most);
    if (model === null) {
      if (result.startsWith("ok")) return accepted(lib, bytes, quickOf(lib, bytes));
      return;
    }
    if (!result.startsWith("ok")) throw new Error(`a sound stream is refused: ${result}`);
    equal(sink.contents, model, "the model");
  };
}

function quickOf(lib: FuzzLib, bytes: Uint8Array): number {
  const quick = new Quick();
  read(lib, bytes, quick, () => bytes.length);
  return quick.value;
}
