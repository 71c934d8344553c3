/** What state a save leaves the guest in, and what state the file is in: --then, paused guests, one save behind another, settings. */
import { join } from "node:path";
import { describe, expect, test } from "vitest";
import { fixedram, type Guest, type GuestOptions, qemus, sha256, startGuest, testFolder } from "./harness/index.ts";
import { expectWell, resume, runState, save, saveRefused, settingsOf } from "./support/steps.ts";

/** Values nobody has by default, those a save itself has to change among them. */
const oddCapabilities: Record<string, boolean> = {
  "auto-converge": true,
  "dirty-bitmaps": true,
  "validate-uuid": true,
  "pause-before-switchover": true,
  xbzrle: true,
  events: true,
  "return-path": true,
  multifd: true,
};
const oddParameters: Record<string, unknown> = {
  "max-bandwidth": 12_345_678,
  "downtime-limit": 777,
  "multifd-channels": 5,
  "announce-rounds": 7,
  "avail-switchover-bandwidth": 1,
  "zero-page-detection": "none",
  "cpu-throttle-initial": 33,
  "tls-hostname": "nobody.example",
};

async function setOdd(guest: Guest, without: readonly string[] = []): Promise<Record<string, unknown>> {
  const qmp = await guest.qmp();
  const capabilities = Object.entries(oddCapabilities)
    .filter(([name]) => !without.includes(name))
    .map(([capability, state]) => ({ capability, state }));
  await qmp.execute("migrate-set-capabilities", { capabilities });
  const known = (await qmp.execute("query-migrate-parameters")) as Record<string, unknown>;
  const parameters = Object.fromEntries(Object.entries(oddParameters).filter(([name]) => Object.hasOwn(known, name)));
  await qmp.execute("migrate-set-parameters", parameters);
  const settings = await settingsOf(qmp);
  expect(settings).toMatchObject({ parameters });
  return settings;
}

