import { linkSync, mkdtempSync, rmSync, statSync, symlinkSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { describe, expect, test } from "vitest";
import type { RecordedDisk } from "../../../src/fixedram/meta.ts";
import { checkDisks, refuseChanged } from "../../../src/operations/resume/check-disks.ts";
import type { Disk, DiskImage } from "../../../src/qemu/disks.ts";
import { meta } from "../../fixedram/sample.ts";
import { failure } from "../synthetic.ts";

const recorded: RecordedDisk = {
  device: "virtio0",
  path: "/vm/disk.qcow2",
  format: "qcow2",
  size: 1000,
  mtime: "2026-05-04T10:00:00.000Z",
  mtimeNs: "1777888800000000001",
  inode: "12",
  readOnly: false,
};
const base = {
  path: "/vm/base.qcow2",
  format: "qcow2",
  size: 500,
  mtime: null,
  mtimeNs: "1777000000000000000",
  inode: "11",
};

function image(path: string | null, size = 1000, mtime = "1777888800000000001"): DiskImage {
  const file = path === null ? null : { size, mtime, inode: "12", device: "1" };
  return { format: "qcow2", protocol: "file", path, filename: path ?? "nbd://host/x", file };
}
function disk(top: DiskImage, backing: readonly DiskImage[] = [], device = "virtio0"): Disk {
  const rest = { qdev: null, nodeName: null, virtualSize: 1, readOnly: false, removable: false, encrypted: false };
  return { ...top, ...rest, device, temporary: false, backing };
}

function check(disks: readonly Disk[], more: Partial<RecordedDisk> = {}) {
  const { changed, notices } = checkDisks({ ...meta, disks: [{ ...recorded, ...more }] }, disks);
  return {
    changed: changed.map(({ path, what }) => `${path}: ${what}`),
    notices: notices.map(({ message }) => message),
  };
}
const fine = { changed: [], notices: [] };

describe("a recorded disk", () => {
  test("unchanged", () => expect(check([disk(image("/vm/disk.qcow2"))])).toEqual(fine));

  test("of another size", () =>
    expect(check([disk(image("/vm/disk.qcow2", 1001))]).changed).toEqual([
      "/vm/disk.qcow2: 1000 bytes then, 1001 now",
    ]));

  test("written to since, by a nanosecond", () => {
    const { changed } = check([disk(image("/vm/disk.qcow2", 1000, "1777888800000000002"))]);
    expect(changed).toEqual([
      expect.stringMatching(/^\/vm\/disk\.qcow2: written to at .*Z, last at .*Z as of the save$/),
    ]);
  });

  test("written to since, and given by another name: a symbolic or a hard link, below an overlay", () => {
    const folder = mkdtempSync(join(tmpdir(), "fixedram-test-"));
    try {
      const names = ["disk", "symbolic", "hard", "copy"].map((name) => join(folder, name));
      const [path = "", symbolic = "", hard = "", copy = ""] = names;
      for (const name of [path, copy]) writeFileSync(name, "disk");
      symlinkSync(path, symbolic);
      linkSync(path, hard);
      const { dev, ino, size, mtimeNs } = statSync(path, { bigint: true });
      const file = { size: Number(size), mtime: String(mtimeNs), inode: String(ino), device: String(dev) };
      const then = { path, size: Number(size), mtimeNs: String(mtimeNs - 1n), inode: String(ino) };
      for (const name of [symbolic, hard]) {
        const opened = { ...image(name), file };
        const changed = [expect.stringMatching(/written to at/)];
        expect(check([disk(opened)], then)).toEqual({ changed, notices: [] });
        expect(check([disk(image("/vm/top"), [opened])], then)).toEqual({ changed, notices: [] });
        expect(check([disk(opened, [], "other")], then)).toEqual({ changed, notices: [] });
        expect(check([disk(opened)], { ...then, mtimeNs: String(mtimeNs) })).toEqual(fine);
      }
      const other = { ...file, inode: String(statSync(copy, { bigint: true }).ino) };
      expect(check([disk({ ...image(copy), file: other })], then)).toEqual({
        changed: [],
        notices: [expect.stringMatching(/not checked/)],
      });
    } finally {
      rmSync(folder, { recursive: true, force: true });
    }
  });

  test("that cannot be looked at", () =>
    expect(check([disk({ ...image("/vm/disk.qcow2"), file: null })]).changed).toEqual([
      "/vm/disk.qcow2: it cannot be looked at",
    ]));

  test("below an overlay made since", () =>
    expect(check([disk(image("/tmp/overlay.qcow2", 7, "9"), [image("/vm/disk.qcow2")])])).toEqual(fine));

  test("below an overlay, but changed", () =>
    expect(check([disk(image("/tmp/overlay.qcow2", 7, "9"), [image("/vm/disk.qcow2", 5)])]).changed).toHaveLength(1));

  test("below -snapshot's unnamed file", () =>
    expect(check([disk({ ...image("/tmp/vl.abcdef"), file: null }, [image("/vm/disk.qcow2")])])).toEqual(fine));

  test("under another device's name, found by its path", () =>
    expect(check([disk(image("/vm/disk.qcow2"), [], "ide0")])).toEqual(fine));

  test("another file altogether: not judged, said", () => {
    const { changed, notices } = check([disk(image("/copy/disk.qcow2", 1, "1"))]);
    expect(changed).toEqual([]);
    expect(notices).toEqual([expect.stringContaining("not /vm/disk.qcow2 as recorded")]);
  });

  test("a network image in its place: not judged, named as QEMU names it", () =>
    expect(check([disk(image(null))]).notices[0]).toContain("nbd://host/x"));

  test("missing", () => {
    expect(check([]).notices).toEqual([expect.stringContaining("is not there")]);
    expect(check([disk(image("/vm/other.qcow2"), [], "virtio1")]).changed).toEqual([]);
  });

  test("whose time was not recorded is not judged, and that is said", () => {
    const { changed, notices } = check([disk(image("/vm/disk.qcow2", 5))], { size: null, mtimeNs: null });
    expect(changed).toEqual([]);
    expect(notices).toEqual([expect.stringContaining("whether it changed was not checked")]);
  });

  test("that was on -snapshot when saved gives a warning", () =>
    expect(check([disk(image("/vm/disk.qcow2"))], { temporary: true }).notices[0]).toContain("-snapshot"));

  test("whose backing file changed", () => {
    const chain = disk(image("/vm/disk.qcow2"), [image("/vm/base.qcow2", 500, "1777000000000000001")]);
    expect(check([chain], { backing: [base] }).changed).toEqual([
      expect.stringContaining("/vm/base.qcow2: written to"),
    ]);
    const same = disk(image("/vm/disk.qcow2"), [image("/vm/base.qcow2", 500, "1777000000000000000")]);
    expect(check([same], { backing: [base] })).toEqual(fine);
  });
});

test("refuseChanged names every disk and the way out; nothing changed is nothing refused", async () => {
  refuseChanged([], "x.fram");
  const changed = [
    { device: "a", path: "/a", what: "it grew" },
    { device: "b", path: "/b", what: "it shrank" },
  ];
  expect(await failure(() => refuseChanged(changed, "x.fram"))).toMatchObject({
    code: "guest.disk-changed",
    details: { path: "/a", found: "a: it grew; b: it shrank", hint: expect.stringContaining("--force") },
  });
});
