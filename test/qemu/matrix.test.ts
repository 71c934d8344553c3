/**
 * Every mode of save, on either QEMU and machine, into every way of loading: our resume on both QEMUs, and stock QEMU reading
 * the file by itself. The guest verifies its own memory and has the last word.
 */
import { open } from "node:fs/promises";
import { join } from "node:path";
import { describe, expect, test } from "vitest";
import type { SnapshotInfo } from "../../src/operations/inspect.ts";
import { fixedram, type Guest, hasQemu, qemu, qemus, type Status, startGuest, testFolder } from "./harness/index.ts";
import { expectWell, loadStock, resume, save, saveRefused, stockWays } from "./support/steps.ts";

const modes = ["stop", "live", "background"] as const;
const machines = ["pc", "q35"] as const;

/** 7.2 loses pages that are written while it saves live under TCG (no fault of the file: a stream does as badly), so its guest hardly writes there. */
function dirtyRate(mode: string, label: string): number {
  return mode === "live" && label === "old" ? 0 : 64;
}

for (const one of qemus()) {
  describe.each(machines)(`saved by QEMU ${one.version} on %s`, (machine) => {
    test.each(modes)("%s: resumed by every QEMU, loaded by stock QEMU", async (mode) => {
      const rate = dirtyRate(mode, one.label);
      const guest = await startGuest({ qemu: one, kind: "boot", machine, dirtyRate: rate, zeroing: true });
      const before = await guest.ready(10_000);
      const file = join(testFolder(), "guest.fram");
      if (mode === "live" && one.label === "old") {
        const { code, error } = await saveRefused(guest, file, "--mode", mode);
        expect({ code, what: error.code }).toEqual({ code: 4, what: "guest.loses-memory" });
      }
      const saved = await save(guest, file, "--mode", mode, ...(mode === "live" ? ["--force"] : []));
      expect(saved).toMatchObject({ mode, machine: guest.options.machine, runState: { after: "running" } });
      expect(saved.sizes.allocated).toBeLessThan(saved.sizes.apparent);
      expectWell(await guest.verdict(), before);
      await guest.kill();
      for (const target of qemus()) await resumes(guest, file, target, before);
      if (hasQemu("new")) for (const way of stockWays) await loads(guest, file, way, before);
    });
  });
}

async function resumes(guest: Guest, file: string, target: ReturnType<typeof qemus>[number], before: Status) {
  const resumed = await resume(guest, file, target);
  const transport = target.label === "old" ? "multifd" : "mapped-ram";
  expect(resumed.result).toMatchObject({ transport, runState: "running", qemuVersion: target.version });
  expectWell(await resumed.verdict(), before);
  expect(await resumed.quit()).toMatchObject({ code: 0 });
}

async function loads(guest: Guest, file: string, way: (typeof stockWays)[number], before: Status) {
  const loaded = await loadStock(guest.options, file, way);
  expectWell(await loaded.verdict(), before);
  await loaded.kill();
}

test("one changed bit in a file is what the guest's verdict is about", async () => {
  const guest = await startGuest({ qemu: qemu("new"), kind: "boot", zeroing: false });
  const before = await guest.ready(10_000);
  const file = join(testFolder(), "guest.fram");
  await save(guest, file, "--then", "quit");
  const info = JSON.parse((await fixedram(["info", file, "--json"])).stdout) as SnapshotInfo;
  const ram = info.blocks.find(({ name }) => name === "pc.ram");
  // A page that is written once: the guest's pages begin at 4 MiB with 16 MiB that are rewritten.
  const place = (ram?.pagesOffset ?? 0) + 24 * 2 ** 20 + 100;
  const handle = await open(file, "r+");
  const byte = Buffer.alloc(1);
  await handle.read(byte, 0, 1, place);
  byte.writeUInt8(byte.readUInt8() ^ 1);
  await handle.write(byte, 0, 1, place);
  await handle.close();
  // Stock QEMU, which checks nothing: whether our own resume notices is another test's business.
  const loaded = await loadStock(guest.options, file, "plain");
  const verdict = await loaded.verdict();
  expect(verdict).toMatchObject({ ok: false, bootId: before.bootId });
  expect(verdict.said.join("\n")).toContain("0000000001800060");
});
