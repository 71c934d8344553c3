/** docs/format.md, "Index of a stream": an index that is not right, or of another file, is ignored. */
import { createHash } from "node:crypto";
import { encodeIndex } from "../../../src/legacy/index-file.ts";
import { openLegacy } from "../../../src/legacy/reader.ts";
import { type Field, Sound } from "../marked.ts";
import { storeOf } from "../run.ts";
import { stream } from "../sound.ts";
import type { Spec, Value } from "../spec.ts";

const clause = "Index of a stream";

/** The stream that the indexes of these vectors belong to. */
export const indexedStream: Sound = stream();

export const identity = {
  size: indexedStream.bytes.length,
  mtimeNs: "1767225600123456789",
  ends: createHash("sha256").update(indexedStream.bytes).update(indexedStream.bytes).digest(),
};

async function sound(): Promise<Sound> {
  const opened = await openLegacy(storeOf(indexedStream.bytes), {
    scratch: () => {
      throw new Error("no page is packed");
    },
  });
  const bytes = encodeIndex(opened.index, identity);
  const fields = new Map<string, Field>();
  const view = new DataView(bytes.buffer, bytes.byteOffset);
  const number = (at: number) => Number(view.getBigUint64(at));
  let at = 0;
  for (const [name, size] of [
    ["magic", 8],
    ["version", 4],
    ["head", 4],
    ["size", 8],
    ["mtime", 8],
    ["ends", 32],
    ["base", 8],
    ["end", 8],
    ["pageSize", 4],
    ["blocks", 4],
    ["records", 8],
    ["runs", 8],
    ["data", 8],
    ["zero", 8],
    ["rounds", 8],
    ["unused", 16],
  ] as const) {
    fields.set(name, { offset: at, size });
    at += size;
  }
  const blocks = view.getUint32(84);
  const records = at + 4 * blocks;
  fields.set("mentioned", { offset: at, size: 4 });
  fields.set("stream", { offset: records, size: number(88) });
  for (let i = 0; i < number(96); i++) {
    let run = records + number(88) + 40 * i;
    for (const [name, size] of [
      ["block", 4],
      ["zero", 4],
      ["first", 8],
      ["pages", 8],
      ["offset", 8],
      ["stride", 8],
    ] as const) {
      fields.set(`run${i}.${name}`, { offset: run, size });
      run += size;
    }
  }
  fields.set("sha", { offset: bytes.length - 32, size: 32 });
  return new Sound(bytes, fields);
}

/** Its own digest made anew. */
function summed(bytes: Uint8Array): Uint8Array {
  const body = bytes.subarray(0, bytes.length - 32);
  bytes.set(createHash("sha256").update(body).digest(), body.length);
  return bytes;
}

