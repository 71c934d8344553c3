/** Overlays, made by a program in the place of qemu-img that does as it is told; the real one is in test/qemu/clone.test.ts. */
import {
  chmodSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { describe, expect, onTestFinished, test } from "vitest";
import type { RecordedDisk } from "../../../src/fixedram/meta.ts";
import { Overlays, writableDisks } from "../../../src/operations/clone/overlays.ts";
import { requireOwnDisks } from "../../../src/operations/clone/own-disks.ts";
import { sharedByClones } from "../../../src/operations/clone/shared.ts";
import { failure } from "../synthetic.ts";

function disk(more: Partial<RecordedDisk> = {}): RecordedDisk {
  return {
    ...{ device: "drive-virtio/0", path: "/images/web.raw", format: "raw", size: 100, mtime: null, inode: "7" },
    ...{ readOnly: false, ...more },
  };
}

/** A folder with a QEMU, and a qemu-img that writes its arguments into the file it is to make. */
function scene(script = 'for last; do :; done; echo "$@" > "$last"') {
  const folder = mkdtempSync(join(tmpdir(), "fixedram-overlays-"));
  onTestFinished(() => rmSync(folder, { recursive: true, force: true }));
  writeFileSync(join(folder, "qemu-img"), `#!/bin/sh\n${script}\n`);
  chmodSync(join(folder, "qemu-img"), 0o755);
  const out = join(folder, "clones");
  return { program: join(folder, "qemu"), out, plan: { file: "/x/web.fram", disks: [disk()], count: 3, folder: out } };
}

describe("overlays", () => {
  test("are made for each clone over the recorded image, for our eyes only, and stay where they were asked for", async () => {
    const { program, out, plan } = scene();
    const overlays = await Overlays.make(plan, program);
    expect(overlays.kept).toBe(true);
    expect(readdirSync(out).sort()).toEqual([1, 2, 3].map((n) => `web-${n}-drive-virtio_0.qcow2`));
    const [second] = overlays.of(2);
    expect(second).toEqual({ image: "/images/web.raw", overlay: join(out, "web-2-drive-virtio_0.qcow2") });
    expect(readFileSync(second?.overlay ?? "", "utf8")).toMatch(/^create -q -f qcow2 -b \/images\/web.raw -F raw /);
    expect(statSync(second?.overlay ?? "").mode % 0o1000).toBe(0o600);
  });

  test("in a temporary folder they go with it", async () => {
    const { program, plan } = scene();
    const overlays = await Overlays.make({ ...plan, folder: undefined }, program);
    expect([overlays.kept, existsSync(overlays.folder)]).toEqual([false, true]);
    overlays.remove();
    expect(existsSync(overlays.folder)).toBe(false);
  });

  test("one that is there is never touched, and what was begun goes away", async () => {
    const { program, out, plan } = scene();
    mkdirSync(out);
    const old = join(out, "web-3-drive-virtio_0.qcow2");
    writeFileSync(old, "what a guest wrote");
    const error = await failure(() => Overlays.make(plan, program));
    expect(error).toMatchObject({ code: "usage.overlay-exists", details: { path: old } });
    expect(readdirSync(out)).toEqual(["web-3-drive-virtio_0.qcow2"]);
    expect(readFileSync(old, "utf8")).toBe("what a guest wrote");
  });

  test("qemu-img's own words come with its failure, and nothing is left behind", async () => {
    const { program, out, plan } = scene("echo 'Failed to get shared write lock' >&2; exit 1");
    const error = await failure(() => Overlays.make(plan, program));
    expect(error).toMatchObject({ code: "system.qemu-img", details: { said: expect.stringContaining("write lock") } });
    expect(existsSync(out)).toBe(false);
  });

  test("are for disks that the guest writes to, and keeps", () => {
    const disks = [disk(), disk({ readOnly: true }), disk({ temporary: true }), disk({ path: "nbd" })];
    expect(writableDisks(disks)).toEqual([disks[0]]);
  });
});

describe("before a guest runs its disks are looked at", () => {
  const open = (path: string, inode = "9") => ({
    ...{ device: "d0", format: "qcow2", protocol: "file", path, filename: path, qdev: null, nodeName: null },
    ...{ virtualSize: 1, removable: false, encrypted: false, temporary: false, readOnly: false, backing: [] },
    file: { size: 100, mtime: "1", inode, device: "1" },
  });
  const meta = { disks: [disk()] } as unknown as Parameters<typeof requireOwnDisks>[1];

  test("the snapshot's own, under any name, and one that another clone names are refused", async () => {
    const others = [["qemu", "-drive", "file=/mine/d2.qcow2"]];
    const check = (...given: Parameters<typeof open>) =>
      failure(async () => requireOwnDisks([open(...given)], meta, others));
    for (const error of [await check("/images/web.raw"), await check("/link", "7"), await check("/mine/d2.qcow2")])
      expect(error.code).toBe("guest.disk-shared");
    expect(() => requireOwnDisks([open("/mine/d1.qcow2")], meta, others)).not.toThrow();
    expect(() => requireOwnDisks([{ ...open("/images/web.raw"), readOnly: true }], meta, others)).not.toThrow();
  });
});

describe("what clones share is told", () => {
  const told = (...words: readonly string[]) =>
    sharedByClones(["qemu", ...words], null)
      .map(({ message }) => message)
      .join("\n");

  test("networks, random numbers", () => {
    expect(told()).not.toContain("MAC");
    expect(told("-netdev", "user,id=n", "-chardev", "socket,id=c,path=/x")).toMatch(/same MAC[^\n]*leases\.\n/);
    expect(told("-nic", "tap,ifname=t0")).toContain("on a network together");
    expect(told()).toContain("seed them yourself");
    expect(told("-device", "vmgenid,guid=auto")).toContain("acts on its new vmgenid");
    expect(told("-device", "vmgenid,guid=324e6eaf-d1d1-4bf6-bf41-b9bb6c91fb87")).toContain("has a fixed guid");
  });
});
