import * as fs from "node:fs";
import { tmpdir } from "node:os";
import { delimiter, join } from "node:path";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { FixedRamWriter } from "../../src/fixedram/writer.ts";
import { findVmcoreinfo } from "../../src/operations/export/vmcoreinfo.ts";
import { type ExportFormat, type ExportOptions, exportSnapshot } from "../../src/operations/export.ts";
import { Inside } from "../../src/operations/inside/open.ts";
import { TargetFile } from "../../src/storage/target-file.ts";
import { section } from "../devices/sample.ts";
import { batch, configuration, meta, ramStart, tail } from "../fixedram/sample.ts";
import { x86Section } from "../machine/cpu-sections.ts";
import { Tables } from "../machine/sample.ts";
import { coreOf } from "../physical/core.ts";
import { snapshotOf } from "./inside/sample.ts";
import { failure } from "./synthetic.ts";

const MiB = 2 ** 20;
const page = 4096;
/** Where the kernel was put: 2 MiB, at 0xffffffff81000000 + 16 MiB. */
const physBase = 2 * MiB - 0x0200_0000;
const text = 0xffff_ffff_8200_0000n;

/** A note as Linux writes it. */
function linuxNote(release: string, uts: bigint, more = ""): Buffer {
  const lines = `OSRELEASE=${release}\nPAGESIZE=4096\nSYMBOL(init_uts_ns)=${uts.toString(16)}\n${more}`;
  const bytes = Buffer.alloc(24 + Math.ceil(lines.length / 4) * 4);
  bytes.writeUInt32LE(11, 0);
  bytes.writeUInt32LE(lines.length, 4);
  bytes.write("VMCOREINFO\0", 12, "latin1");
  bytes.write(lines, 24, "latin1");
  return bytes;
}

const symbols = `SYMBOL(_stext)=${text.toString(16)}\nSYMBOL(init_top_pgt)=${(text + 0x1000n - 0x20_0000n).toString(16)}\nNUMBER(phys_base)=${physBase}\n`;

/** 8 MiB: page tables from 4096 on, the kernel at 2 MiB, its uts namespace in it. */
function memory(place: (ram: Buffer) => void): Buffer {
  const tables = new Tables(4, 8 * MiB);
  for (let at = 0n; at < 3n; at++)
    tables.map({ virtual: text + at * 0x20_0000n, physical: (at + 1n) * 0x20_0000n, level: 2, flags: 3n });
  const ram = Buffer.from(tables.bytes.buffer);
  ram.write("Linux\0", 2 * MiB + 0x3000, "latin1");
  ram.write("\x006.1.0-now\0", 2 * MiB + 0x3000 + 129, "latin1");
  place(ram);
  return ram;
}
const uts = text + 0x3000n;

const vmcoreinfo = (has: number, format: number, address: number) =>
  section("vmcoreinfo", 1, (b) =>
    b
      .uint("has_vmcoreinfo", 1, has)
      .uint("vmcoreinfo.host_format", 2, 1)
      .uint("vmcoreinfo.guest_format", 2, format)
      .uint("vmcoreinfo.size", 4, 300)
      .uint("vmcoreinfo.paddr", 8, address),
  );

const find = async (ram: Buffer, ...sections: ReturnType<typeof section>[]) => {
  const inside = new Inside(snapshotOf("pc-i440fx-7.2", [["pc.ram", ram]], [x86Section(), ...sections]));
  const found = await findVmcoreinfo(inside, inside.cpus, {});
  return found === null ? null : [found.from, found.address, found.release];
};

