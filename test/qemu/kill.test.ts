/**
 * The saver is killed, at any moment, again and again: the guest goes on as it was, no file is lost, nothing stays behind.
 * FIXEDRAM_LONG=1 kills 216 times and more, else 24; FIXEDRAM_SEED=N picks the same moments again.
 */
import { afterAll, describe, expect, test } from "vitest";
import { Chance } from "./breaking/random.ts";
import { PHASES, type Phase, type SaverEnd } from "./breaking/saver.ts";
import { Scene } from "./breaking/scene.ts";
import { qemus } from "./harness/index.ts";

const LONG = (process.env.FIXEDRAM_LONG ?? "") !== "";
const KILLS = LONG ? 36 : 4;
const TIME = LONG ? 1_200_000 : 120_000;

const MODES = ["stop", "live", "background"] as const;
type Mode = (typeof MODES)[number];

/** About how long a save of the small guest stays in each phase here, in ms: the kill comes within that time. */
const LENGTH: Readonly<Record<Phase, number>> = {
  preflight: 70,
  connect: 40,
  ram: 180,
  "device-state": 6,
  seal: 0,
  sync: 35,
  commit: 12,
  finish: 25,
};

const chance = new Chance();
const hits = new Map<Phase | "before", number>();
let kills = 0;

/** What a kill is to be like. */
interface Blow {
  readonly mode: Mode;
  readonly phase: Phase;
  /** Milliseconds after the phase began. */
  readonly delay: number;
  /** `--then`. */
  readonly afterwards: "resume" | "pause" | "quit";
  readonly state: "running" | "paused";
  /** The second save does not wait for the guard to have done its work. */
  readonly atOnce: boolean;
  /** Pages come on several connections. */
  readonly channels: boolean;
}

function nextBlow(mode: Mode): Blow {
  // The short phases are easily missed: after two turns those never hit come first, and the kill as soon as can be.
  const missed = kills < 2 * PHASES.length ? undefined : PHASES.find((one) => !hits.has(one));
  const phase = missed ?? PHASES[kills % PHASES.length] ?? "ram";
  const delay = missed === undefined ? chance.below(LENGTH[phase]) : 0;
  if (mode === "background")
    return { mode, phase, delay, afterwards: "resume", state: "running", atOnce: chance.next() < 0.5, channels: false };
  const afterwards = chance.pick(["resume", "resume", "pause", "quit"] as const);
  return {
    mode,
    phase,
    delay,
    afterwards,
    state: chance.next() < 0.3 ? "paused" : "running",
    atOnce: chance.next() < 0.5,
    channels: chance.next() < 0.5,
  };
}

const argsOf = ({ mode, afterwards, channels }: Blow): string[] => [
  ...["--mode", mode, "--then", afterwards],
  ...(channels ? ["--transport", "multifd"] : []),
  ...(mode === "live" ? ["--force", "--max-rounds", "3"] : []),
];

/** Kills one save; when that was over before the blow fell, another one, with the blow falling sooner. */
async function strike(scene: Scene, blow: Blow): Promise<SaverEnd> {
  for (let delay = blow.delay; ; delay /= 2) {
    const saver = scene.saver(argsOf(blow));
    saver.when(blow.phase, () => {
      if (delay < 0.5) saver.signal("SIGKILL");
      else setTimeout(() => saver.signal("SIGKILL"), delay);
    });
    const end = await saver.ended;
    if (end.signal === "SIGKILL") return end;
    expect(end, end.stdout + end.stderr).toMatchObject({ code: 0 });
    if (blow.afterwards === "quit") await scene.boot();
    await scene.bring(blow.state);
    await scene.remember();
  }
}

/** The saver had come to its end but for its own exit: the guest is as `--then` wants it. */
async function isDone(scene: Scene, blow: Blow, end: SaverEnd): Promise<boolean> {
  if (end.phase !== "finish" || blow.afterwards === "resume") return false;
  await scene.expectNothingLeft();
  if (blow.afterwards === "quit" && (await scene.hasQuit())) return true;
  return blow.state === "running" && (await scene.runState()) !== "running";
}

