/** docs/format.md, "Tail" and "The stream's framing": device state, and a vmdesc that lies about it. */
import { devices, stream, vmdescOf } from "../sound.ts";
import { fieldSpecs, type Spec, streamDigest } from "../spec.ts";

const plain = stream();
const clause = "Tail";
const pages = streamDigest(false, true);

type Json = ReturnType<typeof vmdescOf> & {
  devices: { name: string; instance_id: number; fields: Record<string, unknown>[]; subsections?: unknown[] }[];
  page_size: number;
};

/** A stream whose vmdesc was changed. */
function lies(name: string, what: string, change: (json: Json) => void, expect: string, at?: number): Spec {
  const json = structuredClone(vmdescOf(devices)) as Json;
  change(json);
  return described(name, what, JSON.stringify(json), expect, at);
}

function described(name: string, what: string, vmdesc: string, expect: string, at?: number): Spec {
  const place = at === undefined ? {} : { at };
  const { bytes } = stream({ vmdesc });
  return { name, what, clause, base: "plain", bytes, expect, ...(expect === "ok" ? { pages } : place) };
}

const field = (json: Json, device = 0): Record<string, unknown> => json.devices[device]?.fields[0] ?? {};
const json = plain.at("vmdesc.json");
const first = plain.at("timer");
const second = plain.at("globalstate");

const lying: Spec[] = [
  lies(
    "vmdesc-short",
    "a device one byte shorter than it is",
    (j) => (field(j).size = 3),
    "stream.device-state",
    first,
  ),
  lies("vmdesc-long", "a device one byte longer than it is", (j) => (field(j).size = 5), "stream.device-state", first),
  lies("vmdesc-0", "a device without a byte", (j) => (field(j).size = 0), "stream.device-state", first),
  lies(
    "vmdesc-far",
    "a device of 2^52 bytes",
    (j) => (field(j).size = 2 ** 52),
    "stream.out-of-bounds",
    plain.at("timer.payload"),
  ),
  lies(
    "vmdesc-product",
    "2^50 elements of 2^50 bytes",
    (j) => Object.assign(field(j), { size: 2 ** 50, array_len: 2 ** 50 }),
    "stream.out-of-bounds",
    plain.at("timer.payload"),
  ),
  lies("vmdesc-2-53", "a size of 2^53", (j) => (field(j).size = 2 ** 53), "stream.vmdesc-invalid", json),
  lies("vmdesc-negative", "a size of -4", (j) => (field(j).size = -4), "stream.vmdesc-invalid", json),
  lies("vmdesc-half", "a size of 4.5", (j) => (field(j).size = 4.5), "stream.vmdesc-invalid", json),
  lies("vmdesc-text-size", "a size that is text", (j) => (field(j).size = "4"), "stream.vmdesc-invalid", json),
  lies("vmdesc-array", "2 elements of 2 bytes", (j) => Object.assign(field(j), { size: 2, array_len: 2 }), "ok"),
  lies("vmdesc-array-0", "no element", (j) => Object.assign(field(j), { array_len: 0 }), "stream.device-state", first),
  lies(
    "vmdesc-array-negative",
    "-1 elements",
    (j) => Object.assign(field(j), { array_len: -1 }),
    "stream.vmdesc-invalid",
    json,
  ),
  lies(
    "vmdesc-name",
    "a device of another name",
    (j) => Object.assign(j.devices[1] ?? {}, { name: "globalstatf" }),
    "stream.device-state",
    second,
  ),
  lies(
    "vmdesc-instance",
    "a device of another instance",
    (j) => Object.assign(j.devices[1] ?? {}, { instance_id: 1 }),
    "stream.device-state",
    second,
  ),
  lies(
    "vmdesc-instance-half",
    "instance 0.5",
    (j) => Object.assign(j.devices[1] ?? {}, { instance_id: 0.5 }),
    "stream.vmdesc-invalid",
    json,
  ),
  lies("vmdesc-missing", "a device that is not listed", (j) => j.devices.pop(), "stream.device-state", second),
  lies(
    "vmdesc-more",
    "a device that is not there",
    (j) => j.devices.push({ name: "x", instance_id: 0, fields: [] }),
    "ok",
  ),
  lies("vmdesc-order", "devices in another order", (j) => j.devices.reverse(), "ok"),
  lies(
    "vmdesc-subsection",
    "a subsection that is not there",
    (j) => Object.assign(j.devices[0] ?? {}, { subsections: [{ vmsd_name: "timer/x", version: 1, fields: [] }] }),
    "stream.device-state",
    first,
  ),
  lies("vmdesc-page-size", "pages of 8192 bytes", (j) => (j.page_size = 8192), "file.page-size"),
  lies("vmdesc-page-size-0", "pages of 0 bytes", (j) => (j.page_size = 0), "file.page-size"),
  lies(
    "vmdesc-page-size-text",
    "a page size that is text",
    (j) => Object.assign(j, { page_size: "4096" }),
    "stream.vmdesc-invalid",
    json,
  ),
  lies("vmdesc-no-page-size", "no page size", (j) => Reflect.deleteProperty(j, "page_size"), "ok"),
  lies(
    "vmdesc-fields",
    "fields that are no list",
    (j) => Object.assign(j.devices[0] ?? {}, { fields: {} }),
    "stream.vmdesc-invalid",
    json,
  ),
  lies(
    "vmdesc-unsized",
    "a field without a size",
    (j) => Reflect.deleteProperty(field(j), "size"),
    "stream.vmdesc-invalid",
    json,
  ),
  lies(
    "vmdesc-unnamed",
    "a field without a name",
    (j) => Reflect.deleteProperty(field(j), "name"),
    "stream.vmdesc-invalid",
    json,
  ),
  lies(
    "vmdesc-proto",
    "a device named __proto__",
    (j) => j.devices.push({ name: "__proto__", instance_id: 0, fields: [] }),
    "ok",
  ),
  described("vmdesc-no-devices", "an object without devices", '{"page_size":4096}', "stream.vmdesc-invalid", json),
  described("vmdesc-not-json", "what is no JSON", '{"devices":[}', "stream.vmdesc-invalid", json),
  described("vmdesc-list", "a list", "[1,2,3,4,5,6,7,8]", "stream.cut"),
  described(
    "vmdesc-deep",
    "129 levels of lists",
    `{"devices":${"[".repeat(129)}${"]".repeat(129)}}`,
    "stream.vmdesc-invalid",
    json,
  ),
  described(
    "vmdesc-deeper",
    "100000 levels of lists",
    `{"x":${"[".repeat(100_000)}${"]".repeat(100_000)},"devices":[]}`,
    "stream.vmdesc-invalid",
    json,
  ),
  described(
    "vmdesc-brackets",
    "brackets in strings, which nest nothing",
    JSON.stringify({ ...(vmdescOf(devices) as object), x: '[{"\\'.repeat(200) }),
    "ok",
  ),
  described(
    "vmdesc-wrong-entries",
    "300 devices that are numbers",
    `{"devices":[${"0,".repeat(300)}0]}`,
    "stream.vmdesc-invalid",
    json,
  ),
  described("vmdesc-deep-struct", "30 levels of structs", deepStruct(30), "ok"),
];