describe("VMCOREINFO", () => {
  const right = linuxNote("6.1.0-now", uts, symbols);

  test("is found by a search, page-aligned or not", async () => {
    for (const at of [5 * MiB, 5 * MiB + 1234 * 4])
      expect(await find(memory((ram) => right.copy(ram, at)))).toEqual(["search", at, "6.1.0-now"]);
  });

  test("is found by what the guest told QEMU's device", async () => {
    const ram = memory((all) => right.copy(all, 5 * MiB));
    expect(await find(ram, vmcoreinfo(1, 1, 5 * MiB))).toEqual(["device", 5 * MiB, "6.1.0-now"]);
    // Not told, told in another format, told wrongly: it is searched for.
    for (const told of [
      vmcoreinfo(0, 1, 5 * MiB),
      vmcoreinfo(1, 2, 5 * MiB),
      vmcoreinfo(1, 1, 6 * MiB),
      vmcoreinfo(1, 1, 2 ** 40),
    ])
      expect(await find(ram, told)).toEqual(["search", 5 * MiB, "6.1.0-now"]);
  });

  test("of an earlier boot is passed over, wherever it stands", async () => {
    const stale = linuxNote("6.1.0-now", uts + 0x10_0000n, symbols);
    const older = linuxNote("5.10.0-old", uts, symbols);
    const ram = memory((all) => {
      stale.copy(all, 4 * MiB);
      older.copy(all, 4 * MiB + page);
      right.copy(all, 6 * MiB);
    });
    expect(await find(ram, vmcoreinfo(1, 1, 4 * MiB))).toEqual(["search", 6 * MiB, "6.1.0-now"]);
    expect(await find(memory((all) => stale.copy(all, 4 * MiB)))).toBeNull();
  });

  test("without phys_base is checked through a CPU's page tables", async () => {
    const old = linuxNote("6.1.0-now", uts);
    expect(await find(memory((ram) => old.copy(ram, 5 * MiB)))).toEqual(["search", 5 * MiB, "6.1.0-now"]);
  });

  test.each([
    ["a length that is too large", (note: Buffer) => note.writeUInt32LE(0x7fff_ffff, 4)],
    ["no release", (note: Buffer) => note.write("XSRELEASE", 24)],
    ["a symbol that is no number", (note: Buffer) => note.write("SYMBOL(init_uts_ns)=zz", 24 + 34)],
  ])("with %s is none", async (_, spoil) => {
    const note = Buffer.from(right);
    spoil(note);
    expect(await find(memory((ram) => note.copy(ram, 5 * MiB)))).toBeNull();
  });
});

