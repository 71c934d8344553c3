import fc from "fast-check";
import { expect, test } from "vitest";
import type { RamBlock } from "../../src/pages/block.ts";
import { StreamReader } from "../../src/stream/reader.ts";
import { StreamWriter } from "../../src/stream/writer.ts";
import { build, describe_, drive, hex, PAGE, piece, preamble, Recorder, read, rewrite } from "./helpers.ts";

const names = ["pc.ram", "vga.vram", "\xff\x00rom"];

type Op =
  | { kind: "page"; block: number; page: number; fill: number }
  | { kind: "zero"; block: number; page: number }
  | { kind: "xbzrle"; block: number; page: number; data: Uint8Array }
  | { kind: "flush" }
  | { kind: "part" };

interface Plan {
  blocks: number[];
  ops: Op[];
  devices: Uint8Array[];
  early: Uint8Array | null;
  background: boolean;
  cuts: number[];
}

/** Device bytes rich in what could be taken for a frame. */
const payload = fc.array(
  fc.oneof(
    fc.nat(255).map((n) => new Uint8Array([n])),
    fc.constant(piece.footer(5)),
    fc.constant(piece.footer(9)),
    fc.constant(new Uint8Array([0, 6, 0, 0, 0, 2, 0x7b, 0x22])),
    fc.constant(build(piece.footer(5), piece.eof, piece.vmdesc({ devices: [] }))),
  ),
  { maxLength: 12 },
);
const bytes = payload.map((parts) => build(...parts));

const plan: fc.Arbitrary<Plan> = fc
  .array(fc.integer({ min: 1, max: 6 }), { minLength: 1, maxLength: 3 })
  .chain((blocks) => {
    const place = fc
      .nat(blocks.length - 1)
      .chain((block) => fc.record({ block: fc.constant(block), page: fc.nat((blocks[block] ?? 1) - 1) }));
    const op: fc.Arbitrary<Op> = fc.oneof(
      {
        weight: 4,
        arbitrary: fc.tuple(place, fc.nat(255)).map(([p, fill]) => ({ kind: "page" as const, ...p, fill })),
      },
      { weight: 4, arbitrary: place.map((p) => ({ kind: "zero" as const, ...p })) },
      fc.tuple(place, bytes).map(([p, data]) => ({ kind: "xbzrle" as const, ...p, data })),
      fc.constant({ kind: "flush" as const }),
      fc.constant({ kind: "part" as const }),
    );
    return fc.record({
      blocks: fc.constant(blocks),
      ops: fc.array(op, { maxLength: 25 }),
      devices: fc.array(bytes, { minLength: 1, maxLength: 4 }),
      early: fc.option(fc.nat(255).map((n) => new Uint8Array([n, n]))),
      background: fc.boolean(),
      cuts: fc.array(fc.oneof(fc.integer({ min: 1, max: 20 }), fc.integer({ min: 1, max: 9000 })), {
        minLength: 1,
        maxLength: 6,
      }),
    });
  });

/** The stream that QEMU would write for a plan, written out here, not with the writer under test. */
function streamOf({ blocks, ops, devices, early, background }: Plan): Uint8Array {
  const sizes = Object.fromEntries(blocks.map((pages, i) => [names[i] ?? "", pages]));
  const parts: Uint8Array[] = [preamble, piece.ramStart(sizes)];
  if (early !== null) parts.push(piece.device(9, "early", early));
  parts.push(build((b) => b.u8(2).u32(2)));
  let last = -1;
  for (const op of ops) {
    if (op.kind === "part")
      parts.push(
        piece.eos,
        piece.footer(2),
        build((b) => b.u8(2).u32(2)),
      );
    else if (op.kind === "flush") parts.push(piece.word(0, 0x200));
    else {
      const flag = { page: 8, zero: 2, xbzrle: 0x40 }[op.kind];
      parts.push(piece.word(op.page * PAGE, op.block === last ? flag + 0x20 : flag));
      if (op.block !== last) parts.push(piece.name(names[op.block] ?? ""));
      last = op.block;
      if (op.kind === "page") parts.push(new Uint8Array(PAGE).fill(op.fill));
      else if (op.kind === "zero") parts.push(new Uint8Array(1));
      else parts.push(build((b) => b.u8(1).u16(op.data.length).bytes(op.data)));
    }
  }
  parts.push(piece.eos, piece.footer(2));
  if (!background) parts.push(piece.end(2));
  const described: [string, number][] = devices.map((device, i) => [`d${i}`, device.length]);
  if (early !== null) described.unshift(["early", early.length]);
  parts.push(...devices.map((device, i) => piece.device(5 + i * 10, `d${i}`, device)), piece.eof);
  parts.push(piece.vmdesc(describe_(...described)));
  return build(...parts);
}

