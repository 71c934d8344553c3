/**
 * Files that are too large to be kept, made when they are needed. Each would take memory or time without end from a reader that
 * believes it.
 */
import { gzipSync } from "node:zlib";
import { Marked } from "../marked.ts";
import { deviceTail, footer, frame, libvirtHead, PAGE, section, stream, vmdescOf } from "../sound.ts";
import { joined, type Spec, streamDigest } from "../spec.ts";

const plain = stream();
const pages = streamDigest(false, true);

function repeated(count: number, each: Uint8Array): Uint8Array {
  const out = new Uint8Array(count * each.length);
  for (let i = 0; i < count; i++) out.set(each, i * each.length);
  return out;
}

function manyBlocks(count: number): { readonly bytes: Uint8Array; readonly at: number } {
  const out = section(frame(new Marked(), {}), "ram", 1, 2, "ram", 4).u64(null, count * PAGE + 4);
  let at = 0;
  for (let i = 0; i < count; i++) {
    if (i === 65536) at = out.length;
    out.name(null, i.toString(36)).u64(null, PAGE);
  }
  footer(out.u64(null, 0x10), "ram", 2);
  return { bytes: deviceTail(out, {}).finish().bytes, at };
}

const dirtyStart = (id: number): Uint8Array => {
  const out = section(new Marked(), "s", 1, id, "dirty-bitmap", 1).u8(null, 1);
  return footer(out, "s", id).finish().bytes;
};
const earlyDevice = (id: number, payload: Uint8Array): Uint8Array => {
  const out = section(new Marked(), "s", 4, id, "early", 1).bytes(null, payload);
  return footer(out, "s", id).finish().bytes;
};
const inserted = (mark: string, by: Uint8Array): Uint8Array => plain.splice(plain.at(mark), plain.at(mark), by);
const falseEnd = Uint8Array.of(0x7e, 0, 0, 0, 7, 0, 6, 0, 0, 0, 9, 0x7b, 0x22);
const falseEndOf = (length: number): Uint8Array => {
  const out = falseEnd.slice();
  new DataView(out.buffer).setUint32(7, length);
  return out;
};
const withDevice = (payload: Uint8Array) => stream({ devices: [{ name: "d", id: 7, payload }] });
/** It ends in a brace, so it is tried. */
const falseJson = Uint8Array.of(0x7e, 0, 0, 0, 7, 0, 6, 0, 0, 0, 3, 0x7b, 0x22, 0x7d);

export function largeDefects(): Spec[] {
  const million = manyBlocks(1_000_000);
  const clause = "What a reader must check";
  const wrong = stream({ vmdesc: `{"devices":[${"0,".repeat(1_000_000)}0]}` });
  const empty = stream({ vmdesc: `{"devices":[${"[],".repeat(1_000_000)}[]]}` });
  const tooLong = stream({
    vmdesc: JSON.stringify({ ...(vmdescOf([]) as object), x: "x".repeat(17 * 2 ** 20) }),
    devices: [],
  });
  const tried = withDevice(repeated(5000, falseJson));
  return [
    {
      name: "blocks",
      what: "a million blocks",
      clause,
      bytes: million.bytes,
      expect: "stream.too-many-blocks",
      at: million.at,
    },
    {
      name: "sections",
      what: "2000 live sections",
      clause,
      bytes: inserted("ram", joined(...Array.from({ length: 2000 }, (_, i) => dirtyStart(100 + i)))),
      expect: "stream.too-many-sections",
      at: plain.at("ram") + 1024 * dirtyStart(1).length,
    },
    {
      name: "early",
      what: "2000 early FULLs",
      clause,
      bytes: inserted(
        "part0",
        joined(...Array.from({ length: 2000 }, (_, i) => earlyDevice(100 + i, Uint8Array.of(1)))),
      ),
      expect: "stream.too-many-sections",
      at: plain.at("part0") + 1023 * earlyDevice(1, Uint8Array.of(1)).length,
    },
    {
      name: "dirty-records",
      what: "2 million dirty-bitmap records of one byte",
      clause,
      bytes: inserted("ram", joined(dirtyStart(3).slice(0, -6), new Uint8Array(2_000_000), dirtyStart(3).slice(-6))),
      pages,
    },
    {
      name: "commands",
      what: "a million commands",
      clause,
      bytes: inserted("part0", repeated(1_060_000, Uint8Array.of(8, 0, 1, 0, 0))),
      expect: "stream.too-many-records",
      at: plain.at("part0") + (2 ** 20 - 5) * 5,
    },
    {
      name: "false-ends",
      what: "5000 things in a device that look like the stream's end",
      clause,
      bytes: withDevice(repeated(5000, falseEnd)).bytes,
      pages,
    },
    {
      name: "more-false-ends",
      what: "70000 of them",
      clause,
      bytes: withDevice(repeated(70_000, falseEnd)).bytes,
      expect: "stream.false-ends",
      at: plain.at("timer"),
    },
    {
      name: "tried-ends",
      what: "5000 things that look like the stream's end and end in a brace",
      clause,
      bytes: tried.bytes,
      expect: "stream.false-ends",
      at: plain.at("timer"),
    },
    {
      name: "pending-ends",
      what: "5000 things that would end a megabyte further on",
      clause,
      bytes: withDevice(joined(repeated(5000, falseEndOf(2 ** 20)), new Uint8Array(2 ** 20))).bytes,
      expect: "stream.false-ends",
      at: plain.at("timer"),
    },
    {
      name: "gzip-trailing",
      what: "a packed image that goes on for 65 MiB behind its stream's end",
      clause,
      bytes: joined(
        libvirtHead({ format: 1 }).bytes,
        gzipSync(joined(plain.bytes, new Uint8Array(65 * 2 ** 20)), { level: 1 }),
      ),
      expect: "file.libvirt-trailing",
    },
    {
      name: "vmdesc-numbers",
      what: "a vmdesc of 1 million devices that are numbers",
      clause,
      bytes: wrong.bytes,
      expect: "stream.vmdesc-invalid",
      at: wrong.at("vmdesc.json"),
    },
    {
      name: "vmdesc-lists",
      what: "a vmdesc of 1 million devices that are lists",
      clause,
      bytes: empty.bytes,
      expect: "stream.vmdesc-invalid",
      at: empty.at("vmdesc.json"),
    },
    {
      name: "vmdesc-17-mib",
      what: "a vmdesc of 17 MiB",
      clause,
      bytes: tooLong.bytes,
      expect: "stream.device-state-too-large",
      at: tooLong.at("vmdesc"),
    },
  ];
}
