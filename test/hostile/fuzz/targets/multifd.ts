/** A multifd channel, in pieces, against a plain model of docs/format.md, "multifd channels". */
import type { RamBlock } from "../../../../src/pages/block.ts";
import { Marked } from "../../marked.ts";
import type { Target } from "../engine.ts";
import type { FuzzLib } from "../fuzz-lib.ts";
import { Choices, codeOf } from "./shared.ts";

const PAGE = 4096;
const headerBytes = 320 + 8 * 128;
const magic = 0x11223344;
const blocks: readonly RamBlock[] = [
  { index: 0, name: "ram", length: 200 * PAGE, pageSize: PAGE, pages: 200 },
  { index: 1, name: "r", length: 3 * PAGE, pageSize: PAGE, pages: 3 },
];

/** The input chooses packets, and then bytes of their headers that are something else. */
function channel(choices: Choices): Uint8Array {
  const out = new Marked().u32(null, magic).u32(null, 1).bytes(null, new Uint8Array(16)).u8(null, choices.below(3));
  out.upTo(64);
  const heads: number[] = [0];
  const list = choices.below(4);
  for (let n = 0; n < list; n++) {
    heads.push(out.length);
    const at = out.length;
    const [pages, zero] = [choices.below(3), choices.below(4)];
    const block = blocks[choices.below(2)];
    out.u32(null, magic).u32(null, 1).u32(null, choices.below(2)).u32(null, 128).u32(null, pages);
    out
      .u32(null, pages * PAGE)
      .u64(null, n)
      .u32(null, zero)
      .upTo(at + 64);
    out.text(null, block?.name ?? "").upTo(at + 320);
    for (let i = 0; i < pages + zero; i++) out.u64(null, choices.below(block?.pages ?? 1) * PAGE);
    out.upTo(at + headerBytes);
    for (let i = 0; i < pages; i++) out.bytes(null, new Uint8Array(PAGE).fill(choices.byte()));
  }
  let bytes = out.finish().bytes;
  for (let times = choices.below(3); times > 0; times--) {
    const head = heads[choices.below(heads.length)] ?? 0;
    const place = choices.below(2) === 0 ? choices.below(80) : 320 + choices.below(48);
    bytes[Math.min(bytes.length - 1, head + place)] = choices.byte();
  }
  if (choices.below(4) === 1) bytes = bytes.slice(0, bytes.length - Math.min(bytes.length, choices.word()));
  return bytes;
}

/** What a channel says, a text each; its last word how it ends. */
function plainChannel(bytes: Uint8Array): string[] {
  const said: string[] = [];
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  if (bytes.length === 0) return ["end"];
  if (bytes.length < 64) return ["stream.multifd-cut"];
  if (view.getUint32(0) !== magic || view.getUint32(4) !== 1) return ["stream.multifd-greeting"];
  said.push(`channel ${bytes[24]}`);
  for (let at = 64; ; ) {
    if (at === bytes.length) return [...said, "end"];
    if (at + headerBytes > bytes.length) return [...said, "stream.multifd-cut"];
    const [flags, pages, length, zero] = [8, 16, 20, 32].map((place) => view.getUint32(at + place)) as [
      number,
      number,
      number,
      number,
    ];
    if (view.getUint32(at) !== magic || view.getUint32(at + 4) !== 1) return [...said, "stream.multifd-packet"];
    if (flags > 1) return [...said, "stream.multifd-flags"];
    if (pages + zero > 128) return [...said, "stream.multifd-packet"];
    if (flags === 0 && pages > 0 && length !== pages * PAGE) return [...said, "stream.multifd-packet"];
    if (at + headerBytes + pages * PAGE > bytes.length) return [...said, "stream.multifd-cut"];
    const [text = ""] = Buffer.from(bytes.subarray(at + 64, at + 320))
      .toString("latin1")
      .split("\0");
    const block = blocks.find(({ name }) => name === text);
    if (pages + zero > 0 && block === undefined) return [...said, "stream.unknown-block"];
    const places = Array.from({ length: pages + zero }, (_, i) => Number(view.getBigUint64(at + 320 + 8 * i)) / PAGE);
    const out = (place: number) => !Number.isInteger(place) || place >= (block?.pages ?? 0);
    if (places.slice(0, pages).some(out)) return [...said, "stream.page-out-of-block"];
    places.forEach((place, i) => {
      if (i < pages) said.push(`${text}:${place}=${bytes[at + headerBytes + i * PAGE]}`);
    });
    for (const place of places.slice(pages)) {
      // Runs are told when they end.
      if (out(place)) return [...said, "stream.page-out-of-block"];
      said.push(`${text}:${place}=zero`);
    }
    if (flags === 1) said.push("sync");
    at += headerBytes + pages * PAGE;
  }
}

export function multifdTarget(lib: FuzzLib): Target {
  const buffer = new Uint8Array(lib.MultifdReader.bufferBytes(PAGE));
  const read = (bytes: Uint8Array, cut: () => number): string[] => {
    const said: string[] = [];
    try {
      const reader = new lib.MultifdReader(buffer, blocks, {
        greeting: ({ channel: number }) => said.push(`channel ${number}`),
        pages: ({ block, count, pages, offsets, chunk }) => {
          for (let i = 0; i < count; i++) said.push(`${block.name}:${pages[i]}=${chunk[offsets[i] ?? 0]}`);
        },
        zeroPages: (block, first, count) => {
          for (let page = first; page < first + count; page++) said.push(`${block.name}:${page}=zero`);
        },
        sync: () => said.push("sync"),
      });
      for (let at = 0; at < bytes.length; ) {
        const size = cut();
        reader.push(bytes.subarray(at, at + size));
        at += size;
      }
      reader.closed();
      said.push("end");
    } catch (error) {
      said.push(codeOf(error));
    }
    return said;
  };
  const compare = (bytes: Uint8Array, cut: () => number): void => {
    const [found, model] = [read(bytes, cut), plainChannel(bytes)];
    const error = model.at(-1);
    // A run of zero pages whose last is out of its block is not told.
    const same =
      error === "stream.page-out-of-block"
        ? found.at(-1) === error && found.slice(0, -1).every((each, i) => each === model[i])
        : found.join() === model.join();
    if (!same) throw new Error(`${found.join(" ")}, the plain model: ${model.join(" ")}`);
  };
  return {
    name: "multifd",
    meant: /^stream\/multifd-(reader|packet)/,
    seeds: [
      Uint8Array.of(0, 3, 1, 2, 0, 1, 5, 6, 7, 9, 2, 1, 1, 0, 1, 2, 1, 3),
      Uint8Array.of(1, 1, 0, 3, 1, 1, 0, 1, 2),
    ],
    words: [Uint8Array.of(1, 0), Uint8Array.of(255)],
    most: 80,
    run: (input, random) => compare(channel(new Choices(input)), () => 1 + random.below(5000)),
    thorough: (input) => compare(channel(new Choices(input)), () => 1),
  };
}
