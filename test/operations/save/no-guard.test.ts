/** A guard that dies before it could take QEMU's connection: said before the guest is touched. */
import { mkdtempSync, readdirSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, expect, test, vi } from "vitest";
import { guardSave } from "../../../src/operations/save/guarded.ts";
import { journalPath, readJournal } from "../../../src/operations/save/journal.ts";

let folder: string;
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), "fixedram-guard-"));
  vi.stubEnv("XDG_RUNTIME_DIR", folder);
});
afterEach(() => {
  vi.unstubAllEnvs();
  rmSync(folder, { recursive: true });
});

test("listening through a guard that is gone: system.no-guard; done and drain do not wait for it", async () => {
  const qmp = `unix:${join(folder, "qmp")}`;
  const guarded = guardSave({
    version: 1,
    saver: { pid: process.pid, startTime: 0 },
    qmp,
    qemu: null,
    runState: "running",
    settings: { version: 1, capabilities: {}, parameters: {} },
    partial: null,
    folder: null,
  });
  process.kill(readJournal(journalPath(qmp))?.guardPid ?? Number.NaN, "SIGKILL");
  const listening = guarded.listen(join(folder, "migration.sock"), null);
  await expect(listening).rejects.toMatchObject({ code: "system.no-guard", details: { said: "it has ended" } });
  expect(await guarded.drain(true)).toBe(false);
  await guarded.done();
  guarded.leave();
  expect(readdirSync(join(folder, `fixedram-state-${process.getuid?.()}`))).toEqual([]);
});
