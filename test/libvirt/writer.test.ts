import { describe, expect, test } from "vitest";
import type { FixedramError } from "../../src/errors.ts";
import { openFixedRam } from "../../src/fixedram/reader.ts";
import { FixedRamWriter } from "../../src/fixedram/writer.ts";
import { openLibvirt, readLibvirtHeader } from "../../src/libvirt/reader.ts";
import { LibvirtWriter, type LibvirtWriterOptions, writeLibvirtSparse } from "../../src/libvirt/writer.ts";
import { ExtentKind, ExtentList } from "../../src/pages/extents.ts";
import type { PageMap } from "../../src/pages/map.ts";
import type { StreamRecord } from "../../src/stream/records.ts";
import { batch, configuration, MemoryFile, meta, ramStart, tail } from "../fixedram/sample.ts";
import { build, describe_, PAGE, piece, preamble, read } from "../stream/helpers.ts";
import { cookie, errorOf, headerOf, sparseImage, xml } from "./sample.ts";

const options: LibvirtWriterOptions = { xml, cookie, wasRunning: true, isMainRam: () => true };

async function open(file: MemoryFile) {
  const opened = await openLibvirt(file, { openStreamAt: () => Promise.reject(new Error("raw")) });
  if (opened.kind !== "sparse") throw new Error(opened.kind);
  return opened;
}

/** Everything a map says, and the first byte of every page that is there. */
async function contentOf(map: PageMap): Promise<string[]> {
  const lines: string[] = [];
  for (const block of map.blocks) {
    const list = new ExtentList();
    map.extents(block.index, 0, block.pages, list);
    for (let i = 0; i < list.length; i++) {
      for (let k = 0; k < (list.pages[i] ?? 0); k++) {
        const page = new Uint8Array(PAGE);
        const data = list.kind[i] === ExtentKind.data;
        if (data) await map.stores[list.store[i] ?? 0]?.read(page, (list.offset[i] ?? 0) + k * PAGE);
        lines.push(`${block.name} ${(list.first[i] ?? 0) + k} ${new Set(page).size === 1 ? page[0] : "mixed"}`);
      }
    }
  }
  return lines;
}

describe("LibvirtWriter", () => {
  const start = ramStart(["a", 300], ["b", 20]);

  test.each([
    ["sealed", meta],
    ["not sealed", null],
  ])("an image, %s", async (_what, record) => {
    const file = new MemoryFile();
    const writer = new LibvirtWriter(file, configuration(), start, options);
    const [a] = writer.blocks;
    if (a === undefined) throw new Error("no block");
    writer.writePages(
      batch(a, [
        [0, 5],
        [299, 6],
      ]),
    );
    writer.tail(tail());
    await writer.finish(record);
    expect(file.committed).toBe(true);
    const { header, file: opened } = await open(file);
    expect(header).toMatchObject({ xml, cookie, wasRunning: true, format: "sparse", byteOrder: "little", version: 2 });
    expect(opened.seal.state).toBe(record === null ? "none" : "sealed");
    expect(opened.seal.seal?.streamBase).toBe(record === null ? undefined : header.streamBase);
    for (const { pagesOffset } of opened.blocks) expect(pagesOffset % 2 ** 20).toBe(0);
    const content = await contentOf(opened.map);
    expect(content.filter((line) => !line.endsWith(" 0"))).toEqual(["a 0 5", "a 299 6"]);
  });

  test("at no time does an unfinished image look finished, and its magic comes last", async () => {
    const file = new MemoryFile();
    const places: number[] = [];
    const write = file.write.bind(file);
    file.write = (bytes, position) => {
      places.push(position);
      write(bytes, position);
    };
    const codes = async () => ((await errorOf(() => readLibvirtHeader(file))) as FixedramError).code;
    const writer = new LibvirtWriter(file, configuration(), start, options);
    expect(await codes()).toBe("file.unfinished");
    writer.tail(tail());
    expect(await codes()).toBe("file.unfinished");
    writer.complete(meta);
    expect(places.filter((place) => place === 0)).toHaveLength(2);
    expect(places.at(-1)).toBe(0);
    expect((await readLibvirtHeader(file)).xml).toEqual(xml);
  });

  test("without XML it is refused, and how to get one is said", async () => {
    const error = await errorOf(
      () => new LibvirtWriter(new MemoryFile(), configuration(), start, { ...options, xml: null }),
    );
    expect(error.code).toBe("usage.libvirt-no-xml");
    expect(error.details.hint).toContain("virsh dumpxml");
  });

  test("without a cookie, paused", async () => {
    const file = new MemoryFile();
    const writer = new LibvirtWriter(file, configuration(), start, { ...options, cookie: null, wasRunning: false });
    writer.tail(tail());
    await writer.finish();
    expect(await readLibvirtHeader(file)).toMatchObject({ cookie: null, cookieOffset: 0, wasRunning: false });
  });
});

const notConfiguration = ({ kind }: StreamRecord) => kind !== "configuration";

