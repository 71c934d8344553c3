/**
 * The first tenth of a second of a `stop` save is a live migration (docs/decisions/0003): guests that rewrite memory as fast as they can
 * are saved again and again, and each file is resumed and verified. FIXEDRAM_LONG=1: 20 times each, else 2.
 */
import { describe, test } from "vitest";
import { Scene } from "./breaking/scene.ts";
import { qemus } from "./harness/index.ts";

const LONG = (process.env.FIXEDRAM_LONG ?? "") !== "";
const TIMES = LONG ? 20 : 2;

const GUESTS = {
  "boot guest, rewriting and zeroing without a pause": {
    kind: "boot",
    dirtyRate: Infinity,
    zeroing: true,
    spread: true,
  },
  "Linux guest, two CPUs dirtying 60 MB/s": {
    kind: "linux",
    smp: 2,
    dirtyRate: 60,
    still: 16,
    disk: false,
    net: false,
  },
} as const;

describe.each(qemus())("QEMU $label ($version)", (one) => {
  test.each(Object.entries(GUESTS))(
    `a %s: ${TIMES} stop saves in a row, each resumed`,
    async (_name, options) => {
      const scene = await Scene.make({ guest: { qemu: one, ...options } });
      for (let n = 0; n < TIMES; n++) {
        await scene.expectSave(["--mode", "stop"]);
        await scene.expectAlive("running");
        await scene.expectLoads();
      }
      await scene.expectVerdict();
    },
    LONG ? 1_200_000 : 120_000,
  );
});
