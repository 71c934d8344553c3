/** What commands that read and write files are given in tests. */
import type { ConvertResult } from "../../../src/operations/convert.ts";
import type { DiffResult } from "../../../src/operations/diff.ts";
import type { ExportResult } from "../../../src/operations/export.ts";
import type { GdbResult } from "../../../src/operations/gdb.ts";
import type { BlockMap, SnapshotInfo } from "../../../src/operations/inspect.ts";
import type { RepairResult } from "../../../src/operations/repair.ts";
import type { SealResult } from "../../../src/operations/seal.ts";
import type { VerifyResult } from "../../../src/operations/verify.ts";
import { MiB, saved } from "./guests.ts";

export const inspected: SnapshotInfo = {
  path: "web.fram",
  container: "fixed-ram",
  sizes: { apparent: 533 * MiB, allocated: 211 * MiB, ram: 512 * MiB },
  machine: "pc-q35-7.2",
  capabilities: ["mapped-ram"],
  guestUuid: null,
  runState: "running",
  sealState: "sealed",
  libvirt: null,
  bitmapOrder: "little",
  blocks: [
    {
      name: "pc.ram",
      length: 512 * MiB,
      pageSize: 4096,
      pages: 131_072,
      present: 54_000,
      bitmapOffset: 137,
      pagesOffset: MiB,
    },
    {
      name: "/rom@etc/acpi/\x1btables",
      length: 131_072,
      pageSize: 4096,
      pages: 32,
      present: 32,
      bitmapOffset: 537_919_519,
      pagesOffset: 538_968_064,
    },
    {
      name: "vga.vram",
      length: 16 * MiB,
      pageSize: 4096,
      pages: 4096,
      present: 0,
      bitmapOffset: 539_099_199,
      pagesOffset: 540_016_640,
    },
  ],
  devices: [
    { name: "timer", instance: 0, version: 2, size: 24 },
    { name: "cpu", instance: 0, version: 12, size: 13_212 },
    { name: "cpu", instance: 1, version: 12, size: 13_212 },
    { name: "0000:00:02.0/virtio-blk", instance: 0, version: 2, size: 4821 },
    { name: "apic", instance: 0, version: 3, size: 182 },
  ],
  seal: {
    id: saved.id,
    uuid: saved.uuid,
    created: "2026-11-23T16:49:29Z",
    tool: "fixedram 0.1.0",
    qemuVersion: "7.2.22",
    accelerator: "tcg",
    cpuModel: "qemu64",
    argv: ["qemu-system-x86_64", "-m", "512", "-append", "root=/dev/vda quiet"],
    disks: [
      {
        device: "virtio0",
        path: "/srv/web.qcow2",
        format: "qcow2",
        size: 3_221_225_472,
        mtime: "2026-11-23T16:48:02Z",
        readOnly: false,
      },
      { device: "cd0", path: "/srv/tools.iso", format: "raw", size: null, mtime: null, readOnly: true },
    ],
  },
};

export const verified: VerifyResult = {
  path: "web.fram",
  ok: true,
  deep: false,
  container: "fixed-ram",
  sealState: "sealed",
  id: saved.id,
  uuid: saved.uuid,
  size: 533 * MiB,
  coverage: {
    pages: 210 * MiB,
    regions: 300_000,
    tables: 430_080,
    seal: 20_480,
    uncovered: 323 * MiB - 750_560,
  },
  problems: [
    {
      code: "seal.damaged-page",
      message: "a page is not as it was sealed",
      block: "pc.ram",
      page: 12,
      pages: 2,
      offset: MiB + 12 * 4096,
      length: 8192,
    },
  ],
  problemsLeftOut: 0,
  unchecked: ["Pages were not read: --deep reads them."],
  time: 12,
};

export const sealed: SealResult = {
  bigEndian: false,
  path: "guest.mapped",
  id: saved.id,
  uuid: saved.uuid,
  pages: 54_016,
  sizes: { before: 533 * MiB, after: 534 * MiB },
  time: 212,
};

export const repaired: RepairResult = {
  path: "web.fram",
  repaired: "half-seal",
  message: "Half a seal was taken away.",
  sizes: { before: 533 * MiB + 4096, after: 533 * MiB },
};

export const mapped: readonly BlockMap[] = [
  {
    name: "pc.ram",
    length: 128 * MiB,
    pages: 32_768,
    present: 9000,
    pagesPerCell: 1638.4,
    cells: [1, 1, 0.6, 0.02, 0, 0, 0, 0, 0.2, 0.3, 0, 0, 0, 0, 0, 0, 0, 1, 1, 0.001],
  },
  { name: "tiny", length: 4096 * 3, pages: 3, present: 2, pagesPerCell: 1, cells: [1, 0, 1] },
];

