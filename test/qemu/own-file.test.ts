/**
 * QEMU writes the file itself (`--transport mapped-ram`), and gives the guest back by itself: docs/decisions/0011. The guests rewrite
 * and zero their memory as fast as they can, and have the last word.
 */
import { readdirSync, statSync, truncateSync } from "node:fs";
import { dirname, join } from "node:path";
import { describe, expect, test } from "vitest";
import type { Guest } from "./harness/index.ts";
import { fixedram, hasQemu, qemu, qemus, startGuest, testFolder } from "./harness/index.ts";
import { otherQemu } from "./harness/qemus.ts";
import {
  expectWell,
  loadStock,
  long,
  refused,
  resume,
  resumeCommand,
  runState,
  save,
  saveRefused,
  settingsOf,
  stockWays,
} from "./support/steps.ts";

const busy = { kind: "boot", dirtyRate: Infinity, zeroing: true, spread: true } as const;
const OWN = ["--transport", "mapped-ram"] as const;

/** 10.0, and the newest there is: that they end such a migration as failed is not promised anywhere. */
const able = [...qemus().filter(({ label }) => label === "new"), otherQemu("sid")].filter((one) => one !== undefined);

async function start(options: Parameters<typeof startGuest>[0]): Promise<{ guest: Guest; file: string }> {
  return { guest: await startGuest(options), file: join(testFolder(), "guest.fram") };
}

async function expectSound(file: string): Promise<void> {
  const deep = await fixedram(["verify", file, "--deep", "--json"]);
  expect(deep, deep.stdout).toMatchObject({ code: 0 });
}

describe.each(able)("QEMU $version", (one) => {
  const first = one === able[0];

  test.each(first || long ? ["pc", "q35"] : ["pc"])(
    "stop, %s: the guest goes on by itself, every way of loading",
    async (machine) => {
      const { guest, file } = await start({ ...busy, qemu: one, machine });
      const before = await guest.ready(10_000);
      const qmp = await guest.qmp();
      const settings = await settingsOf(qmp);
      for (let time = 0; time < 2; time++) {
        const since = qmp.sequence;
        const saved = await save(guest, file, ...OWN);
        expect(saved).toMatchObject({
          transport: "mapped-ram",
          transportReason: expect.stringContaining("writes the file itself"),
          runState: { before: "running", after: "running" },
        });
        expect(saved.times.guestPause).toBeGreaterThan(0);
        expect(saved.pages.data).toBeGreaterThan(4000);
        expect(saved.pages.zero).toBeGreaterThan(4000);
        const last = await qmp.waitForEvent(({ event, data }) => event === "MIGRATION" && data["status"] === "failed", {
          since,
          timeout: 1000,
        });
        expect(last, "as planned").toBeTruthy();
        expect(await settingsOf(qmp)).toEqual(settings);
        expectWell(await guest.verdict(), before);
      }
      await expectSound(file);
      for (const target of [...qemus(), one]) {
        const resumed = await resume(guest, file, target);
        expectWell(await resumed.verdict(), before);
        await resumed.quit();
      }
      if (machine !== "pc") return;
      for (const way of stockWays) {
        const loaded = await loadStock(guest.options, file, way, one);
        expectWell(await loaded.verdict(), before);
        await loaded.kill();
      }
    },
  );

  test(
    "live: over several rounds",
    async () => {
      const { guest, file } = await start({ ...busy, qemu: one });
      const before = await guest.ready(10_000);
      for (let time = 0; time < (long ? 10 : 2); time++) {
        const limits = ["--max-rounds", String(3 + time), "--on-limit", "stop", "--max-bandwidth", "40M"];
        const saved = await save(guest, file, "--mode", "live", ...OWN, ...limits);
        expect(saved).toMatchObject({ transport: "mapped-ram", runState: { after: "running" } });
        expect(saved.rounds).toBeGreaterThan(2);
        expect(saved.sizes.apparent).toBeLessThan(saved.sizes.ram + 2 ** 23);
        expectWell(await guest.verdict(), before);
        await expectSound(file);
        const resumed = await resume(guest, file, one);
        expectWell(await resumed.verdict(), before);
        await resumed.quit();
      }
    },
    long ? 600_000 : 120_000,
  );

  const pastTheCache = first || long ? test : () => {};
  pastTheCache("past the page cache", async () => {
    const { guest, file } = await start({ ...busy, qemu: one });
    const before = await guest.ready(10_000);
    const saved = await save(guest, file, ...OWN, "--direct-io", "on");
    if (saved.directBytes === 0) expect(saved.transportReason).toContain("takes nothing past it");
    else expect(saved.directBytes).toBe(saved.pages.data * 4096);
    expectWell(await guest.verdict(), before);
    await expectSound(file);
    const resumed = await resume(guest, file, one);
    expectWell(await resumed.verdict(), before);
    await resumed.quit();
  });

  test("--then pause: it stays stopped, the file loads running; --then quit: QEMU has ended", async () => {
    const { guest, file } = await start({ ...busy, qemu: one });
    const before = await guest.ready(10_000);
    const qmp = await guest.qmp();
    const settings = await settingsOf(qmp);
    expect(await save(guest, file, ...OWN, "--then", "pause")).toMatchObject({ runState: { after: "postmigrate" } });
    expect(await settingsOf(qmp)).toEqual(settings);
    await expectSound(file);
    const resumed = await resume(guest, file, one);
    expectWell(await resumed.verdict(), before);
    await resumed.quit();
    await qmp.execute("cont");
    expectWell(await guest.verdict(), before);
    expect(await save(guest, file, ...OWN, "--then", "quit")).toMatchObject({ runState: { after: "ended" } });
    await guest.exited;
    await expectSound(file);
  });

  test("a guest that was paused is paused again, and is saved again", async () => {
    const { guest, file } = await start({ ...busy, qemu: one });
    const before = await guest.ready(10_000);
    const qmp = await guest.qmp();
    await qmp.execute("stop");
    for (const then of ["resume", "pause"]) {
      const saved = await save(guest, file, ...OWN, "--then", then);
      expect(saved.runState).toEqual({ before: "paused", after: "paused" });
      expect(await runState(qmp)).toBe("paused");
    }
    await expectSound(file);
    const resumed = await resume(guest, file, one);
    expect(await resumed.runState()).toBe("paused");
    await resumed.execute("cont");
    expectWell(await resumed.verdict(), before);
    await resumed.quit();
  });
});

