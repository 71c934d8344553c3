/** docs/format.md, "The stream's framing", "Configuration", "The head". */
import { Marked } from "../marked.ts";
import { mapped, stream } from "../sound.ts";
import { bytesOf, fieldSpecs, joined, type Spec, streamDigest, u64 } from "../spec.ts";

const full = stream({ capabilities: ["mapped-ram-not"], pageBits: 12, uuid: true });
const plain = stream();

const headers = fieldSpecs(full, "configured", "The stream's framing", [
  ["magic-first", "the first byte is not Q", "magic", "qEVM", "file.unknown-format", 0],
  ["magic-last", "the fourth byte is not M", "magic", "QEVN", "file.unknown-format", 0],
  ["version-0", "version 0", "version", 0, "stream.version", "version"],
  ["version-2", "version 2, which QEMU refuses", "version", 2, "stream.version", "version"],
  ["version-4", "version 4", "version", 4, "stream.version", "version"],
  ["version-max", "version 2^32 - 1", "version", 0xffffffff, "stream.version", "version"],
]);

const configurations = fieldSpecs(full, "configured", "Configuration", [
  ["no-configuration", "the first section is a START", "configuration", 1, "stream.no-configuration", "configuration"],
  ["machine-1025", "a machine name of 1025 bytes", "machine.length", 1025, "stream.machine-name", "machine.length"],
  ["machine-4gib", "a machine name of 4 GiB", "machine.length", 0xffffffff, "stream.machine-name", "machine.length"],
  ["bits-9", "pages of 512 bytes", "bits.value", 9, "stream.page-bits", full.at("ram")],
  ["bits-17", "pages of 128 KiB", "bits.value", 17, "stream.page-bits", full.at("ram")],
  ["bits-max", "pages of 2^(2^32 - 1) bytes", "bits.value", 0xffffffff, "stream.page-bits", full.at("ram")],
  ["bits-version", "target-page-bits version 2", "bits.version", 2, "stream.unknown-subsection", "bits"],
  [
    "bits-name",
    "a subsection that is not known",
    "bits.name",
    "configuration/target-page-bitz",
    "stream.unknown-subsection",
    "bits",
  ],
  ["bits-unnamed", "a subsection without a name", "bits.name.length", 0, "stream.unknown-subsection", "bits"],
  [
    "capabilities-version",
    "capabilities version 0",
    "capabilities.version",
    0,
    "stream.unknown-subsection",
    "capabilities",
  ],
  ["capabilities-257", "257 capabilities", "capabilities.count", 257, "stream.capability-count", "capabilities.count"],
  [
    "capabilities-max",
    "2^32 - 1 capabilities",
    "capabilities.count",
    0xffffffff,
    "stream.capability-count",
    "capabilities.count",
  ],
  ["uuid-version", "uuid version 2", "uuid.version", 2, "stream.unknown-subsection", "uuid"],
]);

const twice = (name: "bits" | "capabilities" | "uuid", next: string): Spec => {
  const copy = full.bytes.slice(full.at(name), full.at(next));
  return {
    name: `${name}-twice`,
    what: `the subsection ${name} comes twice`,
    clause: "Configuration",
    base: "configured",
    bytes: full.splice(full.at(next), full.at(next), copy),
    expect: "stream.duplicate-subsection",
    at: full.at(next),
  };
};

const sections = fieldSpecs(plain, "plain", "The stream's framing", [
  ["type-05", "a SUBSECTION outside of a device", "part0", 5, "stream.misplaced-section", "part0"],
  ["type-06", "a VMDESC before EOF", "ram", 6, "stream.misplaced-section", "ram"],
  ["type-07", "a second CONFIGURATION", "ram", 7, "stream.misplaced-section", "ram"],
  ["type-7e", "a FOOTER alone", "ram", 0x7e, "stream.misplaced-section", "ram"],
  ["type-09", "a section type that does not exist", "ram", 9, "stream.unknown-section", "ram"],
  ["type-ff", "section type ff", "ram", 0xff, "stream.unknown-section", "ram"],
  ["part-first", "a PART before any START", "ram", 2, "stream.unknown-section-id", "ram"],
  ["end-first", "an END before any START", "ram", 3, "stream.unknown-section-id", "ram"],
  ["eof-first", "EOF before the RAM section", "ram", 0, "file.no-ram"],
  ["ram-name", "a live section that is not known", "ram.name", "rom", "stream.unsupported-section", "ram"],
  ["ram-escape", "a section name that is a terminal escape", "ram.name", "\x1b[m", "stream.unsupported-section", "ram"],
  ["ram-version-3", "RAM section version 3", "ram.version", 3, "stream.section-version", "ram"],
  ["ram-version-5", "RAM section version 5", "ram.version", 5, "stream.section-version", "ram"],
  ["ram-instance", "RAM section instance 1", "ram.instance", 1, "stream.section-instance", "ram"],
  ["footer-type", "no footer behind the START", "ram.footer", 2, "stream.bad-footer", "ram.footer"],
  ["footer-id", "the footer of another section", "ram.footer.id", 3, "stream.bad-footer", "ram.footer"],
  ["part-id", "a PART of a section that was not begun", "part0.id", 5, "stream.unknown-section-id", "part0"],
  ["part-footer", "a PART without footer", "part0.footer", 0, "stream.bad-footer", "part0.footer"],
  ["part-footer-id", "a PART with another's footer", "part0.footer.id", 7, "stream.bad-footer", "part0.footer"],
  ["end-id", "an END of a section that was not begun", "end.id", 0, "stream.unknown-section-id", "end"],
  ["end-footer", "an END without footer", "end.footer", 0x7d, "stream.bad-footer", "end.footer"],
  ["command-0", "command 0", "switchover.command", 0, "stream.unknown-command", "switchover"],
  ["command-12", "a command that does not exist", "switchover.command", 12, "stream.unknown-command", "switchover"],
  ["command-long", "SWITCHOVER_START with data", "switchover.length", 1, "stream.command-length", "switchover.length"],
]);

