import { expect, test } from "vitest";
import { fromLatin1 } from "../../src/bytes/text.ts";
import { cutDeviceState, parseVmdesc, payloadLength } from "../../src/stream/vmdesc.ts";
import { build, bytesOf, describe_, errorOf, piece } from "./helpers.ts";

const parse = (json: unknown) => parseVmdesc(fromLatin1(typeof json === "string" ? json : JSON.stringify(json)), 50);

test("the length of a payload: arrays, last element without index, tmp, nullptr, subsections in subsections", () => {
  const vmdesc = parse({
    configuration: { vmsd_name: "configuration" },
    page_size: 4096,
    devices: [
      {
        name: "d",
        instance_id: 1,
        vmsd_name: "d",
        version: 3,
        fields: [
          { name: "regs", array_len: 16, type: "uint64", size: 8 },
          {
            name: "s",
            index: 0,
            type: "struct",
            struct: { vmsd_name: "in", fields: [{ name: "x", size: 4 }] },
            size: 4,
          },
          { name: "s", type: "struct", struct: { vmsd_name: "in", fields: [{ name: "x", size: 4 }] }, size: 4 },
          { name: "tmp", type: "tmp", vmsd_name: "t", version: 0, fields: [{ name: "y", size: 9 }], size: 10 },
          { name: "p", type: "nullptr", size: 1 },
          { name: "none", array_len: 0, type: "uint8", size: 1 },
        ],
        subsections: [
          {
            vmsd_name: "d/sub",
            version: 1,
            fields: [{ name: "z", type: "uint8", size: 1 }],
            subsections: [{ vmsd_name: "d/sub/deep", version: 1 }],
          },
        ],
      },
      { name: "old", instance_id: 0, size: 131, fields: [{ name: "data", size: 131, type: "buffer" }] },
    ],
  });
  const lengths = vmdesc.devices.map(payloadLength);
  expect(lengths).toEqual([128 + 4 + 4 + 10 + 1 + 0 + (6 + 5 + 1 + (6 + 10)), 131]);
});

test("sections are cut by name and instance, in whatever order the vmdesc lists them", () => {
  const bytes = build(piece.device(9, "a", bytesOf(1), 1), piece.device(8, "a", bytesOf(2, 3), 0xffffffff));
  const sections = cutDeviceState(bytes, parse(describe_(["a", 2, -1], ["a", 1, 1])));
  expect(sections.map((s) => [s.sectionId, s.instance, [...s.payload]])).toEqual([
    [9, 1, [1]],
    [8, 0xffffffff, [2, 3]],
  ]);
});

test.each([
  ["no section", bytesOf(9, 9, 9, 9, 9)],
  ["a payload too long", piece.device(9, "a", bytesOf(1, 2, 3))],
  ["a payload too short", build(piece.device(9, "a", bytesOf(1)), piece.device(8, "b", bytesOf()))],
  ["another footer", build(piece.section(4, 9, "a", 1), bytesOf(1, 2), piece.footer(8))],
  ["a section twice", build(piece.device(9, "a", bytesOf(1, 2)), piece.device(8, "a", bytesOf(1, 2)))],
])("%s", (_defect, bytes) => {
  expect(errorOf(() => cutDeviceState(bytes, parse(describe_(["a", 2])), 1000)).code).toBe("stream.device-state");
});

test("nesting is bounded before anything recurses", () => {
  const deep = `{"devices":[{"name":"a","instance_id":0,"fields":${"[".repeat(100_000)}`;
  expect(errorOf(() => parse(deep)).details).toMatchObject({ offset: 50, said: "it nests deeper than 128 levels" });
  let state: unknown = { fields: [{ name: "x", size: 1 }] };
  for (let i = 0; i < 60; i++) state = { subsections: [state] };
  const vmdesc = parse({ devices: [{ name: "a", instance_id: 0, ...(state as object) }] });
  expect(vmdesc.devices.map(payloadLength)).toEqual([1 + 60 * 6]);
});

test("brackets in strings are not nesting", () => {
  const name = `${"[{".repeat(500)}\\"`;
  expect(parse({ devices: [{ name, instance_id: 0 }] }).devices[0]?.name).toBe(name);
});

test("what nests too deep is refused, whether anybody reads it or not", () => {
  const unread = (levels: number) => `{"devices":[],"unread":${"[".repeat(levels)}${"]".repeat(levels)}}`;
  expect(parse(unread(127)).devices).toEqual([]);
  expect(errorOf(() => parse(unread(128))).details.said).toBe("it nests deeper than 128 levels");
});

const field = (more: object) => ({
  devices: [{ name: "a", instance_id: 0, fields: [{ name: "x", size: 1, ...more }] }],
});

test.each([
  ["text for a size", field({ size: "1" }), "devices.0.fields.0.size: "],
  ["a size that is none", field({ size: null }), "devices.0.fields.0.size: "],
  ["a broken length", field({ array_len: 0.5 }), "devices.0.fields.0.array_len: "],
  ["a negative index", field({ index: -1 }), "devices.0.fields.0.index: "],
  ["text for a version", field({ version_id: "1" }), "devices.0.fields.0.version_id: "],
  ["a number for a type", field({ type: 1 }), "devices.0.fields.0.type: "],
  ["a field without a name", field({ name: 7 }), "devices.0.fields.0.name: "],
  ["a list for a struct", field({ struct: [] }), "devices.0.fields.0.struct: "],
  ["no name in a struct", field({ struct: { vmsd_name: 1 } }), "devices.0.fields.0.struct.vmsd_name: "],
  ["no list of inner fields", field({ fields: {} }), "devices.0.fields.0.fields: "],
  ["a subsection that is none", field({ subsections: [1] }), "devices.0.fields.0.subsections.0."],
  ["text for a device's version", { devices: [{ name: "a", instance_id: 0, version: "1" }] }, "devices.0.version: "],
  ["a device without a name", { devices: [{ instance_id: 0 }] }, "devices.0.name: "],
  ["a device that is none", { devices: [null] }, "devices.0."],
  ["no list of devices", { devices: {} }, "devices: "],
  ["a broken page size", { page_size: 0.5, devices: [] }, "page_size: "],
])("%s is told with its place", (_defect, json, said) => {
  expect(errorOf(() => parse(json)).details.said?.slice(0, said.length)).toBe(said);
});

test.each([
  ["negative size", { devices: [{ name: "a", instance_id: 0, fields: [{ name: "x", size: -1 }] }] }],
  ["huge size", { devices: [{ name: "a", instance_id: 0, fields: [{ name: "x", size: 1e300 }] }] }],
  ["text for a number", { devices: [{ name: "a", instance_id: "0" }] }],
  ["no devices", {}],
  ["no object", "[1]"],
  ["no JSON", "{devices"],
])("%s", (_defect, json) => {
  const error = errorOf(() => parse(json));
  expect(error.code).toBe("stream.vmdesc-invalid");
  expect(error.details.said).not.toBe("");
});

test("names are latin1", () => {
  const bytes = build(fromLatin1('{"devices":[{"name":"'), bytesOf(0xc3, 0xa9), fromLatin1('","instance_id":0}]}'));
  expect(parseVmdesc(bytes).devices[0]?.name).toBe("\xc3\xa9");
});

test("a vmdesc of more than 16 MiB is refused before it is looked at", () => {
  expect(errorOf(() => parseVmdesc(new Uint8Array(16 * 2 ** 20 + 1).fill(0x20))).code).toBe("stream.vmdesc-invalid");
});
