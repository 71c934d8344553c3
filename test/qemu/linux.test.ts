/** Linux guests: memory that is dirtied and verified all the time, a disk, a network card, a display, one and two CPUs. */
import { execFileSync } from "node:child_process";
import { join } from "node:path";
import { describe, expect, test } from "vitest";
import { fsck, type GuestOptions, hasQemu, type Qemu, qemus, startGuest, testFolder } from "./harness/index.ts";
import { expectWell, loadStock, long, refused, resume, resumeCommand, save, stockWays } from "./support/steps.ts";

type Mode = "stop" | "live" | "background";

interface Cell {
  readonly mode: Mode;
  readonly machine: "pc" | "q35";
  readonly smp: number;
  readonly vga: "none" | "std";
}

/** In CI each QEMU, mode, machine, CPU count and display is met once; with FIXEDRAM_LONG all of them with each other. */
const chosen: readonly Cell[] = [
  { mode: "stop", machine: "pc", smp: 2, vga: "std" },
  { mode: "live", machine: "q35", smp: 1, vga: "none" },
  { mode: "background", machine: "q35", smp: 2, vga: "none" },
];
const rest: readonly Cell[] = (["stop", "live", "background"] as const).flatMap((mode) =>
  (["pc", "q35"] as const).flatMap((machine) =>
    [1, 2].flatMap((smp) =>
      (["none", "std"] as const)
        .map((vga) => ({ mode, machine, smp, vga }))
        .filter((cell) => !chosen.some((one) => JSON.stringify(one) === JSON.stringify(cell))),
    ),
  ),
);

describe.each(qemus())("Linux saved by QEMU $label ($version)", (one) => {
  test.each(chosen)("$mode, $machine, $smp CPU, VGA $vga", async (cell) => {
    // One of the two loads in CI: each target is met by the other source's cells.
    await goThrough(one, cell, long ? qemus() : targetsOf(one, cell));
  });

  test.skipIf(!long).each(rest)("[long] $mode, $machine, $smp CPU, VGA $vga", async (cell) => {
    await goThrough(one, cell, qemus());
  });

  test("a disk that has been written to since is refused, and an overlay or -snapshot is the way out", async () => {
    const guest = await startGuest({ qemu: one, kind: "linux", still: 8 });
    const before = await guest.ready(30_000);
    const file = join(testFolder(), "guest.fram");
    await save(guest, file, "--then", "quit");
    await guest.exited;
    const disk = String(guest.options.disk);
    const overlay = join(testFolder(), "overlay.qcow2");
    execFileSync("qemu-img", ["create", "-q", "-f", "qcow2", "-b", disk, "-F", "qcow2", overlay]);
    const onOverlay = { ...guest, options: { ...guest.options, disk: overlay } };

    // Whatever runs on these writes elsewhere.
    const above = await resume(onOverlay, file, one);
    expectWell(await above.verdict(), before);
    await above.ask("sync", /^sync ok/);
    await above.quit();
    const temporary = await resume(guest, file, one, { qemuArgs: ["-snapshot"] });
    expectWell(await temporary.verdict(), before);
    await temporary.ask("sync", /^sync ok/);
    await temporary.quit();

    // The first resume over the disk itself writes to it, and the second would destroy the file system.
    const first = await resume(guest, file, one);
    expectWell(await first.verdict(), before);
    await first.ask("poweroff", /^poweroff ok/);
    await first.ended;
    expect(await fsck(disk)).toMatchObject({ clean: true });
    const { argv } = resumeCommand({ ...guest.options, qemu: one });
    const { code, error } = await refused(["resume", file, "--json", "--", ...argv]);
    expect({ code, what: error.code, path: error.path }).toEqual({ code: 4, what: "guest.disk-changed", path: disk });
    expect(error.hint).toMatch(/overlay/);
    const { argv: waiting } = resumeCommand({ ...onOverlay.options, qemu: one });
    expect((await refused(["resume", file, "--json", "--", ...waiting])).error.code).toBe("guest.disk-changed");
    const forced = await resume(guest, file, one, { args: ["--force"], qemuArgs: ["-snapshot"] });
    expect(forced.result.notices.map((notice) => notice.code)).toContain("disk-changed");
    expect(await forced.verdict()).toMatchObject({ bootId: before.bootId });
    await forced.quit();
  });
});

/** The same QEMU for one cell, the other for the next. */
function targetsOf(one: Qemu, { mode }: Cell): readonly Qemu[] {
  const other = qemus().find((each) => each.label !== one.label);
  return mode === "stop" || other === undefined ? [one] : [other];
}

async function goThrough(one: Qemu, { mode, machine, smp, vga }: Cell, targets: readonly Qemu[]): Promise<void> {
  // 7.2 loses pages that are written while it saves live under TCG: there the guest is idle.
  const dirtyRate = mode === "live" && one.label === "old" ? 0 : 20;
  const options: GuestOptions = { qemu: one, kind: "linux", machine, smp, vga, dirtyRate, diskLoad: dirtyRate > 0 };
  const guest = await startGuest(options);
  const before = await guest.ready(60_000);
  const file = join(testFolder(), "guest.fram");
  const more = mode === "background" ? [] : ["--then", "quit"];
  const saved = await save(guest, file, "--mode", mode, ...(mode === "live" ? ["--force"] : []), ...more);
  expect(saved.sizes.ram).toBeGreaterThan(256 * 2 ** 20);
  if (mode === "background") {
    // The guest has gone on and its disk with it; what is in the file belongs to the disk of the start.
    expectWell(await guest.verdict(), before);
    await guest.kill();
  } else await guest.exited;
  const last = targets.at(-1);
  for (const target of targets) {
    // Only the last may write to the disk, else the next would find it changed.
    const isLast = target === last && mode !== "background";
    const args = mode === "background" ? ["--force"] : [];
    const resumed = await resume(guest, file, target, { args, qemuArgs: isLast ? [] : ["-snapshot"] });
    const verdict = await resumed.verdict();
    if (mode === "background") expect(verdict).toMatchObject({ bootId: before.bootId });
    else expectWell(verdict, before);
    expect(verdict.said[0]).toMatch(/memory=ok:32MiB:\w{64}/);
    if (dirtyRate > 0) expect(verdict.said[0]).toMatch(/dirtier=ok/);
    if (mode !== "background") expect(verdict.said[0]).toMatch(/disk=ok:\w{64}/);
    await resumed.ask("net", /^net ok/);
    if (isLast) {
      await resumed.ask("poweroff", /^poweroff ok/);
      expect(await resumed.ended).toMatchObject({ code: 0 });
      expect(await fsck(String(guest.options.disk))).toMatchObject({ clean: true });
    } else await resumed.quit();
  }
  if (long && hasQemu("new") && mode === "background") await stockLoads(guest.options, file);
}

async function stockLoads(options: GuestOptions, file: string): Promise<void> {
  for (const way of stockWays) {
    const loaded = await loadStock({ ...options, extraArgs: ["-snapshot"] }, file, way);
    expect((await loaded.verdict()).said[0]).toMatch(/memory=ok:32MiB/);
    await loaded.kill();
  }
}
