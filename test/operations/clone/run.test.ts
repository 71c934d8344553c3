/** What the operation does around its clones, with a QEMU that ends at once and a snapshot that is never served. */
import { chmodSync, existsSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { expect, onTestFinished, test } from "vitest";
import { FixedramError } from "../../../src/errors.ts";
import { CloneRun } from "../../../src/operations/clone/run.ts";
import type { LazyFile } from "../../../src/operations/lazy/file.ts";
import { failure } from "../synthetic.ts";

/** A snapshot without a seal, whose page server does nothing. */
const opens = (close: () => void) => async () =>
  ({
    snapshot: { seal: { state: "none", reason: null } },
    key: "k",
    keeper: { push: () => {} },
    close: async () => close(),
  }) as unknown as LazyFile;

/** Options, and where the QEMU leaves word that it was started. */
function scene(...words: readonly string[]) {
  const folder = mkdtempSync(join(tmpdir(), "fixedram-clone-run-"));
  onTestFinished(() => rmSync(folder, { recursive: true, force: true }));
  const [qemu, started] = [join(folder, "qemu"), join(folder, "started")];
  writeFileSync(qemu, `#!/bin/sh\n: > ${started}\nexit 1\n`);
  chmodSync(qemu, 0o755);
  return { options: { file: "/x/web.fram", count: 2, command: [qemu, ...words], socketDir: folder }, started };
}

test("a signal that comes while the page server ends is not lost", async () => {
  const controller = new AbortController();
  const reason = new FixedramError("interrupted.signal", "ended by SIGTERM");
  const { options, started } = scene();
  const run = (close: () => void) => new CloneRun({ ...options, signal: controller.signal }, opens(close)).go();
  const { result } = await run(() => {});
  expect(result.clones.map(({ state }) => state)).toEqual(["failed", "failed"]);
  expect(existsSync(started)).toBe(true);
  expect(await failure(() => run(() => controller.abort(reason)))).toBe(reason);
});

test.each([
  ["guest.disk-shared", ["-blockdev", "driver=nbd,server.type=unix,server.path=/s,export=x,node-name=d"]],
  ["guest.disk-shared", ["-drive", "file=disk.qcow2"]],
  ["guest.memory-shared", ["-object", "memory-backend-file,id=m,size=1G,share=on,mem-path=/dev/shm/no-such-vm"]],
])("%s: refused before any QEMU is started, for a single clone too", async (code, words) => {
  const { options, started } = scene(...words);
  for (const count of [1, 2])
    expect(
      (
        await failure(() =>
          new CloneRun(
            { ...options, count },
            opens(() => {}),
          ).go(),
        )
      ).code,
    ).toBe(code);
  expect(existsSync(started)).toBe(false);
});
