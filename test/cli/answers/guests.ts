/** What commands that have to do with running guests are given in tests. */
import type { CloneStatus, Clones } from "../../../src/operations/clone.ts";
import type { RecoverResult } from "../../../src/operations/recover.ts";
import type { ResumeResult } from "../../../src/operations/resume.ts";
import type { LazyResumeResult } from "../../../src/operations/resume-lazy.ts";
import type { SaveResult } from "../../../src/operations/save.ts";

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
