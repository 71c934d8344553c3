import { describe, expect, test } from "vitest";
import { parseFilename } from "../../src/qemu/disks.ts";
import { parseMtree, parseRamblocks } from "../../src/qemu/memory-map.ts";
import { parseCmdline } from "../../src/qemu/process.ts";
import { parseProcNetTcp, parseProcNetUnix } from "../../src/qemu/sockets.ts";

const bytes = (text: string) => Buffer.from(text, "latin1");

describe("command lines from /proc", () => {
  test.each([
    ["", [], false],
    ["a\0", ["a"], true],
    ["a\0b\nc\0\0\0", ["a", "b\nc", "", ""], true],
    ["a\0b", ["a", "b"], true],
    ["a\0\xc3\xa9\0", ["a", "é"], true],
    ["a\0\xff\0", ["a", "\ufffd"], false],
  ])("%j", (text, argv, exact) => {
    expect(parseCmdline(bytes(text))).toEqual({ argv, exact });
  });
});

describe("socket tables", () => {
  test("unix: listening and connected, pending ones and broken lines left out", () => {
    const text = `Num       RefCount Protocol Flags    Type St Inode Path
00000000f64031b5: 00000002 00000000 00010000 0001 01 12737 /tmp/a b/s1
00000000b6f90aa3: 00000003 00000000 00000000 0001 03 12004 /tmp/a b/s1
00000000859ae27f: 00000003 00000000 00000000 0001 02     0 /tmp/a b/s1
00000000859ae27a: 00000003 00000000 00000000 0001 03 99
00000000859ae27b: 00000002 00000000 00010000 0001 01 77 /tmp/new
line: 00000002 /tmp/evil
`;
    expect(parseProcNetUnix(text)).toEqual([
      { inode: "12737", path: "/tmp/a b/s1", state: "listening" },
      { inode: "12004", path: "/tmp/a b/s1", state: "connected" },
      { inode: "77", path: "/tmp/new", state: "listening" },
    ]);
  });

  test("tcp: the port on loopback or any address, listening", () => {
    const row = (local: string, state: string, inode: number) =>
      `   0: ${local} 00000000:0000 ${state} 00000000:00000000 00:00000000 00000000     0        0 ${inode} 1 0 100 0\n`;
    const text = [
      "  sl  local_address rem_address   st\n",
      row("0100007F:115C", "0A", 1),
      row("00000000:115C", "0A", 2),
      row("0101A8C0:115C", "0A", 3),
      row("0100007F:115D", "0A", 4),
      row("0100007F:115C", "01", 5),
      row("00000000000000000000000001000000:115C", "0A", 6),
    ].join("");
    expect(parseProcNetTcp(text, 4444, "listening")).toEqual(["1", "2", "6"]);
    expect(parseProcNetTcp(text, 4444, "connected")).toEqual(["5"]);
  });
});

describe("memory map text", () => {
  const ramblock = `              Block Name    PSize              Offset               Used              Total                HVA  RO
                  pc.ram    4 KiB  0x0000000000000000 0x0000000004000000 0x0000000004000000 0x00007f6717e00000  rw
            huge   name     2 MiB  0x0000000000000000 0x0000000000200000 0x0000000000200000 0x00007f6717e00000  rw
   0000:00:01.0/vga.vram    4 KiB  0x0000000004080000 0x0000000001000000 0x0000000001000000 0x00007f6768a00000  rw
   0000:00:02.0/vga.vram    4 KiB  0x00000000050c0000 0x0000000001000000 0x0000000001000000 0x00007f6716c00000  rw
   0000:00:03.0/one.vram    4 KiB  0x00000000050c0000 0x0000000001000000 0x0000000001000000 0x00007f6716c00000  rw
`;
  const blocks = parseRamblocks(ramblock);

  test("info ramblock, two page sizes, a name with blanks", () => {
    expect(blocks.map((block) => block.name)).toEqual([
      "pc.ram",
      "huge   name",
      "0000:00:01.0/vga.vram",
      "0000:00:02.0/vga.vram",
      "0000:00:03.0/one.vram",
    ]);
    expect(blocks[1]?.pageSize).toBe(2 * 1024 * 1024);
  });

  test("KVM's mark, flash, device memory, i/o, other views, two like devices", () => {
    const text = `FlatView #0
 AS "cpu-smm-0", root: memory
  0000000000000000-0000000003ffffff (prio 0, ram): wrong
FlatView #1
 AS "memory", root: system
 AS "cpu-memory-0", root: system
 Root memory region: system
  00000000fffc0000-00000000ffffffff (prio 0, romd): system.flash0 KVM
  0000000000000000-000000000009ffff (prio 0, ram): pc.ram KVM
  0000000000100000-0000000003ffffff (prio 0, ram): pc.ram @0000000000100000 KVM
  00000000fd000000-00000000fdffffff (prio 1, ram): vga.vram
  00000000fc000000-00000000fcffffff (prio 1, ram): one.vram
  00000000fe000000-00000000fe000fff (prio 0, ramd): vfio
  00000000fee00000-00000000feefffff (prio 4096, i/o): apic-msi
  ffff000000000000-ffffffffffffffff (prio 0, i/o): end
FlatView #2
 AS "I/O", root: io
  0000000000000000-0000000000000007 (prio 0, ram): dma-chan
`.replaceAll("\n", "\r\n");
    const map = parseMtree(text, blocks);
    expect(map.map((range) => [range.region, range.block, range.offset, range.readOnly])).toEqual([
      ["pc.ram", "pc.ram", 0, false],
      ["pc.ram", "pc.ram", 0x100000, false],
      ["one.vram", "0000:00:03.0/one.vram", 0, false],
      ["vga.vram", null, 0, false],
      ["system.flash0", null, 0, true],
    ]);
  });

  test("text without a CPU's memory is refused", () => {
    const no = () => parseMtree('FlatView #0\n AS "I/O", root: io\n', []);
    expect(no).toThrow(expect.objectContaining({ code: "qemu.memory-map" }));
    const far = 'FlatView #0\n AS "memory", root: s\n  ffff000000000000-ffffffffffffffff (prio 0, ram): x\n';
    expect(() => parseMtree(far, [])).toThrow(expect.objectContaining({ code: "qemu.memory-map" }));
  });
});

describe("image names", () => {
  test.each([
    ["/a/b.img", "file", "/a/b.img"],
    ["b:c.img", "b", null],
    ["./b:c.img", "file", "./b:c.img"],
    ["file:b:c.img", "file", "b:c.img"],
    ["/dev/vg/lv", "host_device", "/dev/vg/lv"],
    ["nbd+unix:///x?socket=/run/s", "nbd+unix", null],
    ["rbd:pool/image", "rbd", null],
    ['json:{"driver":"qcow2","file":{"driver":"file","filename":"/x,y"}}', "file", "/x,y"],
    [
      'json:{"driver":"raw","file":{"driver":"throttle","file":{"driver":"host_device","filename":"/dev/sda"}}}',
      "host_device",
      "/dev/sda",
    ],
    ['json:{"driver":"qcow2","file.driver":"file","file.filename":"/x"}', "file", "/x"],
    ['json:{"driver":"raw","file":{"driver":"nbd","server":{}}}', "nbd", null],
    ["json:{", "unknown", null],
    ["json:[]", "unknown", null],
    ["", "file", null],
  ])("%s", (filename, protocol, name) => {
    expect(parseFilename(filename)).toEqual({ protocol, name });
  });
});