test.skipIf(!hasQemu("new"))(
  "a Linux guest with a disk that it writes to: recorded no later than its memory",
  async () => {
    const options = { kind: "linux", smp: 2, memory: 192, dirtyRate: 20, diskLoad: true } as const;
    const { guest, file } = await start({ ...options, qemu: qemu("new") });
    const before = await guest.ready(60_000);
    await save(guest, file, ...OWN);
    expectWell(await guest.verdict(), before);
    await save(guest, `${file}.last`, ...OWN, "--then", "quit");
    await guest.exited;
    const { argv } = resumeCommand({ ...guest.options, qemu: qemu("new") });
    const { code, error } = await refused(["resume", file, "--json", "--", ...argv]);
    expect({ code, what: error.code }).toEqual({ code: 4, what: "guest.disk-changed" });
    const resumed = await resume(guest, `${file}.last`, qemu("new"));
    expectWell(await resumed.verdict(), before);
    await resumed.quit();
  },
  120_000,
);

test.skipIf(!hasQemu("new"))(
  "a file that is cut while QEMU writes it is no snapshot, and the guest goes on",
  async () => {
    const { guest, file } = await start({ ...busy, qemu: qemu("new") });
    const before = await guest.ready(10_000);
    const folder = dirname(file);
    const cutting = setInterval(() => {
      const partial = readdirSync(folder).find(
        (name) => name.endsWith(".partial") && statSync(join(folder, name)).size > 0,
      );
      if (partial === undefined) return;
      truncateSync(join(folder, partial), 0);
      clearInterval(cutting);
    }, 5);
    const limits = ["--max-bandwidth", "20M", "--max-time", "1s"];
    const { code, error } = await saveRefused(guest, file, "--mode", "live", ...OWN, ...limits);
    clearInterval(cutting);
    expect({ code, what: error.code }).toEqual({ code: 4, what: "qemu.own-file" });
    expect(readdirSync(folder).filter((name) => name.includes(".fram"))).toEqual([]);
    expectWell(await guest.verdict(), before);
  },
);

describe("refused before the guest is touched", () => {
  test.skipIf(!hasQemu("old"))("a QEMU without mapped-ram is named", async () => {
    const { guest, file } = await start({ kind: "boot", qemu: qemu("old") });
    const before = await guest.ready(10_000);
    const qmp = await guest.qmp();
    const settings = await settingsOf(qmp);
    const since = qmp.sequence;
    const { code, error } = await saveRefused(guest, file, ...OWN);
    expect({ code, what: error.code }).toEqual({ code: 2, what: "usage.transport" });
    expect(error.message).toContain("QEMU 7.2");
    expect(await settingsOf(qmp)).toEqual(settings);
    expect(qmp.sequence).toBe(since);
    expectWell(await guest.verdict(), before);
  });

  test.skipIf(!hasQemu("new"))("modes and options that do not go with it", async () => {
    const { guest, file } = await start({ kind: "boot", qemu: qemu("new") });
    const before = await guest.ready(10_000);
    for (const args of [
      ["--mode", "background"],
      ["--max-bandwidth", "100M"],
    ]) {
      const { code, error } = await saveRefused(guest, file, ...OWN, ...args);
      expect({ code, what: error.code }).toEqual({ code: 2, what: "usage.transport" });
    }
    expectWell(await guest.verdict(), before);
  });
});
