/**
 * A guard that does not start, or dies before it could take QEMU's connection: said before the guest is touched. And one that was
 * started before there was a save.
 */
import { once } from "node:events";
import { mkdtempSync, readdirSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, expect, onTestFinished, test, vi } from "vitest";
import { startSpareGuard, takeGuard } from "../../../src/operations/save/guard-process.ts";
import { dropGuard, guardSave, startGuard } from "../../../src/operations/save/guarded.ts";
import { journalPath, readJournal } from "../../../src/operations/save/journal.ts";
import { startTimeOf } from "../../../src/qemu/process.ts";

let folder: string;
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), "fixedram-guard-"));
  vi.stubEnv("XDG_RUNTIME_DIR", folder);
});
afterEach(() => {
  vi.unstubAllEnvs();
  rmSync(folder, { recursive: true });
});

/** Guards are started by this program. */
function guardsRunIn(program: string): void {
  const { execPath } = process;
  process.execPath = program;
  onTestFinished(() => {
    process.execPath = execPath;
  });
}

function script(text: string): string {
  const path = join(folder, "program");
  writeFileSync(path, `#!/bin/sh\n${text}\n`, { mode: 0o755 });
  return path;
}

function entry() {
  return {
    version: 1 as const,
    saver: { pid: process.pid, startTime: 0 },
    qmp: `unix:${join(folder, "qmp")}`,
    qemu: null,
    runState: "running",
    settings: { version: 1 as const, capabilities: {}, parameters: {} },
    partial: null,
    folder: null,
  };
}

const notes = () => readdirSync(folder, { recursive: true, encoding: "utf8" }).filter((name) => name.includes("save-"));

test.each([
  ["that is not there", () => "/nowhere/node", "ENOENT"],
  ["that ends at once", () => "/bin/false", "exit code 1"],
  ["that is killed", () => script("kill -9 $$"), "SIGKILL"],
])("a guard in a Node %s: system.no-guard, and no note", async (_name, program, said) => {
  guardsRunIn(program());
  const saving = guardSave(entry());
  await expect(saving).rejects.toMatchObject({ code: "system.no-guard" });
  await expect(saving).rejects.toHaveProperty("details.said", expect.stringContaining(said));
  expect(notes()).toEqual([]);
});

test("a guard that starts and says nothing is waited for until the signal, and ended then", async () => {
  guardsRunIn(script("exec sleep 1000"));
  const guard = startGuard(entry().qmp);
  const saving = guardSave(entry(), guard, AbortSignal.timeout(50));
  await expect(saving).rejects.toThrow(/timeout|abort/i);
  await vi.waitFor(() => expect(startTimeOf(guard.process.pid ?? 0)).toBe(null), { timeout: 10_000 });
  expect(notes()).toEqual([]);
});

test("listening through a guard that is gone: system.no-guard; done and drain do not wait for it", async () => {
  const guarded = await guardSave(entry());
  process.kill(readJournal(journalPath(entry().qmp))?.guardPid ?? Number.NaN, "SIGKILL");
  const listening = guarded.listen(join(folder, "migration.sock"), null);
  await expect(listening).rejects.toMatchObject({ code: "system.no-guard", details: { said: "it has ended" } });
  expect(await guarded.drain(true)).toBe(false);
  await guarded.done();
  guarded.leave();
  expect(notes()).toEqual([]);
});

test("a spare guard is taken by the next save, and only by that", async () => {
  startSpareGuard();
  startSpareGuard();
  const [first, second] = [startGuard(entry().qmp), startGuard(`${entry().qmp}2`)];
  expect(await Promise.all([first.ready, second.ready])).toEqual([null, null]);
  expect(second.process.pid).not.toBe(first.process.pid);
  for (const guard of [first, second]) dropGuard(guard);
});

test("a spare guard that could not start is replaced", async () => {
  const { execPath } = process;
  process.execPath = "/nowhere/node";
  startSpareGuard();
  process.execPath = execPath;
  const guarded = await guardSave(entry());
  await guarded.done();
  expect(notes()).toEqual([]);
});

test("a guard that no save claims ends when its process does", async () => {
  const guard = takeGuard();
  guard.disconnect();
  expect(await once(guard, "exit")).toEqual([0, null]);
});