describe.each(qemus())("QEMU $label ($version)", (one) => {
  async function start(more: Partial<GuestOptions> = {}): Promise<{ guest: Guest; file: string }> {
    const guest = await startGuest({ qemu: one, kind: "boot", ...more });
    return { guest, file: join(testFolder(), "guest.fram") };
  }
  /** 7.2 has xbzrle and multifd exclude each other; 10.0 too. */
  const clashing = ["multifd"];

  test.each(["stop", "live", "background"])(
    "%s, twice: the guest runs on, its settings are what they were",
    async (mode) => {
      const { guest, file } = await start({ dirtyRate: mode === "live" && one.label === "old" ? 0 : 64 });
      const before = await guest.ready(10_000);
      const settings = await setOdd(guest, clashing);
      const args = ["--mode", mode, ...(mode === "live" ? ["--force"] : [])];
      const uuids = new Set<string>();
      for (let time = 0; time < 2; time++) {
        const saved = await save(guest, file, ...args);
        expect(saved.runState).toEqual({ before: "running", after: "running" });
        expect(saved.times.guestPause).toBeGreaterThan(0);
        expect(saved.pages.zero).toBeGreaterThan(4096);
        // A few MB go out before the guest stops; a save that QEMU does not stop goes over all of the memory again and again.
        if (mode === "stop") expect(saved.pages.rewritten).toBeLessThan(3000);
        expect(await settingsOf(await guest.qmp())).toEqual(settings);
        uuids.add(saved.uuid);
      }
      expect(uuids.size).toBe(2);
      expectWell(await guest.verdict(), before);
    },
  );

  test("settings that a save has to switch off come back: multifd", async () => {
    const { guest, file } = await start();
    await guest.ready(10_000);
    const settings = await setOdd(guest, ["xbzrle"]);
    await save(guest, file);
    expect(await settingsOf(await guest.qmp())).toEqual(settings);
  });

  test("a save that fails leaves guest, settings and the older file alone, and the next one works", async () => {
    const { guest, file } = await start({ dirtyRate: Infinity });
    const before = await guest.ready(10_000);
    await save(guest, file);
    const older = await sha256(file);
    const settings = await setOdd(guest, clashing);
    const { code, error } = await saveRefused(
      guest,
      file,
      ...["--mode", "live", "--force", "--max-bandwidth", "4M", "--max-time", "300ms", "--on-limit", "abort"],
    );
    expect({ code, what: error.code }).toEqual({ code: 4, what: "guest.not-converging" });
    expect(await runState(await guest.qmp())).toBe("running");
    expect(await settingsOf(await guest.qmp())).toEqual(settings);
    expect(await sha256(file)).toBe(older);
    await save(guest, file);
    expect(await sha256(file)).not.toBe(older);
    if (one.label === "new") expectWell(await guest.verdict(), before);
  });

  test("live: a limit ends the rounds, and the guest is stopped for the rest", async () => {
    const { guest, file } = await start({ dirtyRate: one.label === "old" ? 0 : Infinity });
    const before = await guest.ready(10_000);
    const limits = ["--max-bandwidth", "64M", "--max-time", "2s", "--on-limit", "stop"];
    const saved = await save(guest, file, "--mode", "live", "--force", ...limits);
    if (one.label === "new") expect(saved.pages.rewritten).toBeGreaterThan(0);
    const resumed = await resume(guest, file, one);
    expectWell(await resumed.verdict(), before);
  });

  test("a paused guest's file loads paused", async () => {
    const { guest, file } = await start();
    const before = await guest.ready(10_000);
    const qmp = await guest.qmp();
    await qmp.execute("stop");
    const settings = await settingsOf(qmp);
    const saved = await save(guest, file);
    expect(saved.times.guestPause).toBeNull();
    // QEMU before 8 knows no way back from postmigrate but `cont`; it is said.
    const after = one.label === "old" ? "postmigrate" : "paused";
    expect(saved.runState).toEqual({ before: "paused", after });
    expect(saved.notices.map(({ code }) => code).includes("postmigrate")).toBe(one.label === "old");
    expect(await runState(qmp)).toBe(after);
    expect(await settingsOf(qmp)).toEqual(settings);

    for (const target of qemus()) {
      const resumed = await resume(guest, file, target);
      expect(resumed.result.runState).toBe("paused");
      await resumed.execute("cont");
      expectWell(await resumed.verdict(), before);
      await resumed.quit();
    }
    await qmp.execute("cont");
    expectWell(await guest.verdict(), before);
    await save(guest, file);
    expect(await runState(qmp)).toBe("running");
  });

  test("a guest that never ran (-S) is saved, and starts from the file", async () => {
    const { guest, file } = await start({ extraArgs: ["-S"] });
    const saved = await save(guest, file);
    expect(saved.runState.before).toBe("prelaunch");
    const resumed = await resume(guest, file, one);
    expect(["prelaunch", "paused"]).toContain(resumed.result.runState);
    await resumed.execute("cont");
    await resumed.serial.waitFor(/^ready /);
    expect(await resumed.verdict()).toMatchObject({ ok: true });
  });

  test("--then pause: the guest is paused, cont works; the file is of a running guest, --paused holds it", async () => {
    const { guest, file } = await start();
    const before = await guest.ready(10_000);
    const saved = await save(guest, file, "--then", "pause");
    expect(saved.runState.before).toBe("running");
    const qmp = await guest.qmp();
    expect(await runState(qmp)).toBe(saved.runState.after);
    expect(["paused", "postmigrate"]).toContain(saved.runState.after);
    expect(await guest.answers(200)).toBe(false);
    await qmp.execute("cont");
    expectWell(await guest.verdict(), before);
    await save(guest, file, "--then", "pause");
    for (const target of qemus()) {
      const resumed = await resume(guest, file, target, { args: ["--paused"] });
      expect(resumed.result.runState).toBe("paused");
      expect(await resumed.runState()).toBe("paused");
      await resumed.execute("cont");
      expectWell(await resumed.verdict(), before);
      await resumed.quit();
    }
  });

  test("--then quit: QEMU is gone, the guest goes on from the file", async () => {
    const { guest, file } = await start();
    const before = await guest.ready(10_000);
    const saved = await save(guest, file, "--then", "quit");
    expect(saved.runState.after).toBe("ended");
    expect(await guest.exited).toEqual({ code: 0, signal: null });
    const resumed = await resume(guest, file, one);
    expect(resumed.result.runState).toBe("running");
    expectWell(await resumed.verdict(), before);
  });

  test("a resumed guest is saved again", async () => {
    const { guest, file } = await start();
    const before = await guest.ready(10_000);
    await save(guest, file, "--then", "quit");
    const resumed = await resume(guest, file, one);
    const verdict = await resumed.verdict();
    expectWell(verdict, before);
    const second = join(testFolder(), "second.fram");
    const run = await fixedram(["save", second, "--qmp", resumed.qmpPath, "--json", "--then", "quit"]);
    expect(run, run.stdout).toMatchObject({ code: 0 });
    expect(await resumed.ended).toMatchObject({ code: 0 });
    const again = await resume(guest, second, one);
    expectWell(await again.verdict(), verdict);
  });
});
