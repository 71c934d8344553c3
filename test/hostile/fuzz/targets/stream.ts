/** The stream parser: whole, in chunks and byte by byte; what it takes is written again, and compared with a plain model. */
import type { StreamEvents } from "../../../../src/stream/events.ts";
import { PlainSink } from "../../run.ts";
import { globalState, stream } from "../../sound.ts";
import { SparseFile } from "../../sparse-file.ts";
import type { Random, Target } from "../engine.ts";
import type { FuzzLib } from "../fuzz-lib.ts";
import { plainStream } from "./plain-stream.ts";
import { bytesOfHex, bytesOfText, equal, options, Quick, read, small } from "./shared.ts";
import { structured } from "./structured-input.ts";

export const streamWords = [
  ...[
    "QEVM",
    "ram",
    "rom",
    "pc.ram",
    "dirty-bitmap",
    "configuration/uuid",
    "configuration/capabilities",
    "configuration/target-page-bits",
    "mapped-ram",
    "x-ignore-shared",
    "timer",
    "vfio",
    "htab",
    '{"',
    '"}',
    '{"page_size":1024,"devices":[]}',
  ].map(bytesOfText),
  ...[
    "00000003",
    "7e00000002",
    "0100000002",
    "0200000002",
    "0300000002",
    "0400000007",
    "7e00000007000600000002",
    "0000000000000010",
    "0000000000000022",
    "0000000000000028",
    "0000000000000060",
    "0000000000000120",
    "0000000000000200",
    "0000000000000080",
    "0800010000",
    "08000b0000",
    "0800030010",
    "0800070004",
    "0020000000000000",
    "ffffffffffffffff",
    "001fffffffffffff",
  ].map(bytesOfHex),
];

function seeds(): Uint8Array[] {
  const early = [{ name: "early", id: 9, payload: Uint8Array.of(1) }];
  return [
    stream({ ...small, commands: true, dirtyBitmap: true, encoded: true, uuid: true, early }).bytes,
    stream(small).bytes,
    stream({ ...small, end: false }).bytes,
    stream({ ...small, vmdesc: null }).bytes,
    stream({ ...small, devices: [], capabilities: ["x-ignore-shared"], guestAddress: true }).bytes,
    stream({ ...small, devices: [{ name: "globalstate", id: 7, payload: globalState("paused") }] }).bytes,
  ];
}

export function streamTarget(lib: FuzzLib): Target {
  return {
    name: "stream",
    meant: /^stream\/(?!writer|encoded|global|return|record-budget|multifd)/,
    seeds: seeds(),
    words: streamWords,
    most: 12288,
    run: (input, random) => {
      const whole = new Quick();
      const result = read(lib, input, whole, () => input.length);
      cutAgain(lib, input, cuts(input.length, random), result, whole.value);
      if (result.startsWith("ok") && random.below(4) === 0) accepted(lib, input, whole.value);
    },
    thorough: (input) => thoroughly(lib, input),
  };
}

/** A few pieces, cut anywhere: over many runs, everywhere. */
export function cuts(length: number, random: Random): () => number {
  const most = 2 + Math.floor(length / (1 + random.below(3)));
  return () => 1 + random.below(most);
}

/** Byte by byte, and all that is done with what is taken. */
export function thoroughly(lib: FuzzLib, input: Uint8Array): void {
  const whole = new Quick();
  const result = read(lib, input, whole, () => input.length);
  cutAgain(lib, input, () => 1, result, whole.value);
  if (result.startsWith("ok")) accepted(lib, input, whole.value);
}

function cutAgain(lib: FuzzLib, input: Uint8Array, cut: () => number, result: string, value: number): void {
  const events = new Quick();
  const again = read(lib, input, events, cut);
  if (result !== again || value !== events.value) throw new Error(`whole: ${result}, in chunks: ${again}`);
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

/** The input chooses what a stream holds and what is wrong with it. */
export function structuredTarget(lib: FuzzLib): Target {
  const run: Target["run"] = (input, random) => {
    const { bytes, model } = structured(input);
    const sink = new PlainSink(lib);
    const result = read(lib, bytes, sink, cuts(bytes.length, random));
    if (model === null) {
      if (result.startsWith("ok") && random.below(4) === 0) acceptedAs(lib, bytes);
      return;
    }
    if (!result.startsWith("ok")) throw new Error(`a sound stream is refused: ${result}`);
    equal(sink.contents, model, "the model");
  };
  return {
    name: "structured",
    meant: /^stream\/(reader|ram-reader|push|device-tail|vmdesc|page-output|block-list)/,
    seeds: [Uint8Array.from({ length: 64 }, (_, i) => (i * 37) % 256)],
    words: [Uint8Array.of(0, 0), Uint8Array.of(255)],
    most: 256,
    run,
    thorough: (input) => thoroughly(lib, structured(input).bytes),
  };
}

function acceptedAs(lib: FuzzLib, bytes: Uint8Array): void {
  const quick = new Quick();
  read(lib, bytes, quick, () => bytes.length);
  accepted(lib, bytes, quick.value);
}
