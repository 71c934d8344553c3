import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { describe, expect, onTestFinished, test } from "vitest";
import { withOverlays } from "../../src/qemu/disk-arguments.ts";
import { ownArguments } from "../../src/qemu/own-arguments.ts";
import { sharedDisk, sharedMemory } from "../../src/qemu/shared-arguments.ts";

const overlay = [{ image: "/images/web.qcow2", overlay: "/clones/web-1.qcow2" }];

function shared(words: readonly string[], program = ["qemu"], cwd = "/images"): string | null {
  const argv = [...program, ...words];
  const numbered = ownArguments(argv, 1).argv;
  return sharedDisk(argv, numbered, withOverlays(numbered, cwd, overlay).argv, cwd);
}

describe("a disk that all clones would write to", () => {
  test.each<readonly [readonly string[]]>([
    [["-drive", "file=nbd://host/x,if=virtio"]],
    [["-drive", "file=nbd:host:10809,if=virtio,readonly=off"]],
    [["-drive", "file.driver=nbd,file.host=h,file.port=1,if=virtio"]],
    [["-drive", "driver=nbd,server.type=inet,server.host=h,if=none,id=d{n}"]],
    [["-drive", 'file=json:{"driver":"nbd","server":{"host":"h"}},if=none']],
    [["-drive", "file=disk.qcow2"]],
    [["-drive", "file=/mine/own.qcow2,if=none,id=d{n},serial={n}"]],
    [["-hda", "rbd:pool/image"]],
    [["-m", "1G", "other.qcow2"]],
    [["--blockdev", "driver=nbd,node-name=n{n},server.type=inet,server.host=h,server.port=1,export=x"]],
    [["-snapshot", "-blockdev", "driver=file,filename=/x,node-name=f"]],
    [["-blockdev", '{"driver":"rbd","pool":"p","image":"i","node-name":"f","read-only":false}']],
    [["-blockdev", "driver=nbd,node-name=f,path=/s", "-blockdev", "driver=raw,file=f,node-name=d"]],
    [["-blockdev", "driver=quorum,vote-threshold=1,node-name=q,children.0=a,children.1=b"]],
  ])("%j", (words) => {
    expect(shared(words)).not.toBeNull();
    expect(shared([...words, "-S"])).toBe(shared(words));
  });

  test("is not one that is replaced, each one's own, read-only, or goes with its QEMU", () => {
    const fine: readonly (readonly string[])[] = [
      ["-drive", "file=/images/web.qcow2,if=virtio"],
      ["-hda", "web.qcow2"],
      ["web.qcow2"],
      ["-blockdev", "driver=file,filename=web.qcow2,node-name=f", "-blockdev", "driver=qcow2,file=f,node-name=d"],
      ["-drive", "file=nbd://host/x-{n},if=virtio"],
      ["-drive", "file=disk-{n}.qcow2"],
      ["-hda", "rbd:pool/image-{n}"],
      ["-m", "1G", "other-{n}.qcow2"],
      ["-blockdev", '{"driver":"nbd","server":{"host":"h"},"export":"x{n}","node-name":"f"}'],
      ["-drive", "file=nbd://host/x,readonly=on"],
      ["-drive", "file=nbd://host/x,snapshot=on"],
      ["-drive", "file=https://host/x.iso"],
      ["-snapshot", "-hda", "nbd://host/x"],
      ["-drive", "if=none,id=cd0,media=cdrom"],
      ["-drive", "if=none,id=cd0,file="],
      ["-drive", "file=/iso/x.iso,media=cdrom"],
      ["-cdrom", "/iso/x.iso", "-kernel", "vmlinuz", "-append", "root=/dev/vda"],
      ["-blockdev", '{"driver":"rbd","pool":"p","image":"i","node-name":"f","read-only":true}'],
      ["-blockdev", "driver=null-co,node-name=n"],
    ];
    expect(fine.map((words) => shared(words))).toEqual(fine.map(() => null));
  });

  test("a node that only read-only ones lie on is read-only; not when a device uses it as well", () => {
    const storage = ["-blockdev", '{"driver":"file","filename":"/fw.fd","node-name":"s","auto-read-only":true}'];
    const format = ["-blockdev", '{"driver":"raw","file":"s","node-name":"f","read-only":true}'];
    const backing = ["-blockdev", "driver=qcow2,file.filename=top-{n}.qcow2,backing=s,node-name=t"];
    expect([shared([...storage, ...format]), shared([...storage, ...backing])]).toEqual([null, null]);
    expect(shared([...storage, ...format, "-device", "virtio-blk-pci,drive=s"])).toBe(storage.join(" "));
    expect(shared([...storage, "-blockdev", "driver=raw,file=s,node-name=f"])).toBe(storage.join(" "));
  });

  test("programs before QEMU are no disks", () => {
    expect(shared(["-S"], ["env", "A=1", "taskset", "-c", "0", "/usr/bin/qemu-system-x86_64"])).toBeNull();
    expect(shared(["-hda", "x"], ["nice", "-n", "5", "qemu-system-x86_64"])).toBe("-hda x");
  });

  test("may stand in a -readconfig file", () => {
    const folder = mkdtempSync(join(tmpdir(), "fixedram-shared-"));
    onTestFinished(() => rmSync(folder, { recursive: true, force: true }));
    writeFileSync(join(folder, "disks"), '[drive "d"]\n  file = "x"\n');
    writeFileSync(join(folder, "devices"), '[device "d"]\n  driver = "virtio-rng-pci"\n');
    expect(shared(["-readconfig", "disks"], ["qemu"], folder)).toBe("-readconfig disks");
    expect(shared(["-readconfig", "devices"], ["qemu"], folder)).toBeNull();
    expect(shared(["-readconfig", "gone"], ["qemu"], folder)).toBe("-readconfig gone");
  });
});

test("memory in a file that all clones would load into: share=on, and no {n} and no folder for mem-path", () => {
  const memory = (...words: readonly string[]) => sharedMemory(["qemu", ...words], tmpdir()) !== null;
  const json = (more: object) => JSON.stringify({ "qom-type": "memory-backend-file", id: "m", size: 1, ...more });
  expect(memory("-object", "memory-backend-file,id=m,size=1G,mem-path=/dev/shm/no-vm,share=on")).toBe(true);
  expect(memory("-object", "qom-type=memory-backend-file,id=m{n},size=1G,mem-path=no-vm,share=yes")).toBe(true);
  expect(memory("-object", json({ "mem-path": "/dev/shm/no-vm", share: true }))).toBe(true);
  expect(memory("-object", "memory-backend-file,id=m,size=1G,mem-path=/dev/shm/vm{n},share=on")).toBe(false);
  expect(memory("-object", `memory-backend-file,id=m,size=1G,mem-path=${tmpdir()},share=on`)).toBe(false);
  expect(memory("-object", "memory-backend-file,id=m,size=1G,mem-path=.,share=on")).toBe(false);
  expect(memory("-object", "memory-backend-file,id=m,size=1G,mem-path=/dev/shm/no-vm")).toBe(false);
  expect(memory("-object", json({ "mem-path": "/dev/shm/no-vm", share: false }))).toBe(false);
  expect(memory("-object", "memory-backend-memfd,id=m,size=1G,share=on")).toBe(false);
});
