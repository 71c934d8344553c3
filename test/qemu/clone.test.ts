/** Many guests from one snapshot: each runs by itself, and what happens to one happens to no other. */
import { existsSync, readdirSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, test } from "vitest";
import { type Guest, type Qemu, qemus, type Status, sha256, startGuest, testFolder } from "./harness/index.ts";
import { clone } from "./support/clones.ts";
import { slowly } from "./support/lazy.ts";
import { isRunning } from "./support/processes.ts";
import { expectWell, save } from "./support/steps.ts";

interface Saved {
  readonly guest: Guest;
  readonly file: string;
  readonly before: Status;
}

async function saved(one: Qemu, kind: "boot" | "linux" = "boot"): Promise<Saved> {
  const guest = await startGuest(
    kind === "boot" ? { qemu: one, kind, memory: 96, still: 48, dirtyRate: 4 } : { qemu: one, kind, machine: "q35" },
  );
  const before = await guest.ready(120_000);
  const file = join(testFolder(), "guest.fram");
  await save(guest, file, "--then", "quit");
  await guest.exited;
  return { guest, file, before };
}

describe.each(qemus())("QEMU $label ($version)", { timeout: 300_000 }, (one) => {
  test("a killed clone, a killed page server: the others have all of their memory; Ctrl-C ends them all", async () => {
    const { guest, file, before } = await saved(one);
    const digest = await sha256(file);
    const clones = clone(guest, file, one, 3, slowly);
    await clones.until(["running"]);
    const pids = [1, 2, 3].map((number) => clones.status(number)?.pid ?? 0);
    const first = clones.server() ?? 0;
    process.kill(pids[1] ?? 0, "SIGKILL");
    await clones.until(["failed"], [2]);
    expect(clones.status(2)?.error).toMatchObject({ code: "qemu.died" });
    process.kill(first, "SIGKILL");
    await expect.poll(() => clones.server() ?? first, { timeout: 10_000, interval: 10 }).not.toBe(first);
    const { clones: results } = await clones.answer();
    expect(results.map(({ state }) => state)).toEqual(["loaded", "failed", "loaded"]);
    expect(results.map(({ recoveries }) => recoveries)).toEqual([1, 0, 1]);
    expect(clones.server()).toBeNull();
    for (const number of [1, 3]) expectWell(await clones.verdict(number), before);
    expect(pids.map(isRunning)).toEqual([true, false, true]);
    clones.signal("SIGINT");
    expect((await clones.ended).code).toBe(130);
    expect(pids.filter(isRunning)).toEqual([]);
    expect(await sha256(file)).toBe(digest);
  });

  test("Linux guests write to disks of their own: overlays in a temporary folder, the recorded image is only read", async () => {
    const { guest, file, before } = await saved(one, "linux");
    const disk = join(guest.folder, "disk.qcow2");
    const digest = await sha256(disk);
    const clones = clone(guest, file, one, 2, ["--verify"]);
    const { overlays, clones: results } = await clones.answer();
    expect(results.map(({ state, error }) => [state, error])).toEqual([
      ["loaded", null],
      ["loaded", null],
    ]);
    const verdicts = await Promise.all([1, 2].map((number) => clones.verdict(number)));
    for (const verdict of verdicts) expectWell(verdict, before);
    const folder = overlays?.folder ?? "";
    expect([overlays?.kept, readdirSync(folder).length]).toEqual([false, 2]);
    expect(clones.stderr()).toMatch(/"code":"shared-mac"/);
    clones.signal("SIGTERM");
    expect((await clones.ended).code).toBe(143);
    expect([existsSync(folder), await sha256(disk)]).toEqual([false, digest]);
  });
});
