/** docs/format.md, "libvirt's save image", and files that are something else. */
import { Marked, type Sound } from "../marked.ts";
import { libvirtHead, mapped, stream } from "../sound.ts";
import { fieldSpecs, joined, mappedDigest, type Spec, streamDigest } from "../spec.ts";

const clause = "libvirt's save image";
const pages = streamDigest(false, true);

function withHead(head: Sound, body: Uint8Array): Sound {
  const out = new Marked();
  for (const [name, { offset, size }] of head.fields) out.fields.set(name, { offset, size });
  return out.bytes(null, head.bytes).bytes("stream", body).finish();
}

const head = libvirtHead();
const raw = withHead(head, stream().bytes);
const big = withHead(libvirtHead({ big: true }), stream().bytes);
const sparse = mapped({ before: libvirtHead({ format: 6 }).bytes });
const little = (value: number): Uint8Array =>
  Uint8Array.of(value & 255, (value >>> 8) & 255, (value >>> 16) & 255, value >>> 24);
const { length } = raw.bytes;
const space = head.bytes.length - 92;

const fields = fieldSpecs(raw, "raw", clause, [
  ["magic", "another magic", "libvirt", "LibvirtQemudSavf", "file.unknown-format", 0],
  ["unfinished", "an image that was not finished", "libvirt", "LibvirtQemudPart", "file.unfinished", 0],
  ["version-0", "version 0", "libvirt.version", little(0), "file.libvirt-version", 16],
  ["version-3", "version 3", "libvirt.version", little(3), "file.libvirt-version", 16],
  ["version-max", "version 2^32 - 1", "libvirt.version", little(0xffffffff), "file.libvirt-version", 16],
  [
    "version-other-order",
    "version 3 in the other byte order",
    "libvirt.version",
    Uint8Array.of(0, 0, 0, 3),
    "file.libvirt-version",
    16,
  ],
  ["data-0", "no XML", "libvirt.data", little(0), "file.libvirt-data-length", 20],
  ["data-1", "a NUL and no XML", "libvirt.data", little(1), "file.libvirt-data-length", 20],
  ["data-16-mib", "more than 16 MiB of XML", "libvirt.data", little(2 ** 24 + 1), "file.libvirt-data-length", 20],
  ["data-max", "4 GiB of XML", "libvirt.data", little(0xffffffff), "file.libvirt-data-length", 20],
  ["data-past-end", "XML that ends behind the file", "libvirt.data", little(length), "file.libvirt-cut", length],
  [
    "data-long",
    "a stream that begins a byte later",
    "libvirt.data",
    little(space + 1),
    "stream.bad-magic",
    92 + space + 1,
  ],
  ["format-7", "a format that does not exist", "libvirt.format", little(7), "file.libvirt-format", 28],
  ["format-max", "format 2^32 - 1", "libvirt.format", little(0xffffffff), "file.libvirt-format", 28],
  ["cookie-outside", "a cookie behind the data", "libvirt.cookie", little(space), "file.libvirt-cookie", 32],
  ["cookie-max", "a cookie at 2^32 - 1", "libvirt.cookie", little(0xffffffff), "file.libvirt-cookie", 32],
  ["cookie-in-xml", "a cookie that begins in the XML", "libvirt.cookie", little(5), "file.libvirt-xml", 92],
  ["xml-empty", "an empty XML", "xml", new Uint8Array(head.field("xml").size), "file.libvirt-xml", 92],
  ["xml-no-nul", "an XML that no NUL ends before the cookie", "xml.nul", 0x20, "file.libvirt-xml", 92],
  ["unused", "bytes in the unused part", "libvirt.unused", new Uint8Array(56).fill(0xff), "ok"],
  ["version-1", "version 1, which means the same", "libvirt.version", little(1), "ok"],
  ["paused", "a guest that was paused", "libvirt.running", little(0), "ok"],
]).map((spec): Spec => (spec.expect === "ok" ? { ...spec, pages } : spec));

const noNul = withHead(libvirtHead({ cookie: false }), stream().bytes);
const stuffed = noNul.splice(head.at("xml"), noNul.at("stream"), new Uint8Array(noNul.at("stream") - 92).fill(0x78));
const cookieNul = raw.splice(
  raw.at("cookie.nul"),
  raw.at("stream"),
  new Uint8Array(raw.at("stream") - raw.at("cookie.nul")).fill(0x20),
);

/** gzip that stores: made without a packer, so that it is the same everywhere. */
export function gzip(data: Uint8Array): Uint8Array {
  let crc = 0xffffffff;
  for (const byte of data) {
    crc ^= byte;
    for (let bit = 0; bit < 8; bit++) crc = crc & 1 ? (crc >>> 1) ^ 0xedb88320 : crc >>> 1;
  }
  const blocks: Uint8Array[] = [];
  for (let at = 0; at < data.length; at += 65535) {
    const part = data.subarray(at, at + 65535);
    const last = at + 65535 >= data.length ? 1 : 0;
    blocks.push(
      Uint8Array.of(last, part.length % 256, part.length >> 8, ~part.length & 255, (~part.length >> 8) & 255),
      part,
    );
  }
  return joined(
    Uint8Array.of(0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 255),
    ...blocks,
    little(~crc >>> 0),
    little(data.length),
  );
}

const packed = withHead(libvirtHead({ format: 1 }), gzip(stream().bytes));
const nested = Array.from({ length: 4 }).reduce<Uint8Array>((inner) => gzip(inner), stream().bytes.slice(0, 200));

