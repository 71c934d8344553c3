/** Payloads of device sections and descriptions that fit them, or do not: QEMU's migration/vmstate.c. */
import { bytesOf, type Spec } from "../spec.ts";

const clause = "Device state";

interface Field {
  readonly name: string;
  readonly type?: string;
  readonly size: number;
  readonly [key: string]: unknown;
}

type Fields = readonly Field[];

const described = (fields: Fields, more: Readonly<Record<string, unknown>> = {}): string =>
  JSON.stringify({
    page_size: 4096,
    devices: [{ name: "device", instance_id: 0, vmsd_name: "device", version: 1, fields, ...more }],
  });

const sound = (
  name: string,
  what: string,
  fields: Fields,
  bytes: readonly number[],
  tree: unknown,
  more = {},
): Spec => ({
  name,
  what,
  clause,
  bytes: bytesOf(...bytes),
  vmdesc: described(fields, more),
  tree: JSON.stringify(tree),
});

const refused = (name: string, what: string, fields: Fields, bytes: readonly number[], more = {}): Spec => ({
  name,
  what,
  clause,
  bytes: bytesOf(...bytes),
  vmdesc: described(fields, more),
  expect: "stream.device-fields",
});

const u32 = (name: string, size = 4): Field => ({ name, type: "uint32", size });
const struct = (name: string, size: number, fields: Fields, more = {}): Field => ({
  name,
  type: "struct",
  size,
  struct: { vmsd_name: name, version: 1, fields, ...more },
});
/** A list is described by its last element. */
const list = (size: number, fields: Fields): Field => ({ name: "list", type: "qtailq", size, fields });
const byte: Field = { name: "e", type: "uint8", size: 1 };
const sub = (name: string, fields: Fields) => ({ subsections: [{ vmsd_name: name, version: 1, fields }] });
const subsection = [5, 1, 0x73, 0, 0, 0, 1];

const whole: Spec[] = [
  sound(
    "numbers",
    "a number of each width, the lowest of its kind",
    [
      { name: "a", type: "int8", size: 1 },
      { name: "b", type: "uint16", size: 2 },
      { name: "c", type: "int32", size: 4 },
      { name: "d", type: "uint64", size: 8 },
      { name: "e", type: "int64", size: 8 },
      { name: "f", type: "bool", size: 1 },
    ],
    [0x80, 0xff, 0xfe, 0x80, 0, 0, 0, 255, 255, 255, 255, 255, 255, 255, 255, 0x80, 0, 0, 0, 0, 0, 0, 0, 1],
    [
      ["a", "-128"],
      ["b", "65534"],
      ["c", "-2147483648"],
      ["d", "18446744073709551615"],
      ["e", "-9223372036854775808"],
      ["f", true],
    ],
  ),
  sound("null", "a null pointer", [{ name: "p", type: "nullptr", size: 1 }], [0x30], [["p", null]]),
  sound(
    "buffer",
    "bytes of a type that is not known",
    [{ name: "b", type: "other", size: 3 }],
    [1, 2, 3],
    [["b", "010203"]],
  ),
  sound(
    "array",
    "an array, and one of no elements",
    [
      { name: "a", type: "uint16", size: 2, array_len: 2 },
      { name: "b", type: "uint16", size: 2, array_len: 0 },
    ],
    [0, 1, 0, 2],
    [
      ["a", ["1", "2"]],
      ["b", []],
    ],
  ),
  sound(
    "struct",
    "a struct in a struct",
    [struct("s", 2, [struct("t", 1, [byte]), byte])],
    [1, 2],
    [
      [
        "s",
        [
          ["t", [["e", "1"]]],
          ["e", "2"],
        ],
      ],
    ],
  ),
  sound(
    "inline",
    "fields that are not below a struct of their own",
    [{ name: "v", type: "vstruct", size: 1, fields: [byte] }],
    [7],
    [["v", [["e", "7"]]]],
  ),
  sound(
    "subsection",
    "a subsection",
    [byte],
    [9, ...subsection, 4],
    [
      ["e", "9"],
      ["s", [["e", "4"]]],
    ],
    sub("s", [byte]),
  ),
  sound("list", "a list of two elements", [list(5, [byte])], [1, 8, 1, 9, 0], [["list", [[["e", "8"]], [["e", "9"]]]]]),
  sound(
    "list-of-nothing",
    "a list whose elements have no bytes stays bytes",
    [list(3, [])],
    [1, 1, 0],
    [["list", "010100"]],
  ),
  sound(
    "list-other",
    "a list whose elements are not like the last stays bytes",
    [list(4, [byte])],
    [1, 8, 0, 0],
    [["list", "01080000"]],
  ),
  sound("list-no-end", "a list that no 0 ends stays bytes", [list(3, [byte])], [1, 8, 7], [["list", "010807"]]),
  sound(
    "list-cut",
    "a list whose element is longer than what is left stays bytes",
    [list(3, [u32("e")])],
    [1, 8, 0],
    [["list", "010800"]],
  ),
];

const wrong: Spec[] = [
  refused("longer", "bytes that belong to no field", [byte], [1, 2]),
  refused("shorter", "a number of which two bytes are there", [u32("a")], [1, 2]),
  refused("no-bytes", "fields and no payload", [u32("a")], []),
  refused("number-size", "a u32 of 8 bytes", [u32("a", 8)], [0, 0, 0, 1, 0, 0, 0, 2]),
  refused("null-other", "a null pointer that is none", [{ name: "p", type: "nullptr", size: 1 }], [0x31]),
  refused("array-long", "an array longer than the payload", [{ ...u32("a"), array_len: 2 ** 40 }], [0, 0, 0, 1]),
  refused(
    "array-empty",
    "5 million elements of no bytes",
    [{ name: "a", type: "b", size: 0, array_len: 5_000_000 }],
    [],
  ),
  refused("struct-long", "a struct longer than the payload", [struct("s", 9, [byte])], [1]),
  refused("struct-size", "a struct whose fields are longer than it is", [struct("s", 1, [u32("a")])], [0, 0, 0, 1]),
  refused("list-long", "a list longer than the payload", [list(9, [byte])], [1, 1, 0]),
  refused(
    "subsection-none",
    "no subsection where one is described",
    [],
    [4, ...subsection.slice(1), 4],
    sub("s", [byte]),
  ),
  refused("subsection-other", "another subsection", [], [5, 1, 0x74, 0, 0, 0, 1, 4], sub("s", [byte])),
  refused("subsection-cut", "a subsection that ends in its name", [], [5, 9, 0x73], sub("s", [byte])),
  {
    ...refused("not-described", "a section that is not described", [], [1]),
    vmdesc: described([]).replace('"device"', '"other"'),
  },
  {
    name: "no-vmdesc",
    what: "no description at all",
    clause,
    bytes: bytesOf(1),
    expect: "stream.no-vmdesc",
  },
  {
    ...refused("not-json", "a description that is no JSON", [], [1]),
    vmdesc: "{",
    expect: "stream.vmdesc-invalid",
    at: 0,
  },
];

export const fieldDefects: Spec[] = [...whole, ...wrong];