function deepStruct(depth: number): string {
  const json = structuredClone(vmdescOf(devices)) as Json;
  let inner: object = { vmsd_name: "s", version: 1, fields: [] };
  for (let i = 0; i < depth; i++)
    inner = { vmsd_name: "s", fields: [{ name: "f", type: "struct", size: 4, struct: inner }] };
  Object.assign(field(json), { struct: inner });
  return JSON.stringify(json);
}

const fields = fieldSpecs(plain, "plain", clause, [
  ["device-type", "a device section that begins as a PART", "globalstate", 2, "stream.device-state", second],
  [
    "device-name",
    "a device that the vmdesc does not list",
    "globalstate.name",
    "globalstatf",
    "stream.device-state",
    second,
  ],
  [
    "device-name-length",
    "a device name one byte too long",
    "globalstate.name.length",
    12,
    "stream.device-state",
    second,
  ],
  ["device-instance", "a device of an instance that is not listed", "timer.instance", 1, "stream.device-state", first],
  ["device-footer", "a device without footer", "timer.footer", 0x7f, "stream.device-state", first],
  ["device-footer-id", "a device with another's footer", "timer.footer.id", 8, "stream.device-state", first],
  ["device-eof", "no EOF", "eof", 1, "stream.cut", plain.bytes.length],
  ["vmdesc-type", "EOF, and something else than a VMDESC", "vmdesc", 7, "stream.cut", plain.bytes.length],
  [
    "vmdesc-length-short",
    "a VMDESC that is one byte shorter",
    "vmdesc.length",
    plain.field("vmdesc.json").size - 1,
    "stream.cut",
    plain.bytes.length,
  ],
  [
    "vmdesc-length-long",
    "a VMDESC that is one byte longer",
    "vmdesc.length",
    plain.field("vmdesc.json").size + 1,
    "stream.cut",
    plain.bytes.length,
  ],
  ["vmdesc-length-max", "a VMDESC of 4 GiB", "vmdesc.length", 0xffffffff, "stream.cut", plain.bytes.length],
]);

const bare = stream({ devices: [] });
const noDevices = fieldSpecs(bare, "no-devices-vmdesc", clause, [
  [
    "bare-vmdesc-max",
    "a VMDESC of 4 GiB behind a stream without devices",
    "vmdesc.length",
    0xffffffff,
    "stream.device-state-too-large",
    "vmdesc",
  ],
  [
    "bare-vmdesc-cut",
    "a VMDESC that is cut behind a stream without devices",
    "vmdesc.length",
    bare.field("vmdesc.json").size + 1,
    "stream.cut",
    bare.bytes.length,
  ],
]);

const listed = stream({ devices: [], vmdesc: JSON.stringify(vmdescOf(devices)) });
export const deviceDefects: Spec[] = [
  ...lying.map((spec) => (spec.expect === "stream.cut" ? { ...spec, at: spec.bytes.length } : spec)),
  ...fields,
  ...noDevices,
  {
    name: "vmdesc-nothing",
    what: "a vmdesc of devices behind a stream without any",
    clause,
    bytes: listed.bytes,
    expect: "stream.device-state",
    at: listed.at("vmdesc"),
  },
];
