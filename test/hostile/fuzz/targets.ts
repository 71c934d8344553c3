/** What is fuzzed, and what each run is held against: a plain model, another way to read the same, a round trip. */
import { Marked } from "../marked.ts";
import { globalState, libvirtHead, mapped, stream } from "../sound.ts";
import type { Target } from "./engine.ts";
import type { FuzzLib } from "./fuzz-lib.ts";
import { libvirtRun, mappedRun, qmpRun, qmpSeeds, sealRun, sealSeeds, streamRun, structuredRun } from "./oracles.ts";

const bytes = (text: string): Uint8Array => Uint8Array.from(text, (letter) => letter.charCodeAt(0));
const hex = (text: string): Uint8Array => Uint8Array.from(Buffer.from(text.replaceAll(" ", ""), "hex"));
const word = (value: number): Uint8Array => new Marked().u64(null, value).finish().bytes;

const small = { pageSize: 1024, pageBits: 10, devices: [{ name: "timer", id: 7, payload: Uint8Array.of(1, 2, 3, 4) }] };
const block = [
  { name: "ram", pages: 9, present: { 0: 1, 1: 2, 8: 3 } },
  { name: "rom", pages: 2, present: { 1: 4 } },
];

const streamWords = [
  ...[
    "QEVM",
    "ram",
    "rom",
    "pc.ram",
    "dirty-bitmap",
    "configuration/uuid",
    "configuration/capabilities",
    "mapped-ram",
    "x-ignore-shared",
    "timer",
    '{"',
    '"}',
    '{"page_size":1024,"devices":[]}',
  ].map(bytes),
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
    "0020000000000000",
    "ffffffffffffffff",
    "001fffffffffffff",
  ].map(hex),
];

export function targets(lib: FuzzLib): Target[] {
  const streams = [
    stream({
      ...small,
      commands: true,
      dirtyBitmap: true,
      encoded: true,
      uuid: true,
      early: [{ name: "early", id: 9, payload: Uint8Array.of(1) }],
    }).bytes,
    stream(small).bytes,
    stream({ ...small, end: false }).bytes,
    stream({ ...small, vmdesc: null }).bytes,
    stream({ ...small, devices: [], capabilities: ["x-ignore-shared"], guestAddress: true }).bytes,
    stream({ ...small, devices: [{ name: "globalstate", id: 7, payload: globalState("paused") }] }).bytes,
  ];
  const files = [
    mapped({ ...small, blocks: block }).bytes,
    mapped({ ...small, blocks: block, vmdesc: null }).bytes,
    mapped({ ...small, blocks: block.slice(0, 1), capabilities: ["x-ignore-shared", "mapped-ram"], guestAddress: true })
      .bytes,
  ];
  const images = [
    libvirtHead().bytes,
    libvirtHead({ big: true }).bytes,
    libvirtHead({ cookie: false, format: 6 }).bytes,
  ];
  return [
    { name: "stream", seeds: streams, words: streamWords, most: 16384, run: streamRun(lib) },
    {
      name: "fixed-ram",
      seeds: files,
      words: [...streamWords, word(1024), word(2048), word(4096)],
      most: 32768,
      run: mappedRun(lib),
    },
    {
      name: "seal",
      seeds: sealSeeds(),
      words: [word(0), word(1), word(4096), bytes("FRAM"), bytes("META")],
      most: 512,
      run: sealRun(lib),
    },
    {
      name: "libvirt",
      seeds: images,
      words: [bytes("LibvirtQemudSave"), bytes("LibvirtQemudPart"), bytes("</name>"), hex("00000002"), hex("02000000")],
      most: 2048,
      run: libvirtRun(lib),
    },
    {
      name: "qmp",
      seeds: qmpSeeds(),
      words: [
        bytes('{"return":{}}\n'),
        bytes('"id":'),
        bytes("18446744073709551615"),
        bytes("\\u0000"),
        bytes('\\"'),
        bytes("1e999"),
        bytes("-0.0"),
      ],
      most: 4096,
      run: qmpRun(lib),
    },
    {
      name: "structured",
      seeds: [Uint8Array.from({ length: 64 }, (_, i) => (i * 37) % 256)],
      words: [Uint8Array.of(0, 0), Uint8Array.of(255)],
      most: 256,
      run: structuredRun(lib),
    },
  ];
}