const insertedAt = (name: string, what: string, mark: string, by: Uint8Array, expect: string, delta = 0): Spec => ({
  name,
  what,
  clause: "The stream's framing",
  base: "plain",
  bytes: plain.splice(plain.at(mark), plain.at(mark), by),
  expect,
  at: plain.at(mark) + delta,
});

const start = (id: number, name: string, version: number): Uint8Array =>
  new Marked().u8(null, 1).u32(null, id).name(null, name).u32(null, 0).u32(null, version).finish().bytes;
const command = (number: number, data: Uint8Array): Uint8Array =>
  joined(bytesOf(8, 0, number, data.length >> 8, data.length % 256), data);

const inserted: Spec[] = [
  insertedAt("second-ram", "a second RAM section", "part0", start(5, "ram", 4), "stream.second-ram-section"),
  insertedAt(
    "id-taken",
    "two sections with one id",
    "part0",
    start(2, "dirty-bitmap", 1),
    "stream.duplicate-section-id",
  ),
  insertedAt("vfio", "a VFIO device's live state", "part0", start(5, "0000:00:04.0/vfio", 1), "stream.vfio-section"),
  insertedAt("htab", "a pseries guest's hash table", "part0", start(5, "spapr/htab", 1), "stream.htab-section"),
  insertedAt("stattrib", "s390 storage attributes", "part0", start(5, "s390-stattrib", 1), "stream.stattrib-section"),
  insertedAt("dirty-version", "dirty-bitmap version 2", "part0", start(5, "dirty-bitmap", 2), "stream.section-version"),
  insertedAt("unnamed", "a live section without a name", "part0", start(5, "", 1), "stream.unsupported-section"),
  insertedAt("ping-5", "PING of 5 bytes", "part0", command(2, new Uint8Array(5)), "stream.command-length", 3),
  insertedAt(
    "path-1",
    "OPEN_RETURN_PATH with data",
    "part0",
    command(1, new Uint8Array(1)),
    "stream.command-length",
    3,
  ),
  insertedAt(
    "advise-8",
    "POSTCOPY_ADVISE of 8 bytes",
    "part0",
    command(3, new Uint8Array(8)),
    "stream.command-length",
    3,
  ),
  insertedAt(
    "advise-2-53",
    "a page size above 2^53 in POSTCOPY_ADVISE",
    "ram",
    command(3, joined(u64(2n ** 53n), u64(4096n))),
    "stream.number-too-large",
    5,
  ),
  insertedAt(
    "packaged-4gib",
    "a package of 4 GiB",
    "part0",
    command(7, bytesOf(255, 255, 255, 255)),
    "stream.packaged-too-large",
    5,
  ),
  insertedAt("after-end", "a PART behind the END", "timer", bytesOf(2, 0, 0, 0, 2), "stream.unknown-section-id"),
  ...[4, 5, 7].map((number): Spec => {
    const data = number === 7 ? bytesOf(0, 0, 0, 3) : new Uint8Array(0);
    return {
      name: `postcopy-${number}`,
      what: `postcopy began (command ${number}): the rest of the memory is elsewhere`,
      clause: "Streams without fixed places",
      base: "plain",
      bytes: plain.splice(
        plain.at("part0"),
        plain.at("part0"),
        joined(command(number, data), number === 7 ? bytesOf(1, 2, 3) : new Uint8Array(0)),
      ),
      expect: "file.postcopy",
      at: plain.at("part0"),
    };
  }),
];