const images: Spec[] = [
  { name: "raw", what: "an image whose stream is as in a pipe", clause, bytes: raw.bytes, pages, verify: ["none"] },
  { name: "raw-big-endian", what: "an image of a big-endian host", clause, bytes: big.bytes, pages },
  { name: "raw-no-cookie", what: "an image without a cookie", clause, bytes: noNul.bytes, pages },
  {
    name: "raw-trailing",
    what: "bytes behind the stream's end",
    clause,
    base: "raw",
    bytes: joined(raw.bytes, new Uint8Array(50).fill(1)),
    pages,
  },
  {
    name: "sparse",
    what: "an image whose pages have fixed places",
    clause,
    bytes: sparse.bytes,
    pages: mappedDigest(),
  },
  {
    name: "sparse-big-endian",
    what: "big-endian bitmaps",
    clause,
    bytes: mapped({ before: libvirtHead({ format: 6, big: true }).bytes, bigEndian: true }).bytes,
    pages: mappedDigest(),
  },
  { name: "gzip", what: "a packed image", clause, bytes: packed.bytes, pages },
  {
    name: "gzip-damaged",
    what: "a packed image with a wrong checksum",
    clause,
    base: "gzip",
    bytes: packed.splice(packed.bytes.length - 8, packed.bytes.length - 7, Uint8Array.of(0)),
    expect: "file.libvirt-compressed",
  },
  {
    name: "gzip-cut",
    what: "a packed image that is cut",
    clause,
    base: "gzip",
    bytes: packed.cut(packed.bytes.length - 3000),
    expect: "file.libvirt-compressed",
  },
  {
    name: "gzip-garbage",
    what: "a packed image that is not packed",
    clause,
    bytes: withHead(libvirtHead({ format: 1 }), stream().bytes).bytes,
    expect: "file.libvirt-compressed",
  },
  {
    name: "xz-garbage",
    what: "an image that says it was packed by xz, and was not",
    clause,
    bytes: withHead(libvirtHead({ format: 3 }), stream().bytes).bytes,
    expect: "file.libvirt-compressed",
  },
  {
    name: "no-name",
    what: "an XML without a name",
    clause,
    bytes: raw.with("xml", "x".repeat(raw.field("xml").size)).bytes,
    pages,
  },
  {
    name: "name-long",
    what: "an XML whose name does not end",
    clause,
    bytes: raw.with("xml", "<name>".padEnd(raw.field("xml").size, "x")).bytes,
    pages,
  },
  {
    name: "gzip-mapped",
    what: "fixed places in a packed image",
    clause,
    bytes: withHead(libvirtHead({ format: 1 }), gzip(mapped().bytes)).bytes,
    expect: "file.libvirt-format",
    at: 28,
  },
  {
    name: "xml-endless",
    what: "an XML without an end, and no cookie",
    clause,
    bytes: stuffed,
    expect: "file.libvirt-xml",
    at: 92,
  },
  {
    name: "cookie-endless",
    what: "a cookie without an end",
    clause,
    bytes: cookieNul,
    expect: "file.libvirt-cookie",
    at: 92 + head.at("cookie") - 92,
  },
  {
    name: "cut-header",
    what: "an image that ends in its header",
    clause,
    base: "raw",
    bytes: raw.cut(60),
    expect: "file.libvirt-cut",
    at: 60,
  },
  {
    name: "cut-version",
    what: "an image that ends in its version",
    clause,
    base: "raw",
    bytes: raw.cut(18),
    expect: "file.libvirt-cut",
    at: 18,
  },
  {
    name: "cut-magic",
    what: "an image that ends in its magic",
    clause,
    base: "raw",
    bytes: raw.cut(12),
    expect: "file.unknown-format",
    at: 0,
  },
  {
    name: "cut-xml",
    what: "an image that ends in its XML",
    clause,
    base: "raw",
    bytes: raw.cut(100),
    expect: "file.libvirt-cut",
    at: 100,
  },
  {
    name: "cut-stream",
    what: "an image that ends where its stream begins",
    clause,
    base: "raw",
    bytes: raw.cut(raw.at("stream")),
    expect: "stream.cut",
    at: raw.at("stream"),
  },
];

const text = (value: string): Uint8Array => Uint8Array.from(value, (letter) => letter.charCodeAt(0));
const other = (name: string, what: string, bytes: Uint8Array, expect: string): Spec => ({
  name: `other-${name}`,
  what,
  clause: "Terms",
  bytes,
  expect,
  at: 0,
});

const others: Spec[] = [
  other("empty", "an empty file", new Uint8Array(0), "file.empty"),
  other("zeros", "zeros", new Uint8Array(5000), "file.unknown-format"),
  other("text", "text", text("not a snapshot\n"), "file.unknown-format"),
  other("qcow2", "a qcow2 image", joined(text("QFI\xfb"), new Uint8Array(100)), "file.other-format"),
  other(
    "elf",
    "an ELF core",
    joined(text("\x7fELF\x02\x01\x01"), new Uint8Array(9), Uint8Array.of(4, 0), new Uint8Array(50)),
    "file.other-format",
  ),
  other(
    "firecracker",
    "a Firecracker snapshot",
    joined(Uint8Array.of(8, 0, 0x64, 0x86, 0x84, 0x19, 0x10, 7), new Uint8Array(50)),
    "file.other-format",
  ),
  other("criu", "a CRIU image", joined(Uint8Array.of(0x19, 0x43, 0x56, 0x54), new Uint8Array(50)), "file.other-format"),
  other("gzip", "a packed stream", gzip(stream().bytes.slice(0, 500)), "file.compressed"),
  other("gzip-nested", "packed four times", nested, "file.compressed"),
  other("xz", "an xz file", text("\xfd7zXZ\0\0\0"), "file.compressed"),
  other("escapes", "terminal escapes", text("\x1b[2J\x1b]0;title\x07\x9b31m"), "file.unknown-format"),
];

export const libvirtDefects: Spec[] = [...images, ...fields];
export const otherFiles: Spec[] = others;
