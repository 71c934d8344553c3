import type { Operations } from "../../src/cli/operations.ts";
import { run } from "../../src/cli/run.ts";
import type { Surroundings } from "../../src/cli/terminal.ts";
import type { CloneStatus, Clones } from "../../src/operations/clone.ts";
import type { ConvertResult } from "../../src/operations/convert.ts";
import type { DiffResult } from "../../src/operations/diff.ts";
import type { DoctorReport } from "../../src/operations/doctor.ts";
import type { ExportResult } from "../../src/operations/export.ts";
import type { GdbResult } from "../../src/operations/gdb.ts";
import type { BlockMap, SnapshotInfo } from "../../src/operations/inspect.ts";
import type { RecoverResult } from "../../src/operations/recover.ts";
import type { RepairResult } from "../../src/operations/repair.ts";
import type { ResumeResult } from "../../src/operations/resume.ts";
import type { LazyResumeResult } from "../../src/operations/resume-lazy.ts";
import type { SaveResult } from "../../src/operations/save.ts";
import type { SealResult } from "../../src/operations/seal.ts";
import type { VerifyResult } from "../../src/operations/verify.ts";
import { insideFakes } from "./inside-fakes.ts";

export const MiB = 1024 ** 2;

export const saved: SaveResult = {
  path: "web.fram",
  uuid: "6fd3a3c2-4f6e-4e1c-9f8e-0d5b8f3f2a11",
  id: "5c2e1d0f".repeat(8),
  mode: "live",
  // biome-ignore lint/suspicious/noThenProperty: the name of the option --then; a string, never awaited
  then: "resume",
  transport: "multifd",
  transportReason: "QEMU 7.2.22 sends on 2 channels at once",
  directBytes: 0,
  qemuVersion: "7.2.22",
  machine: "pc-q35-7.2",
  guestName: "web",
  runState: { before: "running", after: "running" },
  times: { total: 1905, ram: 1620, sync: 212, guestPause: 312 },
  sizes: { ram: 512 * MiB, apparent: 533 * MiB, allocated: 211 * MiB, received: 240 * MiB },
  pages: { total: 131_072, data: 54_016, zero: 77_056, rewritten: 1 },
  rounds: 3,
  notices: [],
};

export const resumed: ResumeResult = {
  path: "web.fram",
  uuid: saved.uuid,
  qemuVersion: "10.0.2",
  transport: "mapped-ram",
  transportReason: "QEMU 9 and later read the file themselves",
  runState: "running",
  times: { ready: 140, load: 230, total: 380 },
  age: 93_600_000,
  notices: [],
  process: null,
};

const latency = { count: 820, p50: 30, p90: 80, p99: 400, max: 900, sum: 40_000, histogram: [[32, 800] as const] };

export const lazilyResumed: LazyResumeResult = {
  path: "web.fram",
  uuid: saved.uuid,
  snapshot: saved.id,
  qemuVersion: "10.0.2",
  runState: "running",
  times: { ready: 140, running: 12, settled: 420, complete: 1300, stall: 38, stallFrom: "qemu", total: 1452 },
  bytes: 211 * MiB,
  faults: { served: 820, ignored: 3, latency },
  prefetch: { path: "web.fram.workset", pages: 0 },
  recoveries: 0,
  age: 93_600_000,
  notices: [],
  process: null,
};

const firstClone: CloneStatus = {
  ...{ number: 1, state: "loaded", pid: 4711, qmp: "/run/fixedram-a/qmp.sock", bytes: 211 * MiB, total: 211 * MiB },
  ...{ faults: 820, recoveries: 0, runState: "running", latency, error: null, end: null },
  times: { ready: 140, running: 12, complete: 1300 },
  overlays: ["/tmp/fixedram-clones-a/web-1-drive0.qcow2"],
};
const secondClone: CloneStatus = {
  ...firstClone,
  ...{ number: 2, state: "failed", bytes: 4 * MiB, latency: null },
  times: { ready: 150, running: null, complete: null },
  error: { code: "qemu.exited", message: "QEMU ended before it could be spoken to (code 1)", said: "Address in use" },
};

export const cloned: Clones = {
  result: {
    path: "web.fram",
    uuid: saved.uuid,
    snapshot: saved.id,
    clones: [firstClone],
    overlays: { folder: "/tmp/fixedram-clones-a", kept: false },
    times: { running: 160, total: 1500 },
    notices: [],
  },
  clones: [firstClone],
  ended: Promise.resolve(),
  end: async () => undefined,
};

/** One of two has failed. */
export const clonedInPart: Clones = {
  ...cloned,
  result: { ...cloned.result, clones: [firstClone, secondClone] },
  clones: [firstClone, secondClone],
};

export const recovered: RecoverResult = {
  path: "web.fram",
  snapshot: saved.id,
  qemuVersion: "10.0.2",
  runState: "running",
  times: { total: 640 },
  missing: 120 * MiB,
  bytes: 211 * MiB,
  faults: { served: 12, ignored: 0, latency },
  recoveries: 1,
  notices: [],
};

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
      message: "A page is not as it was sealed",
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