/** Files that are right, and look unusual. */
const sound: Spec[] = [
  {
    name: "plain",
    what: "a stream of PAGE and ZERO records",
    clause: "Streams without fixed places",
    bytes: plain.bytes,
    pages: streamDigest(false, true),
  },
  {
    name: "configured",
    what: "target-page-bits, an unknown capability and a uuid",
    clause: "Configuration",
    bytes: full.bytes,
    pages: streamDigest(false, true),
  },
  {
    name: "everything",
    what: "commands, a dirty bitmap, early device state, XBZRLE and packed pages",
    clause: "Streams without fixed places",
    bytes: everything().bytes,
    pages: streamDigest(true, true),
  },
  {
    name: "background",
    what: "a background snapshot: no END",
    clause: "Tail",
    bytes: stream({ end: false }).bytes,
    pages: streamDigest(false, false),
  },
  {
    name: "no-vmdesc",
    what: "a machine without vmdesc: device state in one piece",
    clause: "Tail",
    bytes: stream({ vmdesc: null }).bytes,
    pages: streamDigest(false, true),
  },
  {
    name: "no-devices",
    what: "EOF right behind the END, and no vmdesc",
    clause: "Tail",
    bytes: stream({ devices: [], vmdesc: null }).bytes,
    pages: streamDigest(false, true),
  },
  {
    name: "no-devices-vmdesc",
    what: "no device, and a vmdesc that lists none",
    clause: "Tail",
    bytes: stream({ devices: [] }).bytes,
    pages: streamDigest(false, true),
  },
  {
    name: "trailing",
    what: "bytes behind the stream's end",
    clause: "Placement",
    bytes: joined(plain.bytes, new Uint8Array(100).fill(0xee)),
    pages: streamDigest(false, true),
  },
  {
    name: "bits-10",
    what: "pages of 1 KiB",
    clause: "Configuration",
    bytes: stream({ pageBits: 10, pageSize: 1024 }).bytes,
    pages: streamDigest(false, true, 1024),
  },
  {
    name: "machine-255",
    what: "a machine name of 255 bytes",
    clause: "Configuration",
    bytes: stream({ machine: "m".repeat(255) }).bytes,
    pages: streamDigest(false, true),
  },
  {
    name: "machine-0",
    what: "a machine without a name",
    clause: "Configuration",
    bytes: stream({ machine: "" }).bytes,
    pages: streamDigest(false, true),
  },
  {
    name: "huge-pages",
    what: "POSTCOPY_ADVISE with huge pages, which no block has",
    clause: "Block entry",
    bytes: hugeAdvise(),
    pages: streamDigest(false, true),
  },
  {
    name: "page-size-option",
    what: "pages of 1 KiB, told by the caller",
    clause: "Terms",
    bytes: stream({ pageSize: 1024 }).bytes,
    pages: streamDigest(false, true, 1024),
    options: { pageSize: 1024 },
  },
];

export function everything() {
  return stream({
    commands: true,
    dirtyBitmap: true,
    encoded: true,
    uuid: true,
    early: [{ name: "0000:00:03.0/virtio-mem-device-early", id: 9, payload: bytesOf(1, 2, 3) }],
  });
}

function hugeAdvise(): Uint8Array {
  return plain.splice(plain.at("ram"), plain.at("ram"), command(3, joined(u64(2n ** 21n + 4096n), u64(4096n))));
}

const head = mapped();

const heads: Spec[] = [
  ...fieldSpecs(head, "mapped", "The head", [
    ["total-flag", "the total without MEM_SIZE", "total", 19 * 4096, "stream.no-block-list", "total"],
    ["total-flags", "the total with another flag too", "total", 19 * 4096 + 5, "stream.no-block-list", "total"],
    ["total-2-53", "a total of 2^53", "total", 2n ** 53n + 4n, "stream.number-too-large", "total"],
    ["total-wraps", "a total of 2^64 - 4092", "total", 2n ** 64n - 4092n, "stream.number-too-large", "total"],
    ["total-short", "a total that is one page short", "total", 18 * 4096 + 4, "stream.block-total", "block1.length"],
    ["total-long", "a total that is one page more", "total", 20 * 4096 + 4, "stream.block-name", "ram.eos"],
    [
      "capability",
      "no capability mapped-ram: the header is taken for an entry",
      "capability0",
      "mapped-rom",
      "stream.block-name",
      "block0.version",
    ],
  ]),
];

export const framing: Spec[] = [
  ...sound,
  ...headers,
  ...configurations,
  twice("bits", "capabilities"),
  twice("capabilities", "uuid"),
  twice("uuid", "ram"),
  ...sections,
  ...inserted,
];
export const headDefects: Spec[] = heads;
