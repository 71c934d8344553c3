import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { gzipSync } from "node:zlib";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { magics } from "../../src/containers/magics.ts";
import { recognise, refusal } from "../../src/containers/recognise.ts";
import type { FixedramError } from "../../src/errors.ts";
import { encodeLibvirtHeader, libvirtMagic } from "../../src/libvirt/header.ts";
import { openSnapshot } from "../../src/operations/open.ts";
import { contentOf } from "../legacy/sample.ts";
import { build, bytesOf, describe_, PAGE, piece, preamble } from "../stream/helpers.ts";

const latin1 = (text: string) => new Uint8Array(Buffer.from(text, "latin1"));
const padded = (text: string, length = 4096) => build(latin1(text), new Uint8Array(length - text.length).fill(0xa5));
const at = (offset: number, text: string) =>
  build(new Uint8Array(offset).fill(0xa5), latin1(text), new Uint8Array(100).fill(0xa5));
const elf = (kind: string, rest: string) => padded(`\x7fELF${kind}\x01${"\0".repeat(9)}${rest}`);

/** A tiny file of each kind, written down from the format's own description, not from the table under test. */
const files: readonly [what: string, bytes: Uint8Array, code: string, found: RegExp][] = [
  ["nothing", new Uint8Array(0), "file.empty", /^undefined$/],
  ["qcow2", padded("QFI\xfb\0\0\0\x03"), "file.other-format", /^a qcow2 disk image$/],
  ["qed", padded("QED\0"), "file.other-format", /^a QED/],
  ["vmdk", padded("KDMV\x01\0\0\0"), "file.other-format", /^a VMDK/],
  ["vmdk text", padded("# Disk DescriptorFile\nversion=1\n"), "file.other-format", /^a VMDK.*description/],
  ["vhdx", padded("vhdxfile"), "file.other-format", /^a VHDX/],
  ["vhd", padded("conectix"), "file.other-format", /^a VHD /],
  ["vdi", at(64, "\x7f\x10\xda\xbe"), "file.other-format", /^a VirtualBox disk/],
  ["ELF core", elf("\x02\x01", "\x04\0\x3e\0"), "file.other-format", /^an ELF core \(64-bit\)$/],
  ["ELF core, s390", elf("\x02\x02", "\0\x04\0\x16"), "file.other-format", /^an ELF core .*big-endian/],
  ["ELF core, i386", elf("\x01\x01", "\x04\0\x03\0"), "file.other-format", /^an ELF core \(32-bit\)$/],
  ["ELF core, ppc", elf("\x01\x02", "\0\x04\0\x14"), "file.other-format", /^an ELF core \(32-bit, big/],
  ["ELF program", elf("\x02\x01", "\x03\0\x3e\0"), "file.other-format", /^an ELF program/],
  ["kdump", padded("KDUMP   \x06\0\0\0"), "file.other-format", /^a kdump/],
  ["diskdump", padded("DISKDUMP"), "file.other-format", /^a diskdump/],
  ["makedumpfile -F", padded("makedumpfile\0\0\0\0"), "file.other-format", /^a flattened/],
  ["Windows dump", padded("PAGEDU64"), "file.other-format", /^a Windows/],
  ["LiME", padded("EMiL\x01\0\0\0"), "file.other-format", /^a LiME/],
  ["AVML", padded("LMVA\x02\0\0\0"), "file.other-format", /^an AVML/],
  ["Firecracker", padded("\0\0\x64\x86\x84\x19\x10\x07"), "file.other-format", /^a Firecracker.*x86/],
  ["Firecracker", padded("\x07\0\xaa\xaa\x84\x19\x10\x07"), "file.other-format", /^a Firecracker.*aarch64/],
  ["CRIU", padded("\x19\x43\x56\x54\x47\x38\x05\x55"), "file.other-format", /^a CRIU/],
  ["CRIU service", padded("\x40\x59\x10\x55"), "file.other-format", /^a CRIU/],
  ["CRIU inventory", padded("\x16\x31\x31\x58"), "file.other-format", /^a CRIU/],
  ...["\xd0\xbe", "\xd1\xba", "\xd2\xbe", "\xd3\xbe"].map(
    (half) =>
      [
        "vmss",
        padded(half === "\xd1\xba" ? half + half : `${half}\xd2\xbe`.replace("\xd3\xbe\xd2", "\xd3\xbe\xd3")),
        "file.other-format",
        /^a VMware/,
      ] as [string, Uint8Array, string, RegExp],
  ),
  ["VirtualBox", padded("\x7fVirtualBox SavedState V2.0\0\0\0\0"), "file.other-format", /^a VirtualBox saved/],
  ["Xen", padded("\xff\xff\xff\xff\xff\xff\xff\xffXENF"), "file.other-format", /^a Xen/],
  ["xl", padded("Xen saved domain, xl format\n \0 \r"), "file.other-format", /^a Xen/],
  ["index", padded("FRAMINDX\0\0\0\x01"), "file.other-format", /^an index/],
  ["tar", at(257, "ustar\0"), "file.other-format", /^a tar/],
  ["zip", padded("PK\x03\x04"), "file.other-format", /^a zip/],
  ["iso", at(32769, "CD001"), "file.other-format", /^an ISO/],
  [
    "gzip of a stream",
    new Uint8Array(gzipSync(padded("QEVM\0\0\0\x03"))),
    "file.compressed",
    /^gzip of a migration stream$/,
  ],
  ["gzip of a disk", new Uint8Array(gzipSync(padded("QFI\xfb"))), "file.compressed", /^gzip of a qcow2/],
  ["gzip of text", new Uint8Array(gzipSync("hello, world\n")), "file.compressed", /^gzip of text$/],
  ["gzip of a bomb", new Uint8Array(gzipSync(new Uint8Array(1e8))), "file.compressed", /^gzip of (zeros|something)$/],
  ["gzip, damaged", padded("\x1f\x8b\x08\0"), "file.compressed", /^gzip of something$/],
  ["bzip2", padded("BZh91AY&SY"), "file.compressed", /^bzip2 of something$/],
  ["bzip2 of nothing", latin1("BZh9\x17\x72\x45\x38\x50\x90\0\0\0\0"), "file.compressed", /^bzip2/],
  ["xz", padded("\xfd7zXZ\0\0\x04"), "file.compressed", /^xz/],
  ["lzop", padded("\x89LZO\0\r\n\x1a\n"), "file.compressed", /^lzop/],
  ["zstd", padded("\x28\xb5\x2f\xfd"), "file.compressed", /^zstd/],
  ["lz4", padded("\x04\x22\x4d\x18"), "file.compressed", /^lz4/],
  ["libvirt, unfinished", padded("LibvirtQemudPart\x02\0\0\0"), "file.unfinished", /^LibvirtQemudPart$/],
  ["zeros", new Uint8Array(8192), "file.unknown-format", /^zeros$/],
  ["text", latin1('{\n  "not": "a snapshot"\n}\n'), "file.unknown-format", /^text$/],
  ["noise", latin1("\x01\x02\x03\x80\x90\0\0\0\0"), "file.unknown-format", /^01 02 03 80 90 00 00 00$/],
  ["one byte", latin1("\xff"), "file.unknown-format", /^ff$/],
];

describe("a file that is no snapshot", () => {
  let folder = "";
  beforeAll(() => {
    folder = mkdtempSync(join(tmpdir(), "fixedram-kinds-"));
  });
  afterAll(() => rmSync(folder, { recursive: true, force: true }));
  const failure = (path: string) =>
    openSnapshot(path).then(
      () => null,
      (error: FixedramError) => error,
    );

  it.each(files)("%s is refused by name", async (what, bytes, code, found) => {
    const path = join(folder, what.replaceAll(" ", "-"));
    writeFileSync(path, bytes);
    const error = await failure(path);
    expect(error).toMatchObject({ code, exitCode: 3 });
    expect(error?.details.path).toBe(path);
    expect(String(error?.details.found)).toMatch(found);
    expect(refusal(recognise(bytes), bytes)?.code).toBe(code);
  });

  it("every entry of the table has a file above", () => {
    const named = new Set(
      files.flatMap(([, bytes]) => {
        const is = recognise(bytes);
        return is.kind === "other" ? [is.what] : [];
      }),
    );
    expect(magics.map(({ what }) => what).filter((what) => !named.has(what))).toEqual([]);
  });

  it("is not to be unpacked when that would give no snapshot either", () => {
    const hint = (inside: Uint8Array) => refusal(recognise(gzipSync(inside)), gzipSync(inside))?.details.hint;
    expect(hint(latin1("just text\n"))).toMatch(/no snapshot either/);
    expect(hint(latin1("QFI\xfb"))).toMatch(/no snapshot either/);
    for (const inside of ["QEVM\0\0\0\x03", "LibvirtQemudSave", "\x01\x02\x03\x04"])
      expect(hint(latin1(inside))).toMatch(/^Unpack it first: gzip -dc/);
  });

  it("a folder, and a path that leads nowhere", async () => {
    mkdirSync(join(folder, "folder"));
    expect(await failure(join(folder, "folder"))).toMatchObject({ code: "file.not-regular" });
    expect(await failure(join(folder, "nowhere"))).toMatchObject({ code: "system.not-found" });
  });

  it("a stream that ends in its head", async () => {
    for (const bytes of [latin1("QEVM"), preamble.subarray(0, 10)]) {
      writeFileSync(join(folder, "cut"), bytes);
      expect(await failure(join(folder, "cut"))).toMatchObject({ code: "stream.cut" });
    }
  });

  it("is not what a migration stream is taken for", async () => {
    const path = join(folder, "stream");
    writeFileSync(
      path,
      build(
        preamble,
        piece.ramStart(),
        piece.part(2, piece.page(0, 1, "ram")),
        piece.device(9, "cpu", bytesOf(1)),
        piece.eof,
        piece.vmdesc(describe_(["cpu", 1])),
      ),
    );
    const snapshot = await openSnapshot(path);
    expect(snapshot).toMatchObject({
      container: "stream",
      name: path,
      loadable: null,
      meta: null,
      seal: { state: "none" },
    });
    expect(snapshot.map.blocks).toMatchObject([{ name: "ram", pages: 16, pageSize: PAGE }]);
    await snapshot[Symbol.asyncDispose]();
    await snapshot.close();
  });

  it("opens a raw libvirt save image as a page map, and names a compressed one", async () => {
    const stream = build(
      preamble,
      piece.ramStart(),
      piece.part(2, piece.page(3, 7, "ram")),
      piece.device(9, "cpu", bytesOf(1)),
      piece.eof,
      piece.vmdesc(describe_(["cpu", 1])),
    );
    const image = (format: "raw" | "zstd") => {
      const head = encodeLibvirtHeader({ xml: latin1("<domain/>"), cookie: null, wasRunning: true, format });
      head.set(libvirtMagic());
      return build(head, stream);
    };
    const path = join(folder, "image");
    writeFileSync(path, image("raw"));
    const snapshot = await openSnapshot(path, { index: "keep" });
    const base = image("raw").length - stream.length;
    expect(snapshot).toMatchObject({ container: "libvirt", streamBase: base, loadable: null });
    expect(snapshot.libvirt).toMatchObject({ format: "raw", wasRunning: true });
    expect((await contentOf(snapshot.map, 0, 3))?.[5]).toBe(7);
    await snapshot.close();
    let read = 0;
    const again = await openSnapshot(path, { onRead: (bytes) => (read = bytes) });
    expect((await contentOf(again.map, 0, 3))?.[5]).toBe(7);
    expect(read).toBe(0);
    await again.close();
    writeFileSync(path, image("zstd"));
    expect(await failure(path)).toMatchObject({ code: "file.compressed", details: { found: "zstd" } });
  });
});
