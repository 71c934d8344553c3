/** Lazy resumes on a terminal: Ctrl-C while pages are outstanding, and guests whose console is the terminal. */
import { join } from "node:path";
import { expect, test } from "vitest";
import { guestArgv, qemu, Serial, sha256, startGuest, testFolder, verdictOf } from "./harness/index.ts";
import { slowly } from "./support/lazy.ts";
import { isRunning, processesWith } from "./support/processes.ts";
import { expectWell, resumeCommand, save } from "./support/steps.ts";
import { onTerminal } from "./support/terminal.ts";

async function saved() {
  const guest = await startGuest({ qemu: qemu("new"), kind: "boot", memory: 128, still: 64, dirtyRate: 8 });
  const before = await guest.ready(20_000);
  const file = join(testFolder(), "guest.fram");
  await save(guest, file, "--then", "quit");
  await guest.exited;
  return { guest, file, before };
}

const patience = { timeout: 30_000 };

test("the first Ctrl-C explains and ends nothing; later it is QEMU's", { timeout: 120_000 }, async () => {
  const { guest, file, before } = await saved();
  const { argv, serialPath } = resumeCommand({ ...guest.options, qemu: qemu("new") });
  const terminal = onTerminal(["resume", file, "--lazy", ...slowly, "--", ...argv], serialPath);
  await expect.poll(() => terminal.shown(), patience).toMatch(/the guest is running/);
  terminal.type("\x03");
  await expect.poll(() => terminal.shown(), patience).toMatch(/Once more ends QEMU, and with it the guest;/);
  const serial = await Serial.connect(serialPath, 10_000);
  await expect.poll(() => terminal.shown(), patience).toMatch(/all RAM in|Resumed/i);
  expectWell(await verdictOf(serial, "boot"), before);
  terminal.type("\x03");
  expect([0, 130]).toContain(await terminal.ended);
  expect(processesWith(serialPath)).toEqual([]);
});

test("the second Ctrl-C ends QEMU and the page server, the snapshot stays", { timeout: 120_000 }, async () => {
  const { guest, file } = await saved();
  const digest = await sha256(file);
  const { argv, serialPath } = resumeCommand({ ...guest.options, qemu: qemu("new") });
  const terminal = onTerminal(["resume", file, "--lazy", ...slowly, "--", ...argv], serialPath);
  await expect.poll(() => terminal.shown(), patience).toMatch(/page server \d+/);
  const server = Number(/page server (\d+)/.exec(terminal.shown())?.[1]);
  terminal.type("\x03");
  await expect.poll(() => terminal.shown(), patience).toMatch(/Once more ends QEMU/);
  expect(isRunning(server)).toBe(true);
  terminal.type("\x03");
  expect(await terminal.ended).toBe(130);
  expect(processesWith(serialPath)).toEqual([]);
  expect(isRunning(server)).toBe(false);
  expect(await sha256(file)).toBe(digest);
});

test("a guest whose console is the terminal reads it, Ctrl-C included", { timeout: 120_000 }, async () => {
  const { guest, file } = await saved();
  const { incoming: _incoming, ...bare } = guest.options;
  const mark = join(testFolder(), "pid");
  const console = ["-display", "none", "-serial", "mon:stdio", "-pidfile", mark];
  const argv = [...guestArgv({ ...bare, qemu: qemu("new") }, undefined), ...console];
  const terminal = onTerminal(["resume", file, "--lazy", ...slowly, "--", ...argv], mark);
  await expect.poll(() => terminal.shown(), patience).toMatch(/the guest is running/);
  terminal.type("?");
  await expect.poll(() => terminal.shown(), patience).toMatch(/alive /);
  // A key like any other to this guest, which goes on.
  terminal.type("\x03");
  const answers = () => terminal.shown().match(/alive /g)?.length ?? 0;
  const answered = answers();
  terminal.type("?");
  await expect.poll(answers, patience).toBeGreaterThan(answered);
  expect(terminal.shown()).not.toMatch(/Once more ends/);
  // QEMU's own keys: Ctrl-A x ends it.
  await expect.poll(() => terminal.shown(), patience).toMatch(/all RAM in|Resumed/i);
  terminal.type("\x01x");
  expect(await terminal.ended).toBe(0);
  expect(processesWith(mark)).toEqual([]);
});
