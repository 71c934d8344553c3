import { expect, test, vi } from "vitest";
import { compareDevices } from "../../src/devices/compare.ts";
import { DeviceSections } from "../../src/devices/sections.ts";
import type { DeviceState, DeviceTree } from "../../src/devices/tree.ts";
import { asSnapshot, type StateBuilder, section } from "./sample.ts";

function tree(fill: (builder: StateBuilder) => void): DeviceTree {
  const snapshot = asSnapshot(section("dev", 1, fill));
  const found = new DeviceSections(snapshot).find("dev");
  if (found === null) throw new Error("no section");
  return found;
}

interface Values {
  readonly wide?: bigint;
  readonly list?: readonly number[];
  readonly bases?: readonly number[];
  readonly buffer?: Uint8Array;
  readonly extra?: number;
}

function device({
  wide = 1n,
  list = [1, 2, 3],
  bases = [7, 8],
  buffer = Uint8Array.of(1, 2),
  extra,
}: Values): DeviceTree {
  return tree((builder) => {
    builder.uint("wide", 8, wide).uint("same", 4, 5).uints("list", 2, list);
    builder.structs("segs", "seg", bases.length, (inner, i) => inner.uint("base", 4, bases[i] ?? 0));
    builder.bytes("buf", "buffer", buffer);
    if (extra !== undefined) builder.subsection("dev/extra", (inner) => inner.uint("x", 1, extra));
  });
}

test("what is the same has no differences", () => {
  expect(compareDevices(device({ extra: 1 }), device({ extra: 1 }))).toEqual([]);
});

test("a field, an element, a field of a struct in an array, a buffer", () => {
  const b = device({ wide: 2n, list: [1, 9, 3], bases: [7, 0], buffer: Uint8Array.of(1, 3) });
  expect(compareDevices(device({}), b)).toEqual([
    { path: "wide", a: 1n, b: 2n },
    { path: "list[1]", a: 2, b: 9 },
    { path: "segs[1].base", a: 8, b: 0 },
    { path: "buf", a: Uint8Array.of(1, 2), b: Uint8Array.of(1, 3) },
  ]);
});

test("names that come again have their number, also where a field is called like that", () => {
  const many = (last: number) =>
    tree((builder) => {
      builder.uint("x", 1, 1).uint("x#2", 1, 2).bytes("y", "buffer", Uint8Array.of(3)).uint("x", 1, 4);
      builder.bytes("z", "buffer", Uint8Array.of(3)).uint("x", 1, last);
    });
  expect(compareDevices(many(5), many(6))).toEqual([{ path: "x#4", a: 5, b: 6 }]);
});

test("very many subsections of one name cost no more than as many of others", () => {
  const count = 2000;
  let lookups = 0;
  const state = (name: string): DeviceState => ({ name, version: 1, offset: 0, size: 0, fields: [], subsections: [] });
  const names = Array.from({ length: count }, () => state("s"));
  const device: DeviceTree = {
    name: "dev",
    instance: 0,
    version: 1,
    state: { ...state("dev"), subsections: names },
  };
  const has = vi.spyOn(Map.prototype, "has").mockImplementation(function (this: Map<unknown, unknown>, key) {
    lookups++;
    return this.get(key) !== undefined;
  });
  try {
    expect(compareDevices(device, device)).toEqual([]);
  } finally {
    has.mockRestore();
  }
  expect(lookups).toBeLessThan(10 * count);
});

test("a subsection's version is in the payload, so it is compared", () => {
  const versioned = (version: number) =>
    tree((builder) =>
      builder.struct("part", "part", (inner) => inner.subsection("part/s", (s) => s.uint("x", 1, 1), version)),
    );
  expect(compareDevices(versioned(1), versioned(1))).toEqual([]);
  expect(compareDevices(versioned(1), versioned(2))).toEqual([{ path: "part/part/s/version", a: 1, b: 2 }]);
});

test("arrays of other lengths, and subsections that only one has", () => {
  const longer = compareDevices(device({ list: [1, 2] }), device({ list: [1, 2, 3, 4] }));
  expect(longer).toEqual([
    { path: "list[2]", a: undefined, b: 3 },
    { path: "list[3]", a: undefined, b: 4 },
  ]);
  expect(compareDevices(device({ extra: 4 }), device({}))).toMatchObject([{ path: "/dev/extra/", b: undefined }]);
  expect(compareDevices(device({ extra: 4 }), device({ extra: 5 }))).toEqual([{ path: "/dev/extra.x", a: 4, b: 5 }]);
});
