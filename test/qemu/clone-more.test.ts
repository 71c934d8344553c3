/** Clones of other machines than the usual, more of them than start at once; and a lazy resume over a disk that is taken. */
import { execFileSync } from "node:child_process";
import { existsSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, test } from "vitest";
import { QmpClient } from "../../src/qmp/client.ts";
import { type GuestOptions, type Qemu, qemu, qemus, sha256, startGuest, testFolder } from "./harness/index.ts";
import { clone } from "./support/clones.ts";
import { lazily } from "./support/lazy.ts";
import { processesWith } from "./support/processes.ts";
import { expectWell, refused, resumeCommand, save } from "./support/steps.ts";

async function saved(one: Qemu, options: Partial<GuestOptions> = {}) {
  const guest = await startGuest({ qemu: one, kind: "boot", dirtyRate: 4, ...options });
  const before = await guest.ready(60_000);
  const file = join(testFolder(), "guest.fram");
  await save(guest, file, "--then", "quit");
  await guest.exited;
  return { guest, file, before };
}

function emptyDisk(): string {
  const disk = join(testFolder(), "disk.qcow2");
  execFileSync("qemu-img", ["create", "-q", "-f", "qcow2", disk, "1M"]);
  return disk;
}

describe.each(qemus())("QEMU $label ($version)", { timeout: 240_000 }, (one) => {
  test("clones with a vmgenid each have another, in the guest's memory too", async () => {
    const { guest, file, before } = await saved(one, { extraArgs: ["-device", "vmgenid,guid=auto,id=generation"] });
    const clones = clone(guest, file, one, 2);
    const { clones: results } = await clones.answer();
    expect(results.map(({ error }) => error)).toEqual([null, null]);
    expect(clones.stderr()).toMatch(/until each guest acts on its new vmgenid/);
    const guids: unknown[] = [];
    for (const { number, qmp } of results) {
      expectWell(await clones.verdict(number), before);
      const client = await QmpClient.connect(qmp ?? "");
      const { guid } = (await client.execute("query-vm-generation-id")) as { readonly guid: string };
      client.close();
      guids.push(guid);
    }
    expect(new Set(guids).size).toBe(2);
    clones.signal("SIGTERM");
    await clones.ended;
  });

  test("a guest whose disks are -blockdev nodes, as libvirt writes them: overlays in their place", async () => {
    const disk = emptyDisk();
    const digest = await sha256(disk);
    const storage = { driver: "file", filename: disk, "node-name": "libvirt-1-storage", "auto-read-only": true };
    const format = { "node-name": "libvirt-1-format", "read-only": false, driver: "qcow2", file: "libvirt-1-storage" };
    const nodes = [storage, format].flatMap((node) => ["-blockdev", JSON.stringify(node)]);
    const device = ["-device", "virtio-blk-pci,drive=libvirt-1-format,id=virtio-disk0"];
    const { guest, file, before } = await saved(one, { extraArgs: [...nodes, ...device] });
    const clones = clone(guest, file, one, 2);
    const { clones: results } = await clones.answer();
    expect(results.map(({ error }) => error)).toEqual([null, null]);
    const overlays = results.flatMap((each) => each.overlays);
    expect([overlays.length, new Set(overlays).size, overlays.every((path) => existsSync(path))]).toEqual([2, 2, true]);
    for (const { number, qmp, overlays: own } of results) {
      expectWell(await clones.verdict(number), before);
      const client = await QmpClient.connect(qmp ?? "");
      // What the guest's disk is now: its own overlay over the recorded image.
      expect(JSON.stringify(await client.execute("query-block"))).toContain(own[0] ?? "nothing");
      client.close();
    }
    clones.signal("SIGTERM");
    await clones.ended;
    expect(await sha256(disk)).toBe(digest);
  });

  test("a lazy resume over a disk that another QEMU has: it is said, no QEMU stays, and it works once the disk is free", async () => {
    const drive = `if=none,id=d0,format=qcow2,file=${emptyDisk()}`;
    const extraArgs = ["-drive", drive, "-device", "virtio-blk-pci,drive=d0"];
    const { guest, file, before } = await saved(one, { extraArgs });
    const digest = await sha256(file);
    const other = await startGuest({ qemu: one, kind: "boot", extraArgs });
    await other.ready();
    const { argv, serialPath } = resumeCommand(guest.options);
    const { code, error } = await refused(["resume", file, "--lazy", "--prefetch", "none", "--json", "--", ...argv]);
    expect({ code, error: error.code }).toEqual({ code: 4, error: "qemu.load-failed" });
    expect(error.said).toMatch(/Failed to get "write" lock/);
    expect(error.hint).toMatch(/Another QEMU (?:still uses a disk|may still use one of its disks)/);
    expect(processesWith(serialPath)).toEqual([]);
    expect(await sha256(file)).toBe(digest);
    await other.kill();
    const resumed = await lazily(guest, file, one, { args: ["--prefetch", "none"] });
    expectWell(await resumed.verdict(), before);
    await resumed.quit();
  });
});

test("nine clones, one more than are started at once", { timeout: 240_000 }, async () => {
  const one = qemu("new");
  const { guest, file, before } = await saved(one, { memory: 48, still: 8, dirty: 4 });
  const clones = clone(guest, file, one, 9);
  const { clones: results } = await clones.answer();
  expect(results.map(({ state, error }) => [state, error])).toEqual(Array.from({ length: 9 }, () => ["loaded", null]));
  expect(new Set(results.map(({ pid }) => pid)).size).toBe(9);
  for (const { number } of results) expectWell(await clones.verdict(number), before);
  clones.signal("SIGINT");
  expect((await clones.ended).code).toBe(130);
});
