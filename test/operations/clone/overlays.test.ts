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
import { DiskOwners, requireOwnCommand, requireOwnDisks } from "../../../src/operations/clone/own-disks.ts";
import { sharedByClones } from "../../../src/operations/clone/shared.ts";
import { withOverlays } from "../../../src/qemu/disk-arguments.ts";
import { ownArguments } from "../../../src/qemu/own-arguments.ts";
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

  test("one that somebody else makes meanwhile is theirs: it is neither written to nor taken away", async () => {
    const theirs = (out: string) => join(out, "web-1-drive-virtio_0.qcow2");
    const { program, out, plan } = scene(
      'for last; do :; done; echo ours > "$last"; echo theirs > "$(dirname "$last")/web-1-drive-virtio_0.qcow2"',
    );
    const error = await failure(() => Overlays.make(plan, program));
    expect(error).toMatchObject({ code: "usage.overlay-exists", details: { path: theirs(out) } });
    expect(readdirSync(out)).toEqual(["web-1-drive-virtio_0.qcow2"]);
    expect(readFileSync(theirs(out), "utf8")).toBe("theirs\n");
  });

  test("of two that begin at once in one folder, one has all and the other leaves nothing", async () => {
    const { program, out, plan } = scene('for last; do :; done; sleep 0.1; echo "$$" > "$last"');
    const results = await Promise.allSettled([Overlays.make(plan, program), Overlays.make(plan, program)]);
    expect(results.map(({ status }) => status).sort()).toEqual(["fulfilled", "rejected"]);
    expect(readdirSync(out).sort()).toEqual([1, 2, 3].map((n) => `web-${n}-drive-virtio_0.qcow2`));
    expect(new Set(readdirSync(out).map((name) => readFileSync(join(out, name), "utf8"))).size).toBe(1);
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
    const mine = () => true;
    const check = (...given: Parameters<typeof open>) =>
      failure(async () => requireOwnDisks([open(...given)], meta, others, mine));
    for (const error of [await check("/images/web.raw"), await check("/link", "7"), await check("/mine/d2.qcow2")])
      expect(error.code).toBe("guest.disk-shared");
    expect(() => requireOwnDisks([open("/mine/d1.qcow2")], meta, others, mine)).not.toThrow();
    expect(() => requireOwnDisks([{ ...open("/images/web.raw"), readOnly: true }], meta, others, mine)).not.toThrow();
  });

  test("one that another clone's QEMU has opened already is refused, whatever it is called", async () => {
    const owners = new DiskOwners();
    const check = (filename: string, clone: number, file: ReturnType<typeof open>["file"] | null = null) =>
      requireOwnDisks([{ ...open(filename), protocol: "nbd", path: null, file }], null, [], (disk) =>
        owners.claim(disk, clone),
      );
    check("nbd://h/x", 1);
    check("nbd://h/x", 1);
    check("nbd://h/y", 2);
    check("/a", 1, open("/a", "77").file);
    for (const shared of [() => check("nbd://h/x", 2), () => check("/b", 2, open("/b", "77").file)])
      expect((await failure(async () => shared())).code).toBe("guest.disk-shared");
  });
});

describe("before anything is started the command is looked at", () => {
  const check = (...words: readonly string[]) => {
    const argv = ["qemu", ...words];
    const numbered = ownArguments(argv, 1).argv;
    const overlay = [{ image: "/images/web.raw", overlay: "/clones/web-1.qcow2" }];
    requireOwnCommand(argv, numbered, withOverlays(numbered, "/images", overlay).argv, "/images");
  };

  test("disks and memory that would be the same for all are refused, with what to do", async () => {
    const disk = await failure(async () => check("-drive", "file=nbd://h/x,if=virtio"));
    const hint = expect.stringMatching(/\{n\}.*readonly=on.*snapshot=on/);
    expect(disk).toMatchObject({
      code: "guest.disk-shared",
      details: { found: "-drive file=nbd://h/x,if=virtio", hint },
    });
    const object = "memory-backend-file,id=m,size=1G,share=on,mem-path=/dev/shm/no-such-vm";
    const memory = await failure(async () => check("-object", object));
    expect(memory).toMatchObject({ code: "guest.memory-shared", details: { found: `-object ${object}` } });
  });

  test("their own are not", () => {
    check("-drive", "file=web.raw,format=raw", "-object", "memory-backend-file,share=on,mem-path=/dev/shm/vm{n}");
  });
});

describe("what clones share is told", () => {
  const told = (...words: readonly string[]) =>
    sharedByClones(["qemu", ...words], null)
      .map(({ message }) => message)
      .join("\n");

  test("networks, random numbers", () => {
    expect(told()).not.toContain("MAC");
    expect(told("-netdev", "user,id=n", "-chardev", "socket,id=c,path=/x")).toMatch(/same MAC[^\n]*leases\n/);
    expect(told("-nic", "tap,ifname=t0")).toContain("on a network together");
    expect(told()).toContain("seed them yourself");
    expect(told("-device", "vmgenid,guid=auto")).toContain("acts on its new vmgenid");
    expect(told("-device", "vmgenid,guid=324e6eaf-d1d1-4bf6-bf41-b9bb6c91fb87")).toContain("has a fixed guid");
  });
});