export async function indexDefects(): Promise<Spec[]> {
  const file = await sound();
  const { size, bytes } = { size: file.bytes.length, bytes: file.bytes };
  const at = (name: string): number => Number(new DataView(bytes.buffer, bytes.byteOffset).getBigUint64(file.at(name)));
  const rows: readonly (readonly [name: string, what: string, field: string, value: Value])[] = [
    ["magic", "another magic", "magic", "FRAMINDY"],
    ["version", "version 2", "version", 2],
    ["head", "a head of 128 bytes", "head", 128],
    ["size", "a file that is a byte longer", "size", identity.size + 1],
    ["mtime", "a file of another time", "mtime", 1],
    ["ends", "a file that begins or ends otherwise", "ends", new Uint8Array(32)],
    ["base", "a stream that begins at byte 1", "base", 1],
    ["end", "a stream that ends behind the file", "end", identity.size + 1],
    ["end-max", "a stream that ends at 2^64 - 1", "end", 2n ** 64n - 1n],
    ["page-size", "pages of 8192 bytes", "pageSize", 8192],
    ["page-size-0", "pages of 0 bytes", "pageSize", 0],
    ["blocks", "a block less", "blocks", 1],
    ["blocks-max", "2^32 - 1 blocks", "blocks", 0xffffffff],
    ["records", "shorter records", "records", at("records") - 1],
    ["records-max", "records of 2^53 - 1 bytes", "records", 2 ** 53 - 1],
    ["runs", "a run less", "runs", at("runs") - 1],
    ["runs-max", "2^53 - 1 runs", "runs", 2 ** 53 - 1],
    ["stream", "records that are no stream", "stream", "QEVN"],
    ["run-block", "a run of a block that does not exist", "run0.block", 2],
    ["run-first", "a run behind the block's end", "run0.first", 16],
    ["run-first-2-53", "a run at page 2^53", "run0.first", 2n ** 53n],
    ["run-0", "a run of no page", "run0.pages", 0],
    ["run-long", "a run that ends behind the block", "run0.pages", 17],
    ["run-far", "a run of 2^52 pages", "run0.pages", 2 ** 52],
    ["run-offset-0", "pages where the stream begins", "run0.offset", 0],
    ["run-offset-end", "pages that end behind the stream", "run0.offset", identity.size - 4095],
    ["run-offset-max", "pages at 2^53 - 1", "run0.offset", 2 ** 53 - 1],
  ];
  /** Everything agrees but the records. */
  const oneBlock = (): Uint8Array => {
    const cut = file.with("blocks", 1).bytes;
    const second = file.at("mentioned") + 4;
    return Uint8Array.from([...cut.subarray(0, second), ...cut.subarray(second + 4)]);
  };
  const noRam = (): Uint8Array => {
    const records = Uint8Array.from([...indexedStream.cut(indexedStream.at("ram")), 0]);
    const head = file.with("blocks", 0).with("records", records.length).with("runs", 0).cut(144);
    return Uint8Array.from([...head, ...records, ...new Uint8Array(32)]);
  };
  const two = Array.from({ length: at("runs") }, (_, i) => i).find((i) => at(`run${i}.pages`) > 1);
  const striding: Spec[] =
    two === undefined
      ? []
      : (
          [
            ["run-stride-0", "pages on top of each other", 0],
            ["run-stride", "pages that share bytes", 4096],
            ["run-stride-far", "pages behind the stream", 2 ** 50],
          ] as const
        ).map(([name, what, value]) => ({
          name,
          what,
          clause,
          base: "index",
          bytes: summed(file.with(`run${two}.stride`, value).bytes),
          expect: "ignored",
        }));
  return [
    { name: "index", what: "the index of a stream", clause, bytes },
    ...rows.map(
      ([name, what, field, value]): Spec => ({
        name,
        what,
        clause,
        base: "index",
        bytes: summed(file.with(field, value).bytes),
        expect: "ignored",
      }),
    ),
    ...striding,
    {
      name: "other-blocks",
      what: "one block, and the records of a stream with two",
      clause,
      bytes: summed(oneBlock()),
      expect: "ignored",
    },
    {
      name: "no-ram",
      what: "records without a RAM section",
      clause,
      bytes: summed(noRam()),
      expect: "ignored",
    },
    {
      name: "turned",
      what: "a turned byte, which its digest finds",
      clause,
      base: "index",
      bytes: file.with("rounds", 77).bytes,
      expect: "ignored",
    },
    { name: "cut", what: "an index that is cut", clause, base: "index", bytes: file.cut(size - 1), expect: "ignored" },
    {
      name: "cut-head",
      what: "an index that ends in its head",
      clause,
      base: "index",
      bytes: file.cut(100),
      expect: "ignored",
    },
    {
      name: "longer",
      what: "a byte more",
      clause,
      base: "index",
      bytes: summed(Uint8Array.from([...bytes.subarray(0, size - 32), 0, ...new Uint8Array(32)])),
      expect: "ignored",
    },
    { name: "empty", what: "no byte", clause, bytes: new Uint8Array(0), expect: "ignored" },
  ];
}
