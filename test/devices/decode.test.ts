import { describe, expect, test } from "vitest";
import { decodeDevice } from "../../src/devices/decode.ts";
import { DeviceSections } from "../../src/devices/sections.ts";
import { fieldOf, subsectionOf } from "../../src/devices/tree.ts";
import type { VmdescDevice, VmdescField } from "../../src/stream/vmdesc.ts";
import { asSnapshot, type Made, StateBuilder, section } from "./sample.ts";

const decode = ({ record, description }: Made) => decodeDevice(record, description);
const values = (made: Made) => Object.fromEntries(decode(made).state.fields.map(({ name, value }) => [name, value]));
const refused = (run: () => unknown, said: string) =>
  expect(run).toThrow(
    expect.objectContaining({
      code: "stream.device-fields",
      details: expect.objectContaining({ said: expect.stringContaining(said) }),
    }),
  );

describe("fields", () => {
  test("integers of every width, signed where they are; what has only a length as bytes", () => {
    const made = section("dev", 3, (b) =>
      b
        .uint("a", 1, 255)
        .uint("b", 2, -2, "int16")
        .uint("c", 4, 0xffff_fffe)
        .uint("d", 8, 2n ** 63n)
        .uint("e", 8, -1, "timer")
        .uint("f", 1, 1, "bool")
        .uint("g", 4, -5, "int32 equal")
        .bytes("h", "pci config", Uint8Array.of(1, 2, 3)),
    );
    expect(values(made)).toEqual({
      a: 255,
      b: -2,
      c: 0xffff_fffe,
      d: 2n ** 63n,
      e: -1n,
      f: true,
      g: -5,
      h: Uint8Array.of(1, 2, 3),
    });
    expect(decode(made)).toMatchObject({ name: "dev", version: 3, state: { size: 31 } });
  });

  test("arrays of integers and of structs, whose elements are described once", () => {
    const made = section("dev", 1, (b) =>
      b
        .uints("list", 2, [1, 2, 3])
        .structs("points", "point", 2, (inner, i) => inner.uint("x", 4, i).uint("y", 4, 10 * i)),
    );
    const [list, points] = decode(made).state.fields;
    expect(list).toMatchObject({ type: "uint16[]", offset: 0, size: 6, value: [1, 2, 3] });
    expect(points).toMatchObject({ type: "struct[]", offset: 6, size: 16 });
    expect(points?.value).toMatchObject([
      { name: "point", fields: [{ value: 0 }, { value: 0 }] },
      { offset: 14, fields: [{ value: 1 }, { value: 10 }] },
    ]);
  });

  test("elements described one by one are one array, the last without its index, null pointers among them", () => {
    const b = new StateBuilder();
    b.struct("slots", "slot", (inner) => inner.uint("v", 1, 7), { index: 0 });
    b.bytes("slots", "nullptr", Uint8Array.of(0x30));
    b.fields[1] = { ...(b.fields[1] as VmdescField), array_len: 1 };
    b.struct("slots", "slot", (inner) => inner.uint("v", 1, 8));
    b.uint("after", 1, 9);
    const payload = b.out.finish();
    const description = { name: "dev", instance_id: 0, ...b.state("dev") };
    const tree = decodeDevice(
      { kind: "device", sectionId: 1, name: "dev", instance: 0, version: 1, payload, early: false },
      description,
    );
    expect(tree.state.fields.map(({ name, type }) => [name, type])).toEqual([
      ["slots", "struct[]"],
      ["after", "uint8"],
    ]);
    expect(tree.state.fields[0]?.value).toMatchObject([{ fields: [{ value: 7 }] }, null, { fields: [{ value: 8 }] }]);
  });

  test("an array of very many elements may have a neighbour of its name", () => {
    const many = new Array<number>(130_000).fill(3);
    const [field] = decode(section("dev", 1, (b) => b.uints("a", 1, many).uint("a", 1, 4))).state.fields;
    expect(field).toMatchObject({ type: "uint8[]", size: 130_001 });
    const value = field?.value;
    expect(Array.isArray(value) && [value.length, value[0], value[130_000]]).toEqual([130_001, 3, 4]);
  });

  test("types are QEMU's names, not those of an object's properties", () => {
    const bytes = Uint8Array.of(1, 2);
    const made = section("dev", 1, (b) => b.bytes("a", "constructor", bytes).bytes("b", "__proto__", bytes));
    expect(values(made)).toEqual({ a: bytes, b: bytes });
  });

  test("tmp has its fields beside its own, not in a struct", () => {
    const made = section("dev", 1, (b) => b.uint("x", 8, 5).uint("y", 2, 6));
    const inner = made.description.fields ?? [];
    const description: VmdescDevice = {
      name: "dev",
      instance_id: 0,
      fields: [{ name: "tmp", type: "tmp", vmsd_name: "dev_tmp", version: 0, fields: inner, size: 10 }],
    };
    expect(decodeDevice(made.record, description).state.fields[0]?.value).toMatchObject({
      name: "dev_tmp",
      fields: [{ value: 5n }, { value: 6 }],
    });
  });

  test("a list is described by its last element: decoded when all are alike, else bytes", () => {
    const element: VmdescField[] = [{ name: "n", type: "uint16", size: 2 }];
    const record = (payload: Uint8Array): Made["record"] => ({
      kind: "device",
      sectionId: 1,
      name: "dev",
      instance: 0,
      version: 1,
      payload,
      early: false,
    });
    const description = (size: number): VmdescDevice => ({
      name: "dev",
      instance_id: 0,
      fields: [{ name: "queue", type: "qtailq", vmsd_name: "item", version: 1, fields: element, size }],
    });
    const alike = Uint8Array.of(1, 0, 5, 1, 0, 6, 0);
    expect(decodeDevice(record(alike), description(7)).state.fields[0]?.value).toMatchObject([
      { fields: [{ value: 5 }] },
      { fields: [{ value: 6 }] },
    ]);
    const others = Uint8Array.of(1, 0, 5, 9, 9, 9, 9);
    expect(decodeDevice(record(others), description(7)).state.fields[0]?.value).toEqual(others);
  });

  test("subsections, of structs too", () => {
    const made = section("dev", 1, (b) =>
      b
        .struct("inner", "part", (inner) =>
          inner.uint("a", 1, 1).subsection("part/more", (more) => more.uint("b", 1, 2)),
        )
        .subsection("dev/late", (late) => late.uint("c", 4, 3), 7),
    );
    const { state } = decode(made);
    expect(subsectionOf(state, "dev/late")).toMatchObject({ version: 7, fields: [{ name: "c", value: 3 }] });
    expect(fieldOf(state, "inner")?.value).toMatchObject({
      subsections: [{ name: "part/more", fields: [{ value: 2 }] }],
    });
  });
});