describe("writeLibvirtSparse", () => {
  test("an image again: the same pages, records and header", async () => {
    const from = sparseImage(headerOf({ format: "sparse" }));
    const { header, file } = await open(from);
    const into = new MemoryFile();
    await writeLibvirtSparse(into, file, { ...options, xml: header.xml, cookie: header.cookie });
    const again = await open(into);
    expect(again.header).toMatchObject({ xml, cookie });
    expect(await contentOf(again.file.map)).toEqual(await contentOf(file.map));
    const plain = (records: readonly StreamRecord[]) => records.filter((record) => record.kind !== "ram-start");
    expect(plain(again.file.records)).toEqual(plain(file.records));
    // Blocks, bitmap and pages lie where the longer header moves them to, absolute in the image.
    expect(again.file.streamBase).toBeGreaterThan(file.streamBase);
    expect(again.file.blocks[0]?.pagesOffset).toBe(2 ** 20);
  });

  test("a whole header given for its XML does not make the image big-endian or its space too small", async () => {
    const { header, file } = await open(sparseImage(headerOf({ format: "sparse" })));
    const xmlNow = new Uint8Array(5000).fill(0x61);
    const into = new MemoryFile();
    const given = { ...header, byteOrder: "big", version: 1, xml: xmlNow };
    await writeLibvirtSparse(into, file, given);
    expect((await open(into)).header).toMatchObject({ byteOrder: "little", version: 2, xml: xmlNow });
  });

  test("from a fixed-ram file, several pieces long", async () => {
    const from = new MemoryFile();
    const writer = new FixedRamWriter(from, configuration(), ramStart(["a", 400]), { isMainRam: () => true });
    const [a] = writer.blocks;
    if (a === undefined) throw new Error("no block");
    writer.writePages(
      batch(
        a,
        Array.from({ length: 300 }, (_, i) => [i + 50, (i % 250) + 1]),
      ),
    );
    writer.tail(tail());
    await writer.finish(meta);
    const file = await openFixedRam(from);
    const into = new MemoryFile();
    await writeLibvirtSparse(into, file, { ...options, meta });
    const { file: written } = await open(into);
    expect(await contentOf(written.map)).toEqual(await contentOf(file.map));
    expect(written.seal.seal?.meta).toEqual(meta);
    const bytes = (at: { offset: number; length: number }, of: MemoryFile) =>
      of.bytes().subarray(at.offset, at.offset + at.length);
    expect(Buffer.from(bytes(written.tail, into)).equals(bytes(file.tail, from))).toBe(true);
  });

  test("from the records of a stream: no PARTs, no commands of postcopy, early sections behind the START", async () => {
    const bitmap = build(piece.section(1, 9, "dirty-bitmap", 1), new Uint8Array([1]), piece.footer(9));
    const stream = build(
      preamble,
      piece.command(1),
      bitmap,
      piece.ramStart({ ram: 16 }),
      piece.part(2, piece.page(3, 7, "ram"), piece.word(0, 0x200)),
      piece.command(11),
      piece.device(5, "timer", new Uint8Array([1, 2, 3, 4])),
      piece.eof,
      piece.vmdesc(describe_(["timer", 4])),
    );
    const { records } = read(stream).recorder;
    const start = records.find((record) => record.kind === "ram-start");
    const block = start?.blocks[0]?.block;
    if (block === undefined) throw new Error("no block");
    const map: PageMap = {
      blocks: [block],
      stores: [],
      extents: (_block, first, count, into) => (into.push(ExtentKind.zero, first, count) ? count : 0),
    };
    const into = new MemoryFile();
    // Not main RAM: its zero pages are stored.
    await writeLibvirtSparse(into, { records, map }, { ...options, isMainRam: () => false });
    const { file } = await open(into);
    expect(file.bitmaps[0]?.count()).toBe(16);
    const kinds = file.records.map((record) => (record.kind === "command" ? `command ${record.command}` : record.kind));
    expect(kinds).toEqual([
      ...["header", "configuration", "ram-start", "ram-eos", "footer", "dirty-bitmap", "footer", "command 11"],
      ...["ram-end", "ram-eos", "footer", "device", "footer", "eof", "vmdesc"],
    ]);
  });

  test("what can't be written gives the file up", async () => {
    const { file } = await open(sparseImage(headerOf({ format: "sparse" })));
    const attempts: [string, Parameters<typeof writeLibvirtSparse>[1], LibvirtWriterOptions][] = [
      ["usage.libvirt-no-xml", file, { ...options, xml: null }],
      ["stream.no-configuration", { map: file.map, records: file.records.filter(notConfiguration) }, options],
      ["stream.no-ram", { map: file.map, records: file.records.slice(0, 2) }, options],
    ];
    for (const [code, source, choices] of attempts) {
      const into = new MemoryFile();
      expect((await errorOf(() => writeLibvirtSparse(into, source, choices))).code).toBe(code);
      expect(into.aborted).toBe(true);
    }
  });

  test("pages that are not there are refused", async () => {
    const { file } = await open(sparseImage(headerOf({ format: "sparse" })));
    const map: PageMap = {
      ...{ blocks: file.map.blocks, stores: file.map.stores },
      extents: (_block, first, count, into) => (into.push(ExtentKind.absent, first, count) ? count : 0),
    };
    const error = await errorOf(() => writeLibvirtSparse(new MemoryFile(), { records: file.records, map }, options));
    expect(error).toMatchObject({ code: "file.ignore-shared", details: { block: "ram", page: 0 } });
  });

  test("a source that became shorter is named", async () => {
    const from = sparseImage(headerOf({ format: "sparse" }));
    const { file } = await open(from);
    from.size = 2 ** 20 + 3 * PAGE + 100;
    const error = await errorOf(() => writeLibvirtSparse(new MemoryFile(), file, options));
    expect(error).toMatchObject({ code: "file.truncated", details: { page: 3, offset: from.size } });
  });

  test("an abort gives the file up", async () => {
    const { file } = await open(sparseImage(headerOf({ format: "sparse" })));
    const into = new MemoryFile();
    const signal = AbortSignal.abort(new Error("enough"));
    await expect(writeLibvirtSparse(into, file, { ...options, signal })).rejects.toThrow("enough");
    expect(into.aborted).toBe(true);
  });
});