test("any chunking gives the same records, and writing them gives the same bytes", () => {
  fc.assert(
    fc.property(plan, (p) => {
      const stream = streamOf(p);
      const whole = read(stream);
      expect(whole.reader.complete).toBe(true);
      expect(read(stream, p.cuts).recorder.events).toEqual(whole.recorder.events);
      expect(hex(rewrite(stream, p.cuts))).toBe(hex(stream));
    }),
    { numRuns: 150 },
  );
});

test("pages and devices are those of a plain model", () => {
  fc.assert(
    fc.property(plan, (p) => {
      const { recorder } = read(streamOf(p), p.cuts);
      const got = recorder.events.flatMap((e) => {
        if ("zero" in e) return [`zero ${e.block} ${e.page}`];
        if ("bytes" in e)
          return [`page ${e.block} ${e.page} ${e.bytes.slice(0, 2)} ${new Set(e.bytes.match(/../g)).size}`];
        if ("data" in e) return [`xbzrle ${e.block} ${e.page} ${e.data}`];
        return [];
      });
      const want = p.ops.flatMap((op) => {
        if (op.kind === "flush" || op.kind === "part") return [];
        const where = `${op.kind} ${names[op.block]} ${op.page}`;
        if (op.kind === "zero") return [where];
        if (op.kind === "xbzrle") return [`${where} ${hex(op.data)}`];
        return [`${where} ${op.fill.toString(16).padStart(2, "0")} 1`];
      });
      expect(got).toEqual(want);
      const devices = recorder.records.flatMap((r) => (r.kind === "device" && !r.early ? [hex(r.payload)] : []));
      expect(devices).toEqual(p.devices.map(hex));
    }),
    { numRuns: 150 },
  );
});

test("a flipped or cut byte gives a FixedramError or a stream, never another error, and the same in any chunking", () => {
  fc.assert(
    fc.property(plan, fc.nat(), fc.integer({ min: 1, max: 255 }), fc.boolean(), (p, at, change, cut) => {
      let stream = streamOf({ ...p, ops: p.ops.filter((op) => op.kind !== "page") });
      const place = at % stream.length;
      if (cut) stream = stream.subarray(0, place);
      else stream[place] = (stream[place] ?? 0) ^ change;
      const outcome = (cuts?: readonly number[]) => {
        const recorder = new Recorder();
        const reader = new StreamReader(recorder);
        try {
          drive(reader, stream, cuts);
          reader.end();
          return { events: recorder.events, position: reader.position };
        } catch (error) {
          expect(error).toHaveProperty("name", "FixedramError");
          return { error: JSON.stringify(error), events: recorder.events };
        }
      };
      expect(outcome(p.cuts)).toEqual(outcome());
    }),
    { numRuns: 300 },
  );
});

test("pages past 4 GiB and 2^40 bytes keep their place", () => {
  const pages = 2 ** 29;
  const block: RamBlock = { index: 0, name: "big", length: pages * PAGE, pageSize: PAGE, pages };
  const at = [0, 2 ** 19, 2 ** 20 - 1, 2 ** 20, 2 ** 28 + 1, pages - 1];
  const out: Uint8Array[] = [];
  const writer = new StreamWriter((piece) => void out.push(piece.slice()));
  writer.record({ kind: "header", version: 3 });
  writer.record({ kind: "configuration", machine: "pc", subsections: [] });
  const blocks = [{ block, hostPageSize: null, guestAddress: null, mapped: null }];
  writer.record({ kind: "ram-start", sectionId: 2, instance: 0, version: 4, total: block.length, blocks });
  const chunk = new Uint8Array(PAGE).fill(1);
  writer.pages({ block, count: at.length, pages: new Float64Array(at), offsets: new Uint32Array(at.length), chunk });
  for (const page of at) writer.zeroPages(block, page, 1);
  writer.record({ kind: "ram-eos" });
  writer.record({ kind: "footer", sectionId: 2 });
  writer.record({ kind: "eof" });
  writer.end();
  for (const cuts of [[1 << 20], [1000]]) {
    const { recorder } = read(build(...out), cuts);
    expect(recorder.events.flatMap((e) => ("page" in e ? [e.page] : []))).toEqual([...at, ...at]);
  }
});
