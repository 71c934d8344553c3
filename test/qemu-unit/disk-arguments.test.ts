import { describe, expect, test } from "vitest";
import { mentions, withOverlays } from "../../src/qemu/disk-arguments.ts";
import { failure } from "../operations/synthetic.ts";

const overlays = [
  { image: "/images/web.qcow2", overlay: "/clones/web-1.qcow2" },
  { image: "/images/a,b.raw", overlay: "/clones/a,b-1.qcow2" },
];
const replace = (...words: readonly string[]) => withOverlays(["qemu", ...words], "/images", overlays);

describe("an image is replaced", () => {
  test.each<readonly [readonly string[], readonly string[]]>([
    [
      ["-drive", "file=/images/web.qcow2,if=virtio"],
      ["-drive", "file=/clones/web-1.qcow2,if=virtio,format=qcow2"],
    ],
    [
      ["-drive", "if=none,format=raw,file=/images/a,,b.raw,id=d"],
      ["-drive", "if=none,format=qcow2,file=/clones/a,,b-1.qcow2,id=d"],
    ],
    [
      ["-drive", "file=file:web.qcow2,snapshot"],
      ["-drive", "file=/clones/web-1.qcow2,snapshot,format=qcow2"],
    ],
    [
      ["-drive", "driver=raw,file.driver=file,file.filename=web.qcow2,if=none"],
      ["-drive", "driver=qcow2,file.driver=file,file.filename=/clones/web-1.qcow2,if=none"],
    ],
    [
      ["-hda", "web.qcow2", "-S"],
      ["-hda", "/clones/web-1.qcow2", "-S"],
    ],
    [
      ["-m", "1G", "web.qcow2"],
      ["-m", "1G", "/clones/web-1.qcow2"],
    ],
    [
      ["-blockdev", "driver=qcow2,node-name=d,backing=b,file.driver=file,file.filename=/images/web.qcow2"],
      ["-blockdev", "driver=qcow2,node-name=d,file.driver=file,file.filename=/clones/web-1.qcow2"],
    ],
    [
      [
        "-blockdev",
        "driver=raw,file=f,node-name=d",
        "-blockdev",
        "driver=host_device,filename=/images/web.qcow2,node-name=f",
      ],
      [
        "-blockdev",
        "driver=qcow2,file=f,node-name=d",
        "-blockdev",
        "driver=file,filename=/clones/web-1.qcow2,node-name=f",
      ],
    ],
    [
      [
        "-blockdev",
        `{"driver":"file","filename":"/images/web.qcow2","node-name":"f","auto-read-only":true}`,
        "-blockdev",
        `{"node-name":"d","driver":"raw","file":"f","backing":null,"cache":{"direct":true}}`,
      ],
      [
        "-blockdev",
        `{"driver":"file","filename":"/clones/web-1.qcow2","node-name":"f","auto-read-only":true}`,
        "-blockdev",
        `{"node-name":"d","driver":"qcow2","file":"f","cache":{"direct":true}}`,
      ],
    ],
    [
      [
        "-blockdev",
        `{"driver":"qcow2","node-name":"d","file":{"driver":"file","filename":"/images/web.qcow2"},"backing":{"driver":"raw"}}`,
      ],
      ["-blockdev", `{"driver":"qcow2","node-name":"d","file":{"driver":"file","filename":"/clones/web-1.qcow2"}}`],
    ],
  ])("%j", (before, after) => {
    const { argv, replaced } = replace(...before);
    expect(argv).toEqual(["qemu", ...after]);
    expect(replaced.size).toBe(1);
  });
});

test("what is none of the images stays as it is", () => {
  const words = [
    "-drive",
    "file=/images/web.qcow2.old,format=qcow2",
    "-cdrom",
    "/iso/x.iso",
    "-append",
    "root=/dev/vda",
  ];
  expect(replace(...words)).toEqual({ argv: ["qemu", ...words], replaced: new Set() });
});

describe("an image that cannot be replaced is refused, not shared", () => {
  test.each([
    ["a word of it in another option", ["-device", "x,path=/images/web.qcow2"]],
    ["inside a filter", ["-drive", "file=blkdebug::/images/web.qcow2,if=none"]],
    ["part of a raw file", ["-drive", "format=raw,offset=512,file=/images/web.qcow2"]],
    [
      "encrypted",
      ["-blockdev", "driver=qcow2,encrypt.format=luks,encrypt.key-secret=s,file.filename=/images/web.qcow2"],
    ],
  ])("%s", async (_, words) => {
    const error = await failure(async () => replace(...words));
    expect(error).toMatchObject({ code: "usage.clone-disk", details: { hint: expect.stringContaining("{n}") } });
  });
});

test("a path is mentioned only as a whole", () => {
  expect(mentions("file=/a/b,if=none", "/a/b")).toBe(true);
  expect(mentions("/a/b", "/a/b")).toBe(true);
  expect(mentions(`{"filename":"/a/b"}`, "/a/b")).toBe(true);
  expect(mentions("file=/a/b1,x=/a/b.old", "/a/b")).toBe(false);
});