export const examined: DoctorReport = {
  node: "v20.20.2",
  platform: "linux-x64",
  user: { uid: 1000, name: "me" },
  qemus: [
    {
      path: "/usr/bin/qemu-system-x86_64",
      target: "x86_64",
      version: { major: 10, minor: 0, micro: 2, package: "Debian 1:10.0.2", text: "10.0.2" },
      capabilities: ["return-path", "multifd", "mapped-ram", "background-snapshot"],
      problem: null,
      modes: { stop: true, live: true, background: true },
      mappedRam: true,
      multifd: true,
      returnPath: true,
    },
    {
      path: "/opt/qemu/bin/qemu-system-x86_64",
      target: null,
      version: null,
      capabilities: [],
      problem: "it ended with code 127",
      modes: { stop: false, live: false, background: false },
      mappedRam: false,
      multifd: false,
      returnPath: false,
    },
  ],
  kvm: { works: false, why: "a guest under KVM did nothing within 3 s" },
  userfaultfd: { works: true, why: "CAP_SYS_PTRACE", sysctl: false, device: true, capability: true },
  folder: {
    path: "/here",
    fileSystem: "ext4",
    free: 78.5 * 1024 * MiB,
    writable: true,
    sparse: { works: true, why: "files have holes" },
    direct: { works: true, why: "4096 bytes written past the page cache" },
  },
  problems: ["/opt/qemu/bin/qemu-system-x86_64 does not answer: it ended with code 127"],
};

/** Operations that must not be called, with some replaced. */
export function operationsWith(some: Partial<Operations>): Operations {
  const refuse = (name: string) => (): never => {
    throw new Error(`${name} was called`);
  };
  return {
    save: refuse("save"),
    resume: refuse("resume"),
    resumeLazy: refuse("resumeLazy"),
    recover: refuse("recover"),
    clone: refuse("clone"),
    info: refuse("info"),
    mapOf: refuse("mapOf"),
    exportMap: refuse("exportMap"),
    view: refuse("view"),
    viewResume: refuse("viewResume"),
    viewSave: refuse("viewSave"),
    verify: refuse("verify"),
    seal: refuse("seal"),
    repair: refuse("repair"),
    convert: refuse("convert"),
    diff: refuse("diff"),
    exportSnapshot: refuse("exportSnapshot"),
    read: refuse("read"),
    translateAddress: refuse("translateAddress"),
    search: refuse("search"),
    strings: refuse("strings"),
    devices: refuse("devices"),
    cpus: refuse("cpus"),
    gdb: refuse("gdb"),
    doctor: refuse("doctor"),
    ...some,
  };
}

export const fakes: Operations = {
  save: async () => saved,
  resume: async () => resumed,
  resumeLazy: async () => lazilyResumed,
  recover: async () => recovered,
  clone: async ({ file }) => ({ ...cloned, result: { ...cloned.result, path: file } }),
  info: async (path) => ({ ...inspected, path }),
  mapOf: async () => mapped,
  seal: async ({ file }) => ({ ...sealed, path: file }),
  repair: async ({ file }) => ({ ...repaired, path: file }),
  exportMap: async () => undefined,
  view: async () => {
    const close = async () => {};
    return {
      url: "http://127.0.0.1:8000/key/",
      ticket: () => "http://127.0.0.1:8000/open-once",
      ended: Promise.resolve(),
      close,
      [Symbol.asyncDispose]: close,
    };
  },
  viewResume: async () => ({
    ...(await fakes.view({ file: "" })),
    hooks: { onActivity: () => {}, onRunning: () => {}, onOutput: () => {} },
    finished: () => {},
    failed: () => {},
  }),
  viewSave: async () => ({
    ...(await fakes.view({ file: "" })),
    hooks: { watcher: { laidOut: () => {}, pages: () => {}, zeroPages: () => {} }, onProgress: () => {} },
    finished: async () => {},
    failed: () => {},
  }),
  verify: async ({ file }) => ({ ...verified, path: file }),
  convert: async () => converted,
  diff: async ({ a, b }) => ({ ...compared, a: { ...compared.a, path: a }, b: { ...compared.b, path: b } }),
  exportSnapshot: async ({ file, output }) => ({ ...exported, input: { ...exported.input, path: file }, path: output }),
  ...insideFakes,
  gdb: async ({ file }) => ({ ...served, path: file }),
  doctor: async () => examined,
};

export interface Outcome {
  readonly code: number;
  readonly stdout: string;
  readonly stderr: string;
  /** Process that the terminal was handed to. */
  readonly heir: number | null;
}

/** Runs the command line in this process and collects what it says. */
export async function cli(
  argv: readonly string[],
  operations: Partial<Operations> = {},
  more: Partial<Surroundings> & { columns?: number } = {},
): Promise<Outcome> {
  let stdout = "";
  let stderr = "";
  let heir: number | null = null;
  const { columns, ...rest } = more;
  const code = await run(argv, {
    operations: operationsWith(operations),
    stdout: { write: (text) => (stdout += text), ...(columns === undefined ? {} : { columns, isTTY: true }) },
    stderr: { write: (text) => (stderr += text) },
    env: {},
    folder: "/here",
    version: "0.1.0",
    signals: {
      abort: new AbortController().signal,
      received: () => null,
      handOver: (pid) => {
        heir = pid;
      },
      hold: () => () => undefined,
    },
    ...rest,
  });
  return { code, stdout, stderr, heir };
}
