/**
 * A save whose file QEMU writes itself is broken into, at any moment: the guest goes on as it was, whoever dies, and nothing stays behind.
 * FIXEDRAM_LONG=1: many more times.
 */
import { execFileSync, spawnSync } from "node:child_process";
import { mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { describe, expect, test } from "vitest";
import { Chance } from "./breaking/random.ts";
import { PHASES, type Phase } from "./breaking/saver.ts";
import { Scene } from "./breaking/scene.ts";
import { atTestEnd, hasQemu, qemu, requireAll } from "./harness/index.ts";

const LONG = (process.env.FIXEDRAM_LONG ?? "") !== "";
const KILLS = LONG ? 60 : 4;
const TIME = LONG ? 1_200_000 : 120_000;
const OWN = ["--transport", "mapped-ram"] as const;
/** Those that such a save goes through, in order; QEMU writes in `ram`. */
const OWN_PHASES = PHASES.filter((phase) => phase !== "device-state");
const chance = new Chance();

/** Large enough that QEMU writes for a while. */
const options = { kind: "boot", zeroing: true, memory: 128, still: 32, dirtyRate: 16 } as const;

describe.skipIf(!hasQemu("new"))("QEMU 10", () => {
  const scene = (more = {}) => Scene.make({ guest: { ...options, ...more, qemu: qemu("new") } });

  test.each(["stop", "live"])(
    `the saver of a %s save is killed ${KILLS} times`,
    async (mode) => {
      const one = await scene();
      for (let n = 0; n < KILLS; n++) {
        const phase: Phase = OWN_PHASES[n % OWN_PHASES.length] ?? "ram";
        const delay = chance.below(phase === "ram" ? 200 : 30);
        const then = chance.pick(["resume", "pause", "quit"] as const);
        const words = `kill ${n} of FIXEDRAM_SEED=${chance.seed}: ${mode}, ${phase} + ${delay} ms, --then ${then}`;
        const limits = mode === "live" ? ["--max-rounds", "3"] : [];
        // Past the page cache QEMU writes on channels: those are never cancelled.
        const direct = chance.next() < 0.5 ? ["--direct-io", "on"] : [];
        const saver = one.saver(["--mode", mode, ...limits, "--then", then, ...OWN, ...direct]);
        saver.when(phase, () => setTimeout(() => saver.signal("SIGKILL"), delay));
        const end = await saver.ended;
        if (end.signal === null) {
          expect(end, words + end.stdout).toMatchObject({ code: 0 });
          if (then === "quit") await one.boot();
          await one.bring("running");
          await one.remember();
          continue;
        }
        const file = await one.file();
        // With its name, and `quit` or `pause`, what was asked for may be done already.
        if (file === "new" && then !== "resume") {
          await one.expectNothingLeft();
          if (then === "quit" && (await one.hasQuit())) await one.boot();
          else await one.bring("running");
        }
        await one.expectAlive("running").catch((error: unknown) => {
          throw new Error(`${words}\n${error}`);
        });
        await one.expectSettled();
        await one.expectVerdict();
        await one.expectSave(OWN);
      }
      await one.expectLoads();
    },
    TIME,
  );

  test.each([
    ["stop", "ram", 60],
    // QEMU stops the guest a tenth of a second after it began, in either mode, and has written the rest soon after.
    ["stop", "ram", 110],
    ["live", "ram", 60],
    ["stop", "seal", 0],
  ] as const)(
    "saver and guard of a %s save are killed (%s + %i ms): QEMU lets the guest go on by itself",
    async (mode, phase, delay) => {
      const one = await scene();
      const saver = one.saver(["--mode", mode, ...OWN]);
      saver.when(phase, () =>
        setTimeout(() => {
          process.kill(one.guardPid() ?? Number.NaN, "SIGKILL");
          saver.signal("SIGKILL");
        }, delay),
      );
      expect(await saver.ended).toMatchObject({ signal: "SIGKILL" });
      await one.expectAlive("running");
      expect(await one.file()).toBe("old");
      const next = await one.expectSave(OWN);
      expect(next.notices).toContain("earlier-save");
      await one.expectSettled();
      await one.expectVerdict();
    },
  );

  test("--then pause, saver and guard killed while the file is sealed: the next save lets the guest go on", async () => {
    const one = await scene();
    const saver = one.saver(["--then", "pause", ...OWN]);
    saver.when("seal", () => {
      process.kill(one.guardPid() ?? Number.NaN, "SIGKILL");
      saver.signal("SIGKILL");
    });
    expect(await saver.ended).toMatchObject({ signal: "SIGKILL" });
    expect(await one.runState()).toBe("postmigrate");
    const next = await one.expectSave(OWN);
    expect(next.notices).toContain("earlier-save");
    await one.expectAlive("running");
    await one.expectSettled();
    await one.expectVerdict();
  });

  test.each(["resume", "pause", "quit"])("Ctrl-C at any moment, --then %s", async (then) => {
    const one = await scene();
    for (const [phase, delay] of [
      ["connect", 0],
      ["ram", 40],
      ["ram", 180],
      ["seal", 0],
      ["sync", 0],
    ] as const) {
      const direct = delay === 40 ? ["--direct-io", "on"] : [];
      const saver = one.saver(["--then", then, ...OWN, ...direct]);
      saver.when(phase, () => setTimeout(() => saver.signal("SIGINT"), delay));
      const end = await saver.ended;
      if (end.code === 0) {
        if (then === "quit") await one.boot();
        await one.bring("running");
        await one.remember();
        continue;
      }
      expect(end, end.stdout + end.stderr).toMatchObject({ code: 130 });
      await one.expectAlive("running");
      expect(await one.file()).toBe("old");
      await one.expectSettled();
    }
    await one.expectVerdict();
  });

  const mayMount = ((): boolean => {
    const folder = mkdtempSync(join(tmpdir(), "fixedram-mount-"));
    try {
      if (spawnSync("mount", ["-t", "tmpfs", "tmpfs", folder]).status !== 0) return false;
      return spawnSync("umount", [folder]).status === 0;
    } finally {
      rmSync(folder, { recursive: true });
    }
  })();

  test.skipIf(!mayMount && !requireAll)(
    "a disk that fills: while pages come, at the tail, at the seal",
    async () => {
      const folder = mkdtempSync(join(tmpdir(), "fixedram-target-"));
      execFileSync("mount", ["-t", "tmpfs", "-o", "size=400m", "tmpfs", folder]);
      atTestEnd(() => {
        spawnSync("umount", [folder]);
        rmSync(folder, { recursive: true, force: true });
      });
      const out = join(folder, "guest.fram");
      const one = await scene();
      const whole = await one.saver(OWN, { out }).ended;
      expect(whole, whole.stdout).toMatchObject({ code: 0 });
      const { allocated } = (whole.answer as unknown as { sizes: { allocated: number } }).sizes;
      writeFileSync(out, "the older file");
      // 300 pages: a guest that runs has other pages each time.
      for (const then of ["resume", "quit"]) {
        for (const left of [0.01, 0.5, 0.9, 0.995]) {
          const size = Math.floor((allocated * left) / 4096) * 4096 - 300 * 4096 * (left > 0.99 ? 0 : 1);
          execFileSync("mount", ["-o", `remount,size=${Math.max(size, 2 ** 21)}`, folder]);
          const end = await one.saver(["--then", then, ...OWN], { out }).ended;
          const found = `${then}, ${left}: ${end.stdout}${end.stderr}`;
          expect(end, found).toMatchObject({ code: 5, answer: { error: { code: "system.disk-full" } } });
          await one.expectAlive("running");
          expect(readFileSync(out, "utf8")).toBe("the older file");
          expect(readdirSync(folder)).toEqual(["guest.fram"]);
          await one.expectSettled();
        }
      }
      execFileSync("mount", ["-o", "remount,size=400m", folder]);
      expect(await one.saver(OWN, { out }).ended).toMatchObject({ code: 0 });
      await one.expectVerdict();
    },
    TIME,
  );

  test("QEMU is killed while it writes, and while its file is sealed", async () => {
    const one = await scene();
    for (const phase of ["ram", "seal"] as const) {
      const saver = one.saver(["--then", "quit", ...OWN]);
      saver.when(phase, () => void process.kill(one.guest.pid, "SIGKILL"));
      const end = await saver.ended;
      expect(end, end.stdout + end.stderr).toMatchObject({ code: 4 });
      if (phase === "ram") expect(await one.file()).toBe("old");
      await one.expectNothingLeft();
      await one.boot();
    }
  });
});
