/** The page server that is started before anything is known: real processes. */
import type { ChildProcess } from "node:child_process";
import { closeSync, mkdtempSync, openSync, readFileSync, renameSync, rmSync, statSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { expect, onTestFinished, test } from "vitest";
import { startSpareServer, takeServer } from "../../../src/operations/lazy/server-process.ts";

function scene() {
  const folder = mkdtempSync(join(tmpdir(), "fixedram-spare-"));
  onTestFinished(() => rmSync(folder, { recursive: true }));
  const path = join(folder, "guest.fram");
  writeFileSync(path, "one");
  const seen = new Set(servers());
  startSpareServer(path);
  return { path, spare: servers().filter((pid) => !seen.has(pid)) };
}

/** Page servers of this process; a thread's children are those that it has started. */
function servers(): readonly number[] {
  const children = readFileSync(`/proc/thread-self/children`, "utf8").trim().split(" ").filter(Boolean).map(Number);
  return children.filter((pid) => readFileSync(`/proc/${pid}/cmdline`, "latin1").includes("lazy/server"));
}

function taken(path: string): ChildProcess {
  const fd = openSync(path, "r");
  try {
    const child = takeServer(fd);
    onTestFinished(async () => {
      child.kill("SIGKILL");
      await ended(child);
    });
    return child;
  } finally {
    closeSync(fd);
  }
}

const ended = (child: ChildProcess) =>
  new Promise<void>((resolve) => {
    if (child.exitCode !== null || child.signalCode !== null) resolve();
    child.once("exit", () => resolve());
  });

/** The file that a server holds. */
const heldBy = ({ pid }: ChildProcess) => statSync(`/proc/${pid}/fd/4`).ino;

test("is the one that serves the file it was started for; the next is a new one", () => {
  const { path, spare } = scene();
  const first = taken(path);
  expect(spare).toEqual([first.pid]);
  const second = taken(path);
  expect(second.pid).not.toBe(first.pid);
  for (const each of [first, second]) expect(heldBy(each)).toBe(statSync(path).ino);
});

test("is ended when another file has taken the name meanwhile: that one is served", async () => {
  const { path, spare } = scene();
  writeFileSync(`${path}.new`, "two");
  renameSync(`${path}.new`, path);
  const child = taken(path);
  expect(spare).toHaveLength(1);
  expect(spare).not.toContain(child.pid);
  expect(heldBy(child)).toBe(statSync(path).ino);
  await expect.poll(() => servers().filter((pid) => spare.includes(pid)), { timeout: 10_000 }).toEqual([]);
});

test("is not started for what is no file", () => {
  const before = servers();
  for (const path of ["/dev/zero", tmpdir(), "/nonexistent"]) startSpareServer(path);
  expect(servers()).toEqual(before);
});
