/** The guard dies, alone or together with its saver; and savers of Linux guests with disks are killed. FIXEDRAM_LONG=1: more of them. */
import { describe, expect, test } from "vitest";
import { processesOf, settles } from "./breaking/processes.ts";
import { Chance } from "./breaking/random.ts";
import type { SaverEnd } from "./breaking/saver.ts";
import { Scene } from "./breaking/scene.ts";
import { qemus } from "./harness/index.ts";

const LONG = (process.env.FIXEDRAM_LONG ?? "") !== "";
const LINUX_KILLS = LONG ? 9 : 3;
const CONNECT_KILLS = LONG ? 60 : 8;
const chance = new Chance();
const MODES = ["stop", "live", "background"] as const;

const argsOf = (mode: string): string[] => [
  "--mode",
  mode,
  ...(mode === "live" ? ["--force", "--max-rounds", "3"] : []),
];

describe.each(qemus())("QEMU $label ($version)", (one) => {
  // A background save on QEMU before 8.1 does not survive this: docs/decisions/0004.
  test.each(MODES.filter((mode) => mode !== "background" || one.major >= 9))(
    "saver and guard of a %s save are killed: the guest goes on, the next save puts the rest back and says so",
    async (mode) => {
      const scene = await Scene.make({ guest: { qemu: one, kind: "boot", zeroing: true } });
      const saver = scene.saver(argsOf(mode));
      saver.when("ram", () => {
        process.kill(scene.guardPid() ?? Number.NaN, "SIGKILL");
        saver.signal("SIGKILL");
      });
      expect(await saver.ended).toMatchObject({ signal: "SIGKILL" });
      await scene.expectAlive("running");
      const alive = () => (processesOf(scene.folder).length === 0 ? null : "still there");
      expect(await settles(alive, 2000)).toBeNull();
      expect(await scene.settingsDiffer(), "nobody was left to put the settings back").toBe(true);
      expect(await scene.file()).toBe("old");
      const next: SaverEnd = await scene.expectSave(argsOf(mode));
      expect(next.notices).toContain("earlier-save");
      await scene.expectSettled();
      await scene.expectVerdict();
      await scene.expectLoads();
    },
  );

  // QEMU connects, the guard takes the connection, the saver gets its copy: all of it within a few milliseconds.
  test(
    `the saver of a background save is killed ${CONNECT_KILLS} times while QEMU connects`,
    async () => {
      const scene = await Scene.make({ guest: { qemu: one, kind: "boot", zeroing: true } });
      for (let n = 0; n < CONNECT_KILLS; n++) {
        const delay = 10 + chance.below(28);
        const saver = scene.saver(argsOf("background"));
        saver.when("connect", () => setTimeout(() => saver.signal("SIGKILL"), delay));
        const end = await saver.ended;
        expect(end, end.stdout + end.stderr).toMatchObject({ signal: "SIGKILL" });
        await scene.expectAlive("running").catch((error: unknown) => {
          throw new Error(`kill ${n} of FIXEDRAM_SEED=${chance.seed}, ${delay} ms: ${error}`);
        });
        await scene.expectSettled();
      }
      await scene.expectVerdict();
    },
    LONG ? 600_000 : 120_000,
  );

  test.each(MODES)("the guard of a %s save is killed: the save goes on", async (mode) => {
    const scene = await Scene.make({ guest: { qemu: one, kind: "boot", zeroing: true } });
    const saver = scene.saver(argsOf(mode));
    saver.when("ram", () => process.kill(scene.guardPid() ?? Number.NaN, "SIGKILL"));
    const end = await saver.ended;
    expect(end, end.stdout + end.stderr).toMatchObject({ code: 0 });
    await scene.expectAlive("running");
    await scene.expectSettled();
    expect(await scene.file()).toBe("new");
    await scene.expectVerdict();
    await scene.expectLoads();
  });

  test(
    `savers of a Linux guest with two CPUs, a dirtier and a busy disk are killed ${LINUX_KILLS} times`,
    async () => {
      const scene = await Scene.make({
        guest: { qemu: one, kind: "linux", smp: 2, dirtyRate: 20, diskLoad: true, vga: "std", memory: 192, still: 16 },
      });
      for (let n = 0; n < LINUX_KILLS; n++) {
        const mode = MODES[n % MODES.length] ?? "stop";
        const phase = chance.pick(["connect", "ram", "sync"] as const);
        const delay = chance.below(phase === "ram" ? 400 : 40);
        const words = `kill ${n} of FIXEDRAM_SEED=${chance.seed}: ${mode}, ${phase} + ${delay} ms`;
        const saver = scene.saver(argsOf(mode));
        saver.when(phase, () => setTimeout(() => saver.signal("SIGKILL"), delay));
        const end = await saver.ended;
        if (end.signal === null) expect(end, words + end.stdout).toMatchObject({ code: 0 });
        await scene.expectAlive("running");
        await scene.expectSettled();
        await scene.file();
        await scene.expectVerdict();
        await scene.expectSave(argsOf(mode));
      }
      await scene.expectVerdict();
    },
    LONG ? 600_000 : 120_000,
  );
});