describe("export", () => {
  let folder: string;
  let file: string;
  beforeEach(() => {
    folder = fs.mkdtempSync(join(tmpdir(), "fixedram-export-"));
    file = join(folder, "guest.fram");
  });
  afterEach(() => fs.rmSync(folder, { recursive: true, force: true }));

  /** 100 pages, the memory map as recorded: a hole in the middle. Its devices have no CPU. */
  async function write(end = tail(), machine = configuration().machine): Promise<void> {
    const record = { ...configuration(), machine };
    const writer = new FixedRamWriter(TargetFile.create(file), record, ramStart(["pc.ram", 100], ["rom", 4]));
    const [ram, rom] = writer.blocks;
    if (ram === undefined || rom === undefined) throw new Error("no block");
    writer.writePages(
      batch(ram, [
        [0, 1],
        [59, 2],
        [60, 3],
        [99, 4],
      ]),
    );
    writer.writePages(batch(rom, [[0, 9]]));
    writer.tail(end);
    await writer.finish({
      ...meta,
      machine,
      memoryMap: [
        { start: 0, length: 60 * page, block: "pc.ram", offset: 0 },
        { start: 100 * page, length: 40 * page, block: "pc.ram", offset: 60 * page },
        { start: 200 * page, length: 4 * page, block: "rom", offset: 0 },
      ],
    });
  }

  /** Of pc.ram, whose entry is the first. */
  function pagesOffset(): number {
    const head = Buffer.alloc(4096);
    const fd = fs.openSync(file, "r");
    fs.readSync(fd, head, 0, head.length, 0);
    fs.closeSync(fd);
    // Behind the name: length, version, page size, bitmap offset.
    return Number(head.readBigUInt64BE(head.indexOf("pc.ram", 0, "latin1") + 6 + 8 + 4 + 8 + 8));
  }

  const to = (format: ExportFormat, more: Partial<ExportOptions> = {}) =>
    exportSnapshot({ file, output: join(folder, `out.${format}`), format, ...more });

  test("writes raw memory with the hole, private to its owner", async () => {
    await write();
    const result = await to("raw");
    expect(result).toMatchObject({ memoryMap: "recorded", cpus: 0, vmcoreinfo: null, notices: [] });
    expect(result.ranges.map(({ start, length }) => [start / page, length / page])).toEqual([
      [0, 60],
      [100, 40],
      [200, 4],
    ]);
    const bytes = fs.readFileSync(join(folder, "out.raw"));
    expect(bytes.length).toBe(204 * page);
    expect([0, 59, 60, 100, 139, 200].map((at) => bytes[at * page])).toEqual([1, 2, 0, 3, 4, 9]);
    expect(fs.statSync(join(folder, "out.raw")).mode % 0o1000).toBe(0o600);
  });

  test("tells what an ELF core lacks: CPUs that are not known, VMCOREINFO", async () => {
    await write();
    const result = await to("elf");
    expect(result.notices.map(({ level, code }) => [level, code])).toEqual([
      ["warning", "no-cpus"],
      ["warning", "no-vmcoreinfo"],
    ]);
    const core = coreOf(fs.readFileSync(join(folder, "out.elf")));
    expect(core.notes).toEqual([]);
    expect(core.segments.map(({ physical, bytes }) => [physical / page, bytes[0]])).toEqual([
      [0, 1],
      [100, 3],
      [200, 9],
    ]);
  });

  test("without a vmdesc, or with a vmcoreinfo device that is not understood, the note is searched for", async () => {
    const right = linuxNote("6.1.0-now", uts, symbols);
    const ram = memory((all) => right.copy(all, 5 * MiB));
    const inside = new Inside(snapshotOf("pc-i440fx-7.2", [["pc.ram", ram]], [x86Section()]));
    const { cpus } = inside;
    const without = { ...inside.snapshot, vmdesc: null };
    expect(await findVmcoreinfo(new Inside(without), cpus, {})).toMatchObject({ from: "search", address: 5 * MiB });
    const odd = section("vmcoreinfo", 1, (b) => b.struct("has_vmcoreinfo", "odd", (inner) => inner.uint("x", 1, 1)));
    expect(await find(ram, odd)).toEqual(["search", 5 * MiB, "6.1.0-now"]);

    await write(tail(false));
    const result = await to("elf");
    expect(result.notices.map(({ code }) => code)).toEqual(["no-cpus", "no-vmcoreinfo"]);
  });

  test.each([
    ["pc-q35-7.2", 62],
    ["virt-7.2", 183],
  ])("of %s names the machine in the ELF header without its CPUs", async (machine, number) => {
    await write(tail(), machine);
    await to("elf");
    expect(fs.readFileSync(join(folder, "out.elf")).readUInt16LE(18)).toBe(number);
  });

  test.each(["virt", "sun4u"])("of a machine that is not known (%s) is no ELF file", async (machine) => {
    await write(tail(), machine);
    expect(await failure(() => to("elf"))).toMatchObject({
      code: "stream.no-cpu",
      details: { hint: expect.stringContaining("lime") },
    });
    expect(fs.readdirSync(folder)).toEqual(["guest.fram"]);
    expect((await to("lime")).cpus).toBe(0);
  });

  test("takes another map, and says by what rules it went", async () => {
    await write();
    const given = await to("lime", { map: "4G+16K=rom" });
    expect(given).toMatchObject({ memoryMap: "given", sizes: { memory: 4 * page, apparent: 4 * page + 32 } });
    const rules = await to("raw", { map: "pc" });
    expect(rules.memoryMap).toBe("rules");
    expect(rules.notices.map(({ code }) => code)).toEqual(["memory-map"]);
    expect((await failure(() => to("raw", { map: "nonsense" }))).code).toBe("usage.bad-map");
    expect(fs.readdirSync(folder).sort()).toEqual(["guest.fram", "out.lime", "out.raw"]);
  });

  describe("of a sealed file whose page is damaged", () => {
    beforeEach(async () => {
      await write();
      const fd = fs.openSync(file, "r+");
      fs.writeSync(fd, Buffer.from([1]), 0, 1, pagesOffset() + 60 * page + 77);
      fs.closeSync(fd);
    });

    test.each(["elf", "raw", "lime"] as const)("as %s names the page and writes nothing", async (format) => {
      const error = await failure(() => to(format));
      expect(error).toMatchObject({ code: "seal.damaged-page", details: { block: "pc.ram", page: 60 } });
      expect(fs.readdirSync(folder)).toEqual(["guest.fram"]);
    });

    test("is written when that is asked for", async () => {
      expect((await to("raw", { force: true })).checked).toBe(false);
      expect(fs.readFileSync(join(folder, "out.raw"))[100 * page + 77]).toBe(1);
    });
  });

  test("compares with the seal what it writes, and says so", async () => {
    await write();
    expect((await to("raw")).checked).toBe(true);
    fs.truncateSync(file, fs.statSync(file).size - page);
    expect((await failure(() => to("lime"))).code).toBe("seal.half");
    expect((await to("lime", { force: true })).checked).toBe(false);
  });

  describe("of much data, while another thread writes", () => {
    const pages = 110 * 256;
    const fill = (at: number) => (at % 500 === 3 ? 0 : (at % 251) + 1);

    beforeEach(() => {
      if (fs.existsSync("/dev/shm")) {
        fs.rmdirSync(folder);
        folder = fs.mkdtempSync("/dev/shm/fixedram-export-");
        file = join(folder, "guest.fram");
      }
    });

    async function writeMuch(): Promise<void> {
      const writer = new FixedRamWriter(
        TargetFile.create(file),
        configuration(),
        ramStart(["pc.ram", pages], ["rom", 4]),
      );
      const [ram, rom] = writer.blocks;
      if (ram === undefined || rom === undefined) throw new Error("no block");
      for (let first = 0; first < pages; first += 1024) {
        const count = Math.min(1024, pages - first);
        writer.writePages(
          batch(
            ram,
            Array.from({ length: count }, (_, i): [number, number] => [first + i, fill(first + i)]),
          ),
        );
      }
      writer.writePages(batch(rom, [[2, 9]]));
      writer.tail(tail());
      const memoryMap = [
        { start: 0, length: 1000 * page, block: "pc.ram", offset: 0 },
        { start: 2000 * page, length: (pages - 1500) * page, block: "pc.ram", offset: 1500 * page },
        // Some of it is seen at a second address.
        { start: (pages + 2000) * page, length: 100 * page, block: "pc.ram", offset: 1450 * page },
        { start: (pages + 3000) * page, length: 4 * page, block: "rom", offset: 0 },
      ];
      await writer.finish({ ...meta, memoryMap });
    }

    test("every page is where the guest sees it", async () => {
      await writeMuch();
      expect(await to("raw")).toMatchObject({ checked: true, notices: [] });
      const bytes = fs.readFileSync(join(folder, "out.raw"));
      const expected = Buffer.alloc((pages + 3004) * page);
      const put = (at: number, value: number) => expected.fill(value, at * page, (at + 1) * page);
      for (let at = 0; at < 1000; at++) put(at, fill(at));
      for (let at = 1500; at < pages; at++) put(at + 500, fill(at));
      for (let at = 1450; at < 1550; at++) put(pages + 2000 + at - 1450, fill(at));
      put(pages + 3002, 9);
      expect(bytes.length).toBe(expected.length);
      expect(bytes.equals(expected)).toBe(true);
      expect(fs.statSync(join(folder, "out.raw")).blocks * 512).toBeLessThan(110 * MiB);
    });

    test("a damaged page is named, and nothing is written", async () => {
      await writeMuch();
      const damaged = 20_000;
      const fd = fs.openSync(file, "r+");
      fs.writeSync(fd, Buffer.from([255]), 0, 1, pagesOffset() + damaged * page + 5);
      fs.closeSync(fd);
      const error = await failure(() => to("elf"));
      expect(error).toMatchObject({ code: "seal.damaged-page", details: { block: "pc.ram", page: damaged } });
      expect(fs.readdirSync(folder)).toEqual(["guest.fram"]);
      expect((await to("elf", { force: true })).checked).toBe(false);
    });
  });

  test("never over its own input", async () => {
    await write();
    fs.linkSync(file, join(folder, "out.elf"));
    expect((await failure(() => to("elf"))).code).toBe("usage.same-file");
    expect(fs.readdirSync(folder).sort()).toEqual(["guest.fram", "out.elf"]);
  });

  test("ended by a signal leaves the older file, and nothing else", async () => {
    await write();
    fs.writeFileSync(join(folder, "out.raw"), "older");
    const abort = new AbortController();
    const onProgress = ({ phase }: { phase: string }) => phase === "sync" && abort.abort(new Error("enough"));
    await expect(to("raw", { signal: abort.signal, onProgress })).rejects.toThrow("enough");
    expect(fs.readFileSync(join(folder, "out.raw"), "utf8")).toBe("older");
    expect(fs.readdirSync(folder).sort()).toEqual(["guest.fram", "out.raw"]);
  });

  describe("as kdump", () => {
    const path = process.env["PATH"];
    afterEach(() => {
      process.env["PATH"] = path;
    });

    /** A makedumpfile of our own. */
    function pretend(script: string): void {
      const bin = join(folder, "bin");
      fs.mkdirSync(bin);
      fs.writeFileSync(join(bin, "makedumpfile"), `#!/bin/sh\n${script}\n`, { mode: 0o755 });
      process.env["PATH"] = `${bin}${delimiter}${path}`;
    }

    test("is what makedumpfile makes of the ELF core", async () => {
      await write();
      pretend('for last; do core=$out; out=$last; done; echo "made of $(head -c 4 "$core" | tail -c 3)" > "$out"');
      const result = await to("kdump");
      expect(fs.readFileSync(result.path, "utf8")).toBe("made of ELF\n");
      expect(fs.readdirSync(folder).sort()).toEqual(["bin", "guest.fram", "out.kdump"]);
    });

    test("tells why makedumpfile failed, and leaves nothing behind", async () => {
      await write();
      pretend("echo one; echo 'it is no good' >&2; exit 3");
      const error = await failure(() => to("kdump"));
      expect([error.code, error.details.said]).toEqual(["system.makedumpfile-failed", "one\nit is no good"]);
      expect(fs.readdirSync(folder).sort()).toEqual(["bin", "guest.fram"]);
    });

    test("tells that there is no makedumpfile", async () => {
      await write();
      process.env["PATH"] = folder;
      expect((await failure(() => to("kdump"))).code).toBe("system.no-makedumpfile");
      expect(fs.readdirSync(folder)).toEqual(["guest.fram"]);
    });

    test("ends makedumpfile at a signal", async () => {
      await write();
      const started = join(folder, "started");
      pretend(`echo $$ > "${started}"; exec sleep 600`);
      const abort = new AbortController();
      const watch = fs.watch(folder, () => fs.existsSync(started) && abort.abort(new Error("enough")));
      await expect(to("kdump", { signal: abort.signal })).rejects.toThrow("enough");
      watch.close();
      const pid = Number(fs.readFileSync(started, "utf8"));
      expect(fs.existsSync(`/proc/${pid}`)).toBe(false);
      expect(fs.readdirSync(folder).sort()).toEqual(["bin", "guest.fram", "started"]);
    });
  });
});