async function kill(scene: Scene, blow: Blow): Promise<void> {
  await scene.bring(blow.state);
  const end = await strike(scene, blow);
  kills++;
  hits.set(end.phase ?? "before", (hits.get(end.phase ?? "before") ?? 0) + 1);
  const late = end.phase === "commit" || end.phase === "finish";
  const file = await scene.file();
  if (!late) expect(file).toBe("old");
  if (end.phase === "finish") expect(file).toBe("new");
  if (await isDone(scene, blow, end)) {
    await scene.expectNothingLeft();
    await lookAt(scene, blow, file);
    if (blow.afterwards === "quit" && !scene.guest.running) await scene.boot();
    else await scene.bring("running");
  } else {
    // With SHUT 0 behind it no QEMU goes back to plain paused.
    const quitting = file === "new" && blow.afterwards === "quit";
    await scene.expectAlive(blow.state, quitting ? ["paused", "postmigrate"] : scene.pausedStates);
    if (!blow.atOnce) await scene.expectSettled();
    await lookAt(scene, blow, file);
    await saveAgain(scene, blow);
    await scene.expectSettled();
  }
  await scene.bring("running");
  await scene.expectVerdict();
}

/** A file that was finished although its saver was killed is a good one. */
async function lookAt(scene: Scene, blow: Blow, file: "old" | "new"): Promise<void> {
  if (file === "old") return;
  await scene.remember();
  if (LONG) await expectLoads(scene, blow.mode);
}

/** Live files of QEMU before 8 under TCG may lack pages, through no kill: which is why `save` wants --force there. */
async function expectLoads(scene: Scene, mode: Mode): Promise<void> {
  if (mode !== "live" || scene.guest.options.qemu.major >= 8) await scene.expectLoads();
}

/** In the same mode. A paused guest that QEMU 7.2 left in `postmigrate` must be let run before; that is said. */
async function saveAgain(scene: Scene, blow: Blow): Promise<void> {
  const args = argsOf({ ...blow, afterwards: "resume" });
  if (blow.state === "paused" && (scene.pausedStates.includes("postmigrate") || blow.afterwards === "quit")) {
    await scene.expectSettled();
    if ((await scene.runState()) === "postmigrate") {
      const refused = await scene.saver(args).ended;
      expect(refused).toMatchObject({ code: 4, answer: { error: { code: "guest.run-state" } } });
      expect(refused.answer?.error?.hint).toContain("cont");
      await scene.bring("paused");
    }
  }
  await scene.expectSave(args);
  await scene.expectAlive(blow.state);
}

describe.each(qemus())("QEMU $label ($version)", (one) => {
  test.each(MODES)(
    `the saver of a %s save is killed ${KILLS} times`,
    async (mode) => {
      const scene = await Scene.make({ guest: { qemu: one, kind: "boot", zeroing: true } });
      for (let n = 0; n < KILLS; n++) {
        const blow = nextBlow(mode);
        await kill(scene, blow).catch((error: unknown) => {
          const words = `kill ${n} of FIXEDRAM_SEED=${chance.seed}: ${JSON.stringify(blow)}`;
          throw new Error(
            `${words}\n${error instanceof Error ? error.stack : error}\nQEMU said: ${scene.guest.output()}`,
          );
        });
      }
      await expectLoads(scene, mode);
    },
    TIME,
  );
});

afterAll(() => {
  const table = [...hits].map(([phase, count]) => `${phase} ${count}`).join(", ");
  console.log(`${kills} kills (FIXEDRAM_SEED=${chance.seed}), by the phase the saver died in: ${table}`);
});

test("every phase was hit", () => {
  expect(PHASES.filter((phase) => !hits.has(phase))).toEqual([]);
});