export const converted: ConvertResult = {
  input: { name: "old.stream", container: "stream" },
  path: "web.fram",
  to: "fixed-ram",
  machine: "pc-q35-7.2",
  uuid: saved.uuid,
  id: "0123456789abcdef".repeat(4),
  pages: { total: 131_072, data: 54_016, zero: 77_056 },
  sizes: { input: 240 * MiB, apparent: 533 * MiB, allocated: 211 * MiB },
  times: { total: 420, copy: 390 },
  notices: [],
};

export const compared: DiffResult = {
  a: { path: "before.fram", container: "fixed-ram", machine: "pc-q35-7.2", id: saved.id },
  b: { path: "after.stream", container: "stream", machine: "pc-q35-8.0", id: null },
  same: true,
  configuration: [{ field: "machine", a: "pc-q35-7.2", b: "pc-q35-8.0" }],
  blocks: [
    {
      name: "pc.ram",
      a: { length: 64 * MiB, pageSize: 4096, pages: 16_384, present: 9000 },
      b: { length: 64 * MiB, pageSize: 4096, pages: 16_384, present: 9001 },
      pages: { changed: 1200, added: 2, gone: 1, unknown: 0 },
      extents: 17,
      map: {
        pagesPerCell: 512,
        a: Array.from({ length: 32 }, (_, i) => (i < 18 ? 1 : 0)),
        b: Array.from({ length: 32 }, (_, i) => (i < 18 ? 1 : i === 20 ? 0.004 : 0)),
        different: Array.from({ length: 32 }, (_, i) => (i < 3 ? 0.7 : i === 20 ? 0.004 : 0)),
      },
    },
    {
      name: "vga.vram",
      a: { length: MiB, pageSize: 4096, pages: 256, present: 0 },
      b: { length: MiB, pageSize: 4096, pages: 256, present: 0 },
      pages: { changed: 0, added: 0, gone: 0, unknown: 0 },
      extents: 0,
      map: { pagesPerCell: 8, a: [0], b: [0], different: [0] },
    },
  ],
  devices: {
    a: 3,
    b: 3,
    same: 0,
    different: [
      {
        name: "cpu",
        instance: 1,
        kind: "changed",
        a: { version: 12, size: 13_212 },
        b: { version: 12, size: 13_212 },
        bytes: 37,
        fields: [
          { path: "env.eip", a: 0xffff_ffff_8100_0000n, b: 0xffff_ffff_8100_0010n },
          { path: "env.segs[2].selector", a: 16, b: undefined },
          { path: "/cpu/pk\x1bru/.buf", a: Uint8Array.of(1, 2), b: Uint8Array.of(1, 3) },
        ],
      },
      { name: "tim\x1ber", instance: 0, kind: "gone", a: { version: 2, size: 24 }, b: null, bytes: 24, fields: null },
      {
        name: "apic",
        instance: 0,
        kind: "changed",
        a: { version: 3, size: 182 },
        b: { version: 4, size: 190 },
        bytes: 9,
        fields: null,
      },
    ],
  },
  pages: { total: 16_640, changed: 1200, added: 2, gone: 1, unknown: 0, extents: 17, trusted: 0 },
  hex: [
    {
      block: "pc.ram",
      kind: "changed",
      page: 74_565,
      offset: 305_418_240,
      bytes: 2,
      rows: [{ offset: 16, a: "00112233445566778899aabbccddeeff", b: "00112233445566778899aabbccddef41" }],
    },
  ],
  pagesOut: null,
  notices: [],
  time: 120,
};

export const exported: ExportResult = {
  input: { path: "web.fram", container: "fixed-ram" },
  path: "web.elf",
  format: "elf",
  machine: "pc-q35-7.2",
  ranges: [
    { start: 0, length: 2048 * MiB, block: "pc.ram", offset: 0, readOnly: false },
    { start: 4096 * MiB, length: 1024 * MiB, block: "pc.ram", offset: 2048 * MiB, readOnly: false },
  ],
  memoryMap: "recorded",
  checked: true,
  cpus: 2,
  vmcoreinfo: { from: "search", address: 0x1200_3000, release: "6.1.0-56-cloud-amd64", kernelOffset: "0x24e00000" },
  sizes: { memory: 3072 * MiB, apparent: 3072 * MiB + 8192, allocated: 310 * MiB },
  time: 1400,
  notices: [],
};

export const served: GdbResult = {
  path: "web.fram",
  machine: "pc-q35-7.2",
  address: "127.0.0.1:1234",
  cpus: 2,
  sessions: 1,
  packets: 231,
  time: 65_000,
  notices: [],
};
