/**
 * Saves over several multifd channels, on real QEMUs: guests that rewrite and zero their memory as fast as they can have the last
 * word, after resuming on either QEMU and after stock QEMU has loaded the file by itself.
 */
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, test } from "vitest";
import { fixedram, hasQemu, qemus, startGuest, testFolder } from "./harness/index.ts";
import { expectWell, loadStock, long, resume, save, saveRefused, settingsOf, stockWays } from "./support/steps.ts";

const busy = { kind: "boot", dirtyRate: Infinity, zeroing: true, spread: true } as const;

describe.each(qemus())("QEMU $label ($version)", (one) => {
  // Rounds end with FLUSH for machine types after 8.0, with EOS before.
  const machines = one.label === "new" ? ["pc", "q35", "pc-i440fx-10.0"] : ["pc", "q35"];

  test.each(machines)("stop, %s: every way of loading", async (machine) => {
    const guest = await startGuest({ ...busy, qemu: one, machine });
    const before = await guest.ready(10_000);
    const settings = await settingsOf(await guest.qmp());
    const file = join(testFolder(), "guest.fram");
    const saved = await save(guest, file, "--transport", "multifd");
    expect(saved).toMatchObject({ transport: "multifd", transportReason: expect.stringContaining("2 channels") });
    expect(await settingsOf(await guest.qmp())).toEqual(settings);
    expectWell(await guest.verdict(), before);
    expect((await fixedram(["verify", file, "--deep"])).code).toBe(0);
    for (const target of qemus()) {
      if (machine === "pc-i440fx-10.0" && target.label === "old") continue;
      const resumed = await resume(guest, file, target);
      expectWell(await resumed.verdict(), before);
      await resumed.quit();
    }
    if (!hasQemu("new")) return;
    for (const way of stockWays) {
      const loaded = await loadStock(guest.options, file, way);
      expectWell(await loaded.verdict(), before);
      await loaded.kill();
    }
  });

  /** Before 8.0 a live migration under TCG loses pages of a busy guest, whatever the transport: see docs/decisions/0003. */
  const rate = one.label === "old" ? 0 : Infinity;

  test.each(machines)(
    `live, %s: over several rounds`,
    async (machine) => {
      const guest = await startGuest({ ...busy, dirtyRate: rate, qemu: one, machine });
      const before = await guest.ready(10_000);
      const file = join(testFolder(), "guest.fram");
      for (let time = 0; time < (long ? 10 : 2); time++) {
        const limits = ["--max-rounds", String(3 + time), "--on-limit", "stop"];
        const saved = await save(guest, file, "--mode", "live", "--force", "--transport", "multifd", ...limits);
        expect(saved.transport).toBe("multifd");
        if (rate > 0) {
          expect(saved.pages.rewritten).toBeGreaterThan(0);
          // Every page has one place, however often it is sent.
          expect(saved.sizes.apparent).toBeLessThan(saved.sizes.ram + 2 ** 23);
        }
        expectWell(await guest.verdict(), before);
        expect((await fixedram(["verify", file, "--deep"])).code).toBe(0);
        const resumed = await resume(guest, file, one);
        expectWell(await resumed.verdict(), before);
        await resumed.quit();
      }
    },
    long ? 600_000 : 120_000,
  );

  test("--transport: stream on demand, and what cannot be is refused before the guest is touched", async () => {
    const guest = await startGuest({ qemu: one, kind: "boot" });
    const before = await guest.ready(10_000);
    const file = join(testFolder(), "guest.fram");
    expect(await save(guest, file, "--transport", "stream")).toMatchObject({ transport: "stream" });
    expect(await save(guest, file, "--mode", "background")).toMatchObject({ transport: "stream" });
    expect(await save(guest, file, "--max-bandwidth", "1G")).toMatchObject({ transport: "stream" });
    const settings = await settingsOf(await guest.qmp());
    const { code, error } = await saveRefused(guest, file, "--mode", "background", "--transport", "multifd");
    expect({ code, what: error.code }).toEqual({ code: 2, what: "usage.transport" });
    expect(await settingsOf(await guest.qmp())).toEqual(settings);
    expectWell(await guest.verdict(), before);
  });

  test.each(machines)(
    "resume, %s: pages sent on channels, rounds ended as this machine type wants it",
    async (machine) => {
      const image = join(testFolder(), "ram");
      // Memory that does not start as zeros: QEMU 10 is sent its pages, too, and zero pages with them.
      const extraArgs =
        one.label === "old"
          ? []
          : [
              "-object",
              `memory-backend-file,id=ram0,size=64M,mem-path=${image},share=off`,
              "-machine",
              "memory-backend=ram0",
            ];
      if (extraArgs.length > 0) writeFileSync(image, Buffer.alloc(64 * 2 ** 20, 0xa5));
      const guest = await startGuest({ ...busy, qemu: one, machine, extraArgs });
      const before = await guest.ready(10_000);
      const file = join(testFolder(), "guest.fram");
      await save(guest, file, "--then", "quit");
      const resumed = await resume(guest, file, one);
      expect(resumed.result.transport).toBe("multifd");
      expectWell(await resumed.verdict(), before);
      await resumed.quit();
    },
  );
});