describe("a description that lies", () => {
  const honest = section("dev", 1, (b) =>
    b
      .uint("a", 4, 1)
      .struct("s", "part", (inner) => inner.uint("x", 4, 2))
      .subsection("dev/sub", (sub) => sub.uint("b", 1, 1)),
  );
  const lie = (change: (description: VmdescDevice) => VmdescDevice) => () =>
    decodeDevice(honest.record, change(structuredClone(honest.description)));

  test.each<[string, (d: VmdescDevice) => VmdescDevice, string]>([
    ["leaves bytes over", (d) => ({ ...d, subsections: [] }), "belong to no field"],
    [
      "describes more than there is",
      (d) => ({ ...d, fields: [...(d.fields ?? []), { name: "z", type: "buffer", size: 99 }], subsections: [] }),
      "99 bytes are described",
    ],
    [
      "names another subsection",
      (d) => ({ ...d, subsections: [{ ...d.subsections?.[0], vmsd_name: "dev/xxx" }] }),
      'stands where "dev/xxx"',
    ],
    [
      "has a struct larger than its fields",
      (d) => ({ ...d, fields: [d.fields?.[0] as VmdescField, { ...(d.fields?.[1] as VmdescField), size: 5 }] }),
      "4 bytes in its fields and 5 in all",
    ],
    [
      "gives an integer another width",
      (d) => ({ ...d, fields: [{ name: "a", type: "uint32", size: 3 }] }),
      "has 3 bytes",
    ],
    [
      "has an array of more elements than bytes",
      (d) => ({ ...d, fields: [{ name: "a", type: "uint8", size: 1, array_len: 10 ** 9 }] }),
      "1000000000 bytes are described",
    ],
    [
      "has a huge array of nothing",
      (d) => ({ ...d, fields: [{ name: "a", type: "buffer", size: 0, array_len: 10 ** 9 }] }),
      "more than 4000000 values",
    ],
    [
      "takes a value for a null pointer",
      (d) => ({ ...d, fields: [{ name: "a", type: "nullptr", size: 1 }] }),
      "is no null pointer",
    ],
  ])("%s", (_, change, said) => refused(lie(change), said));
});

describe("the sections of a snapshot", () => {
  test("are found by name and instance", () => {
    const sections = new DeviceSections(
      asSnapshot(
        section("a", 1, (b) => b.uint("x", 1, 1)),
        section("a", 1, (b) => b.uint("x", 1, 2), 1),
      ),
    );
    expect(sections.find("a", 1)?.state.fields[0]?.value).toBe(2);
    expect(sections.find("b")).toBeNull();
    expect(sections.pageSize).toBe(4096);
  });

  test("share one limit of values, however often each is decoded", () => {
    // Each alone is allowed, as are two.
    const hollow = (instance: number): Made => {
      const made = section("a", 1, (b) => b.uint("x", 1, instance), instance);
      const nothing: VmdescField = { name: "n", type: "buffer", size: 0, array_len: 900 };
      return { ...made, description: { ...made.description, fields: [...(made.description.fields ?? []), nothing] } };
    };
    const small = section("b", 1, (b) => b.uint("x", 1, 7));
    const sections = new DeviceSections(asSnapshot(hollow(0), hollow(1), hollow(2), small), 4000);
    for (const instance of [0, 1, 1, 0]) expect(sections.find("a", instance)).not.toBeNull();
    refused(() => sections.find("a", 2), "more than 4000 values");
    // The others are not affected.
    expect(sections.find("b")?.state.fields[0]?.value).toBe(7);
    refused(() => sections.find("a", 2), "more than 4000 values");
  });

  test("subsections count as values do", () => {
    const { record, description } = section("dev", 1, (b) => {
      for (let i = 0; i < 9; i++) b.subsection("dev/s", () => {});
    });
    expect(decodeDevice(record, description, { left: 9, most: 10 }).state.subsections).toHaveLength(9);
    refused(() => decodeDevice(record, description, { left: 8, most: 10 }), "more than 10 values");
  });

  test("without a description nothing is decoded", () => {
    const { devices, vmdesc } = asSnapshot(section("a", 1, (b) => b.uint("x", 1, 1)));
    expect(() => new DeviceSections({ devices, vmdesc: null })).toThrow(
      expect.objectContaining({ code: "stream.no-vmdesc" }),
    );
    const [record] = devices;
    if (record === undefined) throw new Error("none");
    expect(() => new DeviceSections({ devices, vmdesc }).decode({ ...record, name: "b" })).toThrow(
      expect.objectContaining({ code: "stream.device-fields" }),
    );
  });
});
