/** Who may be recovered, and from what: decided before anything is sent. */
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { expect, onTestFinished, test } from "vitest";
import { readNote, removeNote, writeNote } from "../../../src/operations/lazy/note.ts";
import { requireSame } from "../../../src/operations/lazy/recover-run.ts";
import { recover } from "../../../src/operations/recover.ts";
import { fakeQemu } from "../fake-qemu.ts";
import { encode, failure } from "../synthetic.ts";

test("a guest that waits for nothing is left alone; one of which nothing is known needs --force", async () => {
  const folder = mkdtempSync(join(tmpdir(), "fixedram-recover-"));
  onTestFinished(() => rmSync(folder, { recursive: true }));
  const file = join(folder, "guest.stream");
  writeFileSync(file, encode({ blocks: [["pc.ram", 4]], rounds: [[{ kind: "page", block: 0, page: 1, fill: 7 }]] }));
  const qemu = await fakeQemu();
  for (const status of ["completed", "postcopy-active"]) {
    qemu.state.migration = status;
    expect(await failure(() => recover({ file, qmp: qemu.path }))).toMatchObject({
      code: "qemu.not-paused",
      details: { found: status },
    });
  }
  qemu.state.migration = "postcopy-paused";
  expect((await failure(() => recover({ file, qmp: qemu.path }))).code).toBe("guest.unknown-snapshot");
});

test("the note of a lazy resume keeps another snapshot's pages away", async () => {
  // No process has such a pid.
  const qemu = { pid: 2 ** 22 + 1, startTime: 1 };
  const settings = { version: 1, capabilities: {}, parameters: {} } as const;
  const supervisor = { pid: process.pid, startTime: 1 };
  writeNote({ qemu, snapshot: "a".repeat(64), path: "/srv/web.fram", settings, supervisor, hostPageSizes: [] });
  onTestFinished(() => removeNote(qemu));
  expect(requireSame({ file: "copy.fram" }, { key: "a".repeat(64) }, qemu)?.path).toBe("/srv/web.fram");
  const other = await failure(() => requireSame({ file: "other.fram", force: true }, { key: "b".repeat(64) }, qemu));
  expect(other).toMatchObject({ code: "guest.other-snapshot", details: { found: "b".repeat(64) } });
  removeNote(qemu);
  expect(readNote(qemu)).toBeNull();
  expect(requireSame({ file: "x", force: true }, { key: "a" }, qemu)).toBeNull();
});
