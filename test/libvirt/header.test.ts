import fc from "fast-check";
import { describe, expect, test } from "vitest";
import {
  encodeLibvirtHeader,
  libvirtFormats,
  libvirtHeaderBytes,
  libvirtMagic,
  maxLibvirtData,
  parseLibvirtData,
  parseLibvirtFields,
} from "../../src/libvirt/header.ts";
import { libvirtName } from "../../src/libvirt/name.ts";
import { readLibvirtHeader } from "../../src/libvirt/reader.ts";
import { cookie, errorOf, fileOf, type HeaderParts, headerOf, plainData, xml } from "./sample.ts";

const headerIn = (...parts: Uint8Array[]) => readLibvirtHeader(fileOf(...parts));

describe("a header as libvirt writes it", () => {
  test.each([
    ["little", true],
    ["big", false],
  ] as const)("%s-endian", async (byteOrder, little) => {
    const header = await headerIn(headerOf({ little, format: "zstd" }), new Uint8Array(5));
    expect(header).toEqual({
      byteOrder,
      version: 2,
      dataLength: plainData.length,
      wasRunning: true,
      format: "zstd",
      cookieOffset: xml.length + 1,
      xml,
      cookie,
      streamBase: 92 + plainData.length,
    });
  });

  test.each([...libvirtFormats.entries()])("format %i is %s", async (formatNumber, format) => {
    expect((await headerIn(headerOf({ formatNumber }))).format).toBe(format);
  });

  test("version 1, not running, without a cookie", async () => {
    const data = Buffer.concat([xml, Buffer.alloc(40)]);
    const header = await headerIn(headerOf({ version: 1, running: 0, cookieOffset: 0, data }));
    expect(header).toMatchObject({ version: 1, wasRunning: false, cookie: null, cookieOffset: 0 });
    expect(header.xml).toEqual(xml);
  });

  test("what stands in the unused words is ignored", async () => {
    const bytes = headerOf();
    bytes.fill(0xff, 36, 92);
    expect((await headerIn(bytes)).xml).toEqual(xml);
  });

  test("an XML that was edited to be shorter ends at its first NUL", async () => {
    const data = Buffer.concat([xml, Buffer.from("\0rest of the old one\0"), cookie, Buffer.alloc(9)]);
    const header = await headerIn(headerOf({ data, cookieOffset: xml.length + 21 }));
    expect(header.xml).toEqual(xml);
    expect(header.cookie).toEqual(cookie);
  });
});

describe("one defect each", () => {
  const unended = Buffer.alloc(50, 0x41);
  const defects: readonly [what: string, parts: HeaderParts, code: string, offset: number][] = [
    ["another magic", { magic: "LibvirtQemudsave" }, "file.not-libvirt", 0],
    ["unfinished", { magic: "LibvirtQemudPart" }, "file.unfinished", 0],
    ["version 3", { version: 3 }, "file.libvirt-version", 16],
    ["version 3, big-endian", { version: 3, little: false }, "file.libvirt-version", 16],
    ["version 0", { version: 0 }, "file.libvirt-version", 16],
    ["format 7", { formatNumber: 7 }, "file.libvirt-format", 28],
    ["format 2^32 - 1", { formatNumber: 2 ** 32 - 1 }, "file.libvirt-format", 28],
    ["no data", { data: new Uint8Array(0), cookieOffset: 0 }, "file.libvirt-data-length", 20],
    ["4 GiB of data", { dataLength: 2 ** 32 - 1 }, "file.libvirt-data-length", 20],
    ["more data than the limit", { dataLength: maxLibvirtData + 1 }, "file.libvirt-data-length", 20],
    ["more data than the file has", { dataLength: plainData.length + 1 }, "file.libvirt-cut", 92 + plainData.length],
    ["cookie behind the data", { cookieOffset: plainData.length }, "file.libvirt-cookie", 32],
    ["cookie far behind", { cookieOffset: 2 ** 32 - 1 }, "file.libvirt-cookie", 32],
    ["XML without NUL", { data: unended, cookieOffset: 0 }, "file.libvirt-xml", 92],
    ["XML without NUL before the cookie", { cookieOffset: xml.length }, "file.libvirt-xml", 92],
    ["empty XML", { data: Buffer.alloc(60), cookieOffset: 0 }, "file.libvirt-xml", 92],
    [
      "cookie without NUL",
      { data: Buffer.concat([xml, Buffer.alloc(1), unended]) },
      "file.libvirt-cookie",
      93 + xml.length,
    ],
  ];
  test.each(defects)("%s", async (_what, parts, code, offset) => {
    const error = await errorOf(() => headerIn(headerOf(parts)));
    expect([error.code, error.details.offset]).toEqual([code, offset]);
  });

  test("a length that is too large is refused before anything is allocated or read", async () => {
    const file = fileOf(headerOf({ dataLength: 2 ** 32 - 1 }));
    file.size = 2 ** 40;
    const reads: number[] = [];
    const read = file.read.bind(file);
    file.read = (target, position) => {
      reads.push(target.length);
      return read(target, position);
    };
    expect((await errorOf(() => readLibvirtHeader(file))).code).toBe("file.libvirt-data-length");
    expect(reads).toEqual([libvirtHeaderBytes]);
  });

  test("cut at every byte", async () => {
    const whole = headerOf();
    for (let length = 0; length < whole.length; length++) {
      const error = await errorOf(() => headerIn(whole.subarray(0, length)));
      expect(error.code, `${length} bytes`).toBe(length < 16 ? "file.not-libvirt" : "file.libvirt-cut");
    }
  });

  test("a file that becomes shorter while it is read", async () => {
    const file = fileOf(headerOf());
    const read = file.read.bind(file);
    file.read = async (target, position) => (position === 0 ? read(target, position) : 10);
    expect((await errorOf(() => readLibvirtHeader(file))).code).toBe("file.truncated");
  });
});

