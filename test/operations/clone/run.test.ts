/** What the operation does around its clones, with QEMUs that end at once. */
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { beforeEach, expect, onTestFinished, test, vi } from "vitest";
import { FixedramError } from "../../../src/errors.ts";
import { clone } from "../../../src/operations/clone.ts";
import { failure } from "../synthetic.ts";

let closing: () => void = () => {};
let started = 0;

vi.mock("../../../src/operations/lazy/file.ts", () => ({
  openLazyFile: async () => ({
    snapshot: { seal: { state: "none", reason: null } },
    key: "k",
    keeper: { push: () => {} },
    close: async () => closing(),
  }),
}));
vi.mock("../../../src/operations/resume/destination.ts", () => ({
  start: async () => {
    started++;
    throw new FixedramError("qemu.ended", "QEMU ended");
  },
}));

beforeEach(() => {
  closing = () => {};
  started = 0;
});

function options(...words: readonly string[]) {
  const socketDir = mkdtempSync(join(tmpdir(), "fixedram-clone-run-"));
  onTestFinished(() => rmSync(socketDir, { recursive: true, force: true }));
  return { file: "/x/web.fram", count: 2, command: ["qemu", ...words], socketDir };
}

test("a signal that comes while the page server ends is not lost", async () => {
  const controller = new AbortController();
  const reason = new FixedramError("interrupted.signal", "ended by SIGTERM");
  const { result } = await clone({ ...options(), signal: controller.signal });
  expect(result.clones.map(({ state }) => state)).toEqual(["failed", "failed"]);
  closing = () => controller.abort(reason);
  expect(await failure(() => clone({ ...options(), signal: controller.signal }))).toBe(reason);
});

test.each([
  ["guest.disk-shared", ["-blockdev", "driver=nbd,server.type=unix,server.path=/s,export=x,node-name=d"]],
  ["guest.disk-shared", ["-drive", "file=disk.qcow2"]],
  ["guest.memory-shared", ["-object", "memory-backend-file,id=m,size=1G,share=on,mem-path=/dev/shm/no-such-vm"]],
])("%s: refused before any QEMU is started, for a single clone too", async (code, words) => {
  for (const count of [1, 2]) {
    expect((await failure(() => clone({ ...options(...words), count }))).code).toBe(code);
  }
  expect(started).toBe(0);
});
