/** What else can go wrong in a save, made to happen: QEMU dies, signals, QMP breaks. The guest, the old file and the exit code. */
import { join } from "node:path";
import { describe, expect, test } from "vitest";
import { settles } from "./breaking/processes.ts";
import { QmpProxy } from "./breaking/proxy.ts";
import { PHASES } from "./breaking/saver.ts";
import { Scene } from "./breaking/scene.ts";
import { qemus } from "./harness/index.ts";

const MODES = ["stop", "background"] as const;
const guestOf = (qemu: ReturnType<typeof qemus>[number]) => ({ guest: { qemu, kind: "boot", zeroing: true } as const });

describe.each(qemus())("QEMU $label ($version)", (one) => {
  test.each(MODES)("QEMU is killed in every phase of a %s save", async (mode) => {
    const scene = await Scene.make(guestOf(one));
    for (const phase of PHASES) {
      const saver = scene.saver(["--mode", mode]);
      saver.when(phase, () => void scene.guest.kill());
      const end = await saver.ended;
      const words = `${phase}, then ${end.phase}: ${end.stdout}${end.stderr}`;
      const file = await scene.file();
      // The device state is a few KiB: when we hear of it, all of the stream may be here.
      if (PHASES.indexOf(phase) < PHASES.indexOf("device-state")) expect(file, words).toBe("old");
      if (end.code === 0) expect(phase, words).toBe("finish");
      else {
        expect(end.code, words).toBe(4);
        expect(end.answer?.error?.code, words).toMatch(/^(qmp|qemu)\./);
        if (file === "new") expect(end.answer?.error?.hint, words).toContain("complete");
      }
      await scene.expectNothingLeft();
      await scene.remember();
      await scene.boot();
    }
  });

  test.each([...MODES, "live"] as const)("a signal in every phase of a %s save", async (mode) => {
    const scene = await Scene.make(guestOf(one));
    // Without a limit a guest that rewrites memory as this one does would be saved for ever.
    const args = ["--mode", mode, ...(mode === "live" ? ["--force", "--max-rounds", "2"] : [])];
    for (const [index, phase] of PHASES.entries()) {
      const [signal, code] = index % 2 === 0 ? (["SIGINT", 130] as const) : (["SIGTERM", 143] as const);
      const saver = scene.saver(args);
      saver.when(phase, () => saver.signal(signal));
      const end = await saver.ended;
      const words = `${signal} in ${phase}, then ${end.phase}: ${end.stdout}${end.stderr}`;
      const file = await scene.file();
      if (file === "old") {
        expect(end.code, words).toBe(code);
        expect(end.answer?.error?.code, words).toBe("interrupted.signal");
      } else expect(end.code, words).toBe(0);
      if (PHASES.indexOf(phase) < PHASES.indexOf("device-state")) expect(file, words).toBe("old");
      await scene.expectAlive("running");
      expect(scene.leftOvers(), words).toBeNull();
      await scene.expectSettled();
      await scene.remember();
    }
    await scene.expectVerdict();
    await scene.expectSave(args);
  });

  test.each(MODES)("the QMP connection of a %s save is cut: we come back and put things right", async (mode) => {
    const scene = await Scene.make(guestOf(one));
    const proxy = await QmpProxy.listen(join(scene.folder, "proxy"), scene.guest.qmpPath);
    for (const phase of ["connect", "ram"] as const) {
      const saver = scene.saver(["--mode", mode], { qmp: proxy.path });
      saver.when(phase, () => proxy.cut());
      const end = await saver.ended;
      expect(end, end.stdout + end.stderr).toMatchObject({ code: 4, answer: { error: { code: "qmp.closed" } } });
      expect(await scene.file()).toBe("old");
      await scene.expectAlive("running");
      await scene.expectSettled();
    }
    await scene.expectVerdict();
    await scene.expectSave(["--mode", mode]);
  });

  test("the QMP socket goes away for good: said, the guest runs, and the next save at that address puts the settings back", async () => {
    const scene = await Scene.make(guestOf(one));
    const path = join(scene.folder, "proxy");
    const proxy = await QmpProxy.listen(path, scene.guest.qmpPath);
    const saver = scene.saver([], { qmp: path });
    saver.when("ram", () => proxy.close());
    const end = await saver.ended;
    expect(end, end.stdout + end.stderr).toMatchObject({ code: 4, answer: { error: { code: "qmp.closed" } } });
    expect(end.answer?.error?.hint).toContain("could not be put back");
    await scene.expectAlive("running");
    expect(await scene.file()).toBe("old");
    expect(await scene.settingsDiffer()).toBe(true);
    // The guard has not given up.
    await QmpProxy.listen(path, scene.guest.qmpPath);
    expect(await settles(async () => ((await scene.settingsDiffer()) ? "settings differ" : null), 15_000)).toBeNull();
    await scene.expectSettled();
    await scene.expectVerdict();
    await scene.expectSave();
  });

  test("a QMP that answers late", async () => {
    const scene = await Scene.make(guestOf(one));
    const proxy = await QmpProxy.listen(join(scene.folder, "proxy"), scene.guest.qmpPath);
    proxy.delay = 40;
    for (const mode of MODES) {
      const end = await scene.saver(["--mode", mode], { qmp: proxy.path }).ended;
      expect(end, end.stdout + end.stderr).toMatchObject({ code: 0 });
      await scene.expectAlive("running");
      await scene.expectSettled();
    }
    await scene.expectVerdict();
    await scene.expectLoads();
  });

  test("a paused guest that is to stay paused goes back to paused, where QEMU can, and is saved again", async () => {
    const scene = await Scene.make(guestOf(one));
    await scene.bring("paused");
    const end = await scene.expectSave(["--then", "pause"]);
    expect(end.answer?.runState).toEqual({ before: "paused", after: one.major < 8 ? "postmigrate" : "paused" });
    await scene.expectSettled();
    await scene.bring("paused");
    await scene.expectSave(["--then", "pause"]);
    await scene.bring("running");
    await scene.expectVerdict();
  });
});
