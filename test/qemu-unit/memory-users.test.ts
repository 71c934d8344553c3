import { spawn } from "node:child_process";
import { once } from "node:events";
import { closeSync, copyFileSync, mkdtempSync, openSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, expect, test } from "vitest";
import type { MemoryBackend } from "../../src/qemu/inspect.ts";
import { otherUserOfMemory } from "../../src/qemu/memory-users.ts";

let folder = "";
let ends: (() => Promise<void>)[] = [];
beforeEach(async () => {
  folder = mkdtempSync(join(tmpdir(), "fixedram-test-"));
  writeFileSync(join(folder, "memory"), "guest");
  other.pid = await start("/bin/sleep", "ignore");
});
afterEach(async () => {
  for (const end of ends) await end();
  ends = [];
  rmSync(folder, { recursive: true, force: true });
});

const backend = (more: Partial<MemoryBackend> = {}): MemoryBackend => ({
  ...{ id: "ram0", size: 1, shared: true, type: "memory-backend-file", path: join(folder, "memory") },
  ...more,
});
const us = { pid: process.pid, cwd: "/" };
/** Another QEMU, which has nothing to do with these. */
const other = { pid: 0, cwd: "/" };

/** A process of that name that has the memory open. */
async function holder(name: string): Promise<number> {
  const program = join(folder, name);
  copyFileSync("/bin/sleep", program);
  const fd = openSync(join(folder, "memory"), "r+");
  try {
    return await start(program, fd);
  } finally {
    closeSync(fd);
  }
}

async function start(program: string, file: number | "ignore"): Promise<number> {
  const child = spawn(program, ["60"], { stdio: ["ignore", "ignore", "ignore", file] });
  ends.push(async () => {
    const ended = once(child, "exit");
    child.kill("SIGKILL");
    await ended;
  });
  await once(child, "spawn");
  return child.pid ?? -1;
}

test("another QEMU with the same memory file is found, under whatever name the file goes", async () => {
  const pid = await holder("qemu-system-test");
  const path = join(folder, "memory");
  expect(otherUserOfMemory([backend()], other)).toEqual({ backend: "ram0", path, pid });
  expect(otherUserOfMemory([backend({ path: "memory" })], { ...other, cwd: folder })).toMatchObject({ pid });
  expect(otherUserOfMemory([backend({ path: null }), backend()], other)).toMatchObject({ pid });
});

test("nobody: private or unnamed memory, a folder, the QEMU itself or one below it, a server that is no QEMU", async () => {
  const pid = await holder("qemu-system-test");
  expect(otherUserOfMemory([backend({ shared: false })], other)).toBeNull();
  expect(otherUserOfMemory([backend({ path: "" })], other)).toBeNull();
  expect(otherUserOfMemory([backend({ path: folder })], other)).toBeNull();
  expect(otherUserOfMemory([backend({ path: join(folder, "gone") })], other)).toBeNull();
  expect(otherUserOfMemory([backend()], null)).toBeNull();
  expect(otherUserOfMemory([backend()], { pid, cwd: "/" })).toBeNull();
  // As behind sudo: what we know is the process that started it.
  expect(otherUserOfMemory([backend()], us)).toBeNull();
});

test("a process that serves the memory to its guest is no other guest", async () => {
  await holder("virtiofsd");
  expect(otherUserOfMemory([backend()], other)).toBeNull();
});
