/** A save whose target's disk fills up, goes away or turns read-only. Needs root for its mounts; on the newest QEMU there is. */
import { execFileSync, spawnSync } from "node:child_process";
import { mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { describe, expect, test } from "vitest";
import type { SaverEnd } from "./breaking/saver.ts";
import { Scene } from "./breaking/scene.ts";
import { atTestEnd, hasQemu, qemu, qemus, requireAll } from "./harness/index.ts";

const OLD = "the older file, of another kind altogether";
const PAGE = 4096;
const guest = { qemu: qemu(hasQemu("new") ? "new" : "old"), kind: "boot", zeroing: true } as const;

/** Mounts on `folder`; unmounts at the end of the test. */
function mount(folder: string, ...args: string[]): void {
  execFileSync("mount", [...args, folder], { encoding: "utf8" });
  atTestEnd(() => {
    spawnSync("umount", [folder]);
  });
}

const mayMount = ((): boolean => {
  const folder = mkdtempSync(join(tmpdir(), "fixedram-mount-"));
  try {
    if (spawnSync("mount", ["-t", "tmpfs", "tmpfs", folder]).status !== 0) return false;
    return spawnSync("umount", [folder]).status === 0;
  } finally {
    rmSync(folder, { recursive: true });
  }
})();
if (!mayMount) console.warn("the tests of full and read-only disks need root, to mount");
const testWithMounts = test.skipIf(!mayMount && !requireAll);

function targetFolder(): string {
  const folder = mkdtempSync(join(tmpdir(), "fixedram-target-"));
  atTestEnd(() => rmSync(folder, { recursive: true, force: true }));
  return folder;
}

function expectDiskFull(end: SaverEnd): void {
  expect(end, end.stdout + end.stderr).toMatchObject({ code: 5, answer: { error: { code: "system.disk-full" } } });
}

testWithMounts.each(["running", "paused"] as const)(
  "a disk that fills: while pages come, at the tail, at the bitmaps and the seal; guest %s",
  async (state) => {
    const folder = targetFolder();
    mount(folder, "-t", "tmpfs", "-o", "size=256m", "tmpfs");
    const out = join(folder, "guest.fram");
    const scene = await Scene.make({ guest });
    await scene.bring(state);
    const whole = await scene.saver([], { out }).ended;
    expect(whole, whole.stdout).toMatchObject({ code: 0 });
    const { allocated } = (whole.answer as unknown as { sizes: { allocated: number } }).sizes;
    writeFileSync(out, OLD);
    const phases = new Set<string | null>();
    for (const missing of [1, 2, 3, 4, 6, 8, 12, 16, 32, allocated / PAGE / 2, allocated / PAGE - 8]) {
      // The older file's one page, the new file but for what is missing. A guest that runs has other pages each time.
      const slack = state === "running" ? 300 : 0;
      const size = allocated + PAGE * (1 - Math.floor(missing) - slack);
      if (size < 8 * PAGE) continue;
      execFileSync("mount", ["-o", `remount,size=${size}`, folder]);
      const end = await scene.saver([], { out }).ended;
      expectDiskFull(end);
      phases.add(end.phase);
      await scene.expectAlive(state);
      expect(readFileSync(out, "utf8")).toBe(OLD);
      expect(readdirSync(folder)).toEqual(["guest.fram"]);
      await scene.expectSettled();
      if ((await scene.runState()) === "postmigrate") await scene.bring(state);
    }
    expect([...phases]).toContain("ram");
    if (state === "paused") expect([...phases]).toContain("sync");
    execFileSync("mount", ["-o", "remount,size=256m", folder]);
    const last = await scene.saver([], { out }).ended;
    expect(last, last.stdout).toMatchObject({ code: 0 });
    await scene.bring("running");
    await scene.expectVerdict();
  },
);

describe.each(qemus())("QEMU $label ($version)", (one) => {
  // On QEMU before 8.1 the rest of the stream is read all the same: a connection that breaks would freeze the guest.
  testWithMounts.each(["background", "live", "stop"])("a tiny disk that fills during a %s save", async (mode) => {
    const folder = targetFolder();
    mount(folder, "-t", "tmpfs", "-o", "size=4m", "tmpfs");
    const out = join(folder, "guest.fram");
    writeFileSync(out, OLD);
    const scene = await Scene.make({ guest: { ...guest, qemu: one } });
    const args = ["--mode", mode, ...(mode === "live" ? ["--force", "--max-rounds", "3"] : [])];
    const end = await scene.saver(args, { out }).ended;
    expectDiskFull(end);
    expect(end.notices).toContain("little-space");
    await scene.expectAlive("running");
    expect(readFileSync(out, "utf8")).toBe(OLD);
    expect(readdirSync(folder)).toEqual(["guest.fram"]);
    await scene.expectSettled();
    await scene.expectVerdict();
    await scene.expectSave(args);
    await scene.expectVerdict();
  });
});

test("the target's folder is removed on the way", async () => {
  const folder = targetFolder();
  const scene = await Scene.make({ guest });
  const saver = scene.saver([], { out: join(folder, "guest.fram") });
  saver.when("ram", () => rmSync(folder, { recursive: true }));
  const end = await saver.ended;
  expect(end, end.stdout + end.stderr).toMatchObject({ code: 5, answer: { error: { code: "system.not-found" } } });
  await scene.expectAlive("running");
  await scene.expectSettled();
  await scene.expectSave();
  await scene.expectVerdict();
});

test("somebody puts a folder where the file should go", async () => {
  const folder = targetFolder();
  const out = join(folder, "guest.fram");
  const scene = await Scene.make({ guest });
  const saver = scene.saver([], { out });
  saver.when("ram", () => mkdirSync(out));
  const end = await saver.ended;
  expect(end, end.stdout + end.stderr).toMatchObject({ code: 5, answer: { error: { code: "system.io" } } });
  expect(end.answer?.error?.path).toBe(out);
  expect(readdirSync(folder)).toEqual(["guest.fram"]);
  await scene.expectAlive("running");
  await scene.expectSettled();
  await scene.expectVerdict();
});

testWithMounts("the target's folder turns read-only on the way; the next save names what is left there", async () => {
  const folder = targetFolder();
  const out = join(folder, "guest.fram");
  writeFileSync(out, OLD);
  const scene = await Scene.make({ guest });
  const saver = scene.saver([], { out });
  saver.when("ram", () => {
    mount(folder, "--bind", folder);
    execFileSync("mount", ["-o", "remount,ro,bind", folder]);
  });
  const end = await saver.ended;
  expect(end, end.stdout + end.stderr).toMatchObject({ code: 5, answer: { error: { code: "system.permission" } } });
  expect(readFileSync(out, "utf8")).toBe(OLD);
  await scene.expectAlive("running");
  await scene.expectSettled();
  execFileSync("umount", [folder]);
  expect(readdirSync(folder)).toHaveLength(2);
  const next = await scene.saver([], { out }).ended;
  expect(next, next.stdout).toMatchObject({ code: 0 });
  expect(next.notices).toContain("left-over");
  await scene.expectVerdict();
});