test("any bytes give a header or an error with code and offset, never anything else", async () => {
  const bytes = fc.oneof(
    fc.uint8Array({ minLength: 0, maxLength: 200 }),
    // A header with a few bytes changed.
    fc.array(fc.tuple(fc.nat(headerOf().length - 1), fc.nat(255)), { maxLength: 4 }).map((changes) => {
      const changed = headerOf();
      for (const [at, value] of changes) changed[at] = value;
      return new Uint8Array(changed);
    }),
  );
  await fc.assert(
    fc.asyncProperty(bytes, async (input) => {
      try {
        const header = await headerIn(input);
        expect(header.streamBase).toBeLessThanOrEqual(input.length);
        expect(header.xml.includes(0)).toBe(false);
      } catch (error) {
        expect(error).toMatchObject({
          code: expect.stringMatching(/^file\./),
          details: { offset: expect.any(Number) },
        });
      }
    }),
  );
});

describe("encode", () => {
  const text = fc
    .uint8Array({ minLength: 1, maxLength: 300 })
    .map((bytes) => bytes.map((byte) => (byte === 0 ? 1 : byte)));

  test("what is written is read again, finished by its magic", () => {
    fc.assert(
      fc.property(
        text,
        fc.option(text),
        fc.boolean(),
        fc.constantFrom(...libvirtFormats),
        fc.constantFrom("little" as const, "big" as const),
        (xml, cookie, wasRunning, format, byteOrder) => {
          const bytes = encodeLibvirtHeader({ xml, cookie, wasRunning, format, byteOrder });
          expect(() => parseLibvirtFields(bytes, bytes.length)).toThrow(
            expect.objectContaining({ code: "file.unfinished" }),
          );
          bytes.set(libvirtMagic());
          const fields = parseLibvirtFields(bytes.subarray(0, 92), bytes.length);
          const header = parseLibvirtData(fields, bytes.subarray(92));
          expect(header).toMatchObject({ xml, cookie, wasRunning, format, byteOrder, streamBase: bytes.length });
          const used = xml.length + 1 + (cookie === null ? 0 : cookie.length + 1);
          expect(header.dataLength).toBe(used + 65536);
        },
      ),
    );
  });

  test("the same bytes as the format's table", () => {
    const bytes = encodeLibvirtHeader({ xml, cookie, wasRunning: true, format: "raw", dataLength: plainData.length });
    bytes.set(libvirtMagic());
    expect(Buffer.from(bytes).equals(headerOf())).toBe(true);
  });

  test.each([
    ["empty XML", new Uint8Array(0), cookie],
    ["NUL in the XML", new Uint8Array([60, 0]), cookie],
    ["NUL in the cookie", xml, new Uint8Array([60, 0])],
    ["too large", new Uint8Array(maxLibvirtData).fill(60), null],
  ])("%s is refused", async (_what, xml, cookie) => {
    const error = await errorOf(() => encodeLibvirtHeader({ xml, cookie, wasRunning: true, format: "sparse" }));
    expect(error.code).toBe("usage.libvirt-xml");
  });
});

test.each([
  ["<domain type='kvm'><name>a &lt;b&gt; &amp;lt;</name></domain>", "a <b> &lt;"],
  ["<domain><title><name>x</name></title></domain>", "x"],
  ["<name>x</name>", null],
  ["<domain><name>x", null],
  [`<domain><name>${"x".repeat(1001)}</name></domain>`, null],
])("the domain's name out of %s", (definition, name) => {
  expect(libvirtName(new TextEncoder().encode(definition))).toBe(name);
});
