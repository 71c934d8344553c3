/** Files that QEMU 10 wrote by itself: shown, drawn, resumed on QEMU 10 from the file and on 7.2 as a stream. */
import { join } from "node:path";
import { describe, expect, test } from "vitest";
import type { BlockMap, SnapshotInfo } from "../../src/operations/inspect.ts";
import { fixedram, type Guest, hasQemu, qemu, qemus, startGuest, testFolder } from "./harness/index.ts";
import { expectWell, noticesOf, resume, untilState } from "./support/steps.ts";

interface Case {
  readonly name: string;
  readonly multifd: boolean;
  readonly live: boolean;
}

const cases: readonly Case[] = [
  { name: "plain", multifd: false, live: false },
  { name: "multifd", multifd: true, live: false },
  { name: "live", multifd: false, live: true },
];

/** QEMU saves by itself, the guest stopped or running (then pages of earlier rounds stay behind under bits that are clear now). */
async function saveByQemu(guest: Guest, file: string, { multifd, live }: Case): Promise<void> {
  const qmp = await guest.qmp();
  const names = ["mapped-ram", "events", ...(multifd ? ["multifd"] : [])];
  await qmp.execute("migrate-set-capabilities", {
    capabilities: names.map((capability) => ({ capability, state: true })),
  });
  await qmp.execute("migrate-set-parameters", {
    "max-bandwidth": live ? 2 ** 26 : 2 ** 40,
    // One more round or two while the guest rewrites its pages.
    "downtime-limit": live ? 20 : 300,
    ...(multifd ? { "multifd-channels": 2 } : {}),
  });
  if (!live) await qmp.execute("stop");
  const since = qmp.sequence;
  await qmp.execute("migrate", { uri: `file:${file}` });
  if (live) {
    await qmp.waitForEvent(({ event, data }) => event === "MIGRATION_PASS" && data["pass"] === 3, {
      since,
      timeout: 60_000,
    });
    await qmp.execute("migrate-set-parameters", { "downtime-limit": 100_000, "max-bandwidth": 2 ** 40 });
  }
  const ends = ["completed", "failed", "cancelled"];
  const last = await qmp.waitForEvent(
    ({ event, data }) => event === "MIGRATION" && ends.includes(String(data["status"])),
    { since, timeout: 60_000 },
  );
  expect(last.data["status"], guest.output()).toBe("completed");
  await untilState(qmp, (state) => state === "postmigrate");
  await guest.kill();
}

describe.skipIf(!hasQemu("new"))("mapped-ram by QEMU itself", () => {
  test.each(cases)("$name", async (one) => {
    const guest = await startGuest({ qemu: qemu("new"), kind: "boot", zeroing: true });
    const before = await guest.ready(10_000);
    const file = join(testFolder(), "guest.mapped");
    await saveByQemu(guest, file, one);

    const shown = await fixedram(["info", file, "--json"]);
    expect(shown, shown.stdout + shown.stderr).toMatchObject({ code: 0 });
    const info = JSON.parse(shown.stdout) as SnapshotInfo;
    expect(info).toMatchObject({
      container: "mapped-ram",
      machine: guest.options.machine,
      seal: null,
      sealState: "none",
    });
    expect(info.runState).toBe(one.live ? "running" : "paused");
    const ram = info.blocks.find(({ name }) => name === "pc.ram");
    expect(ram).toMatchObject({ length: 64 * 2 ** 20, pageSize: 4096 });
    // 32 MiB of pages, an eighth of them zero, and the firmware's few.
    expect(ram?.present).toBeGreaterThan(6000);
    expect(ram?.present).toBeLessThan(8700);
    expect(info.devices.map(({ name }) => name)).toContain("timer");

    const drawn = await fixedram(["map", file, "--json", "--width", "64"]);
    expect(drawn, drawn.stderr).toMatchObject({ code: 0 });
    const { blocks } = JSON.parse(drawn.stdout) as { readonly blocks: readonly BlockMap[] };
    const cells = blocks.find(({ name }) => name === "pc.ram")?.cells ?? [];
    expect(cells).toHaveLength(64);
    // A cell a MiB: the guest's pages begin at 4 MiB, and nothing is above 36.
    expect(cells[30]).toBeGreaterThan(0.5);
    expect(cells[50]).toBe(0);

    for (const target of qemus()) {
      const resumed = await resume(guest, file, target);
      const transport = target.label === "old" ? "multifd" : "mapped-ram";
      expect(resumed.result).toMatchObject({ transport, uuid: null, runState: one.live ? "running" : "paused" });
      expect(resumed.result.notices.map(({ code }) => code)).toContain("no-record");
      if (!one.live) await resumed.execute("cont");
      expectWell(await resumed.verdict(), before);
      const run = await resumed.quit();
      expect(noticesOf(run.stderr).join()).toContain("no-record");
    }
  });
});
