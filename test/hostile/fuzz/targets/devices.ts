/** Device sections and their descriptions: made together, they come back as they were; made to disagree, they are refused or fit. */
import type { DeviceValue } from "../../../../src/devices/tree.ts";
import type { DeviceRecord } from "../../../../src/stream/records.ts";
import type { VmdescField, VmdescState } from "../../../../src/stream/vmdesc.ts";
import { Marked } from "../../marked.ts";
import type { Target } from "../engine.ts";
import type { FuzzLib } from "../fuzz-lib.ts";
import { Choices, codeOf } from "./shared.ts";

/** What a field holds, in the plainest form: numbers as texts, bytes as hex, structs as lists of name and value. */
type Plain = string | null | boolean | readonly Plain[];

interface Made {
  readonly out: Marked;
  readonly choices: Choices;
  depth: number;
}

const numbers = ["uint8", "int8", "uint16", "int16", "uint32", "int32", "uint64", "int64", "timer", "uint32 equal"];
const widths = [1, 1, 2, 2, 4, 4, 8, 8, 8, 4];

function number(made: Made, kind: number): Plain {
  const size = widths[kind] ?? 1;
  const signed = !(numbers[kind] ?? "").startsWith("uint");
  let value = 0n;
  for (let i = 0; i < size; i++) {
    const byte = made.choices.byte();
    made.out.u8(null, byte);
    value = value * 256n + BigInt(byte);
  }
  return `${signed ? BigInt.asIntN(size * 8, value) : value}`;
}

function bytes(made: Made, size: number): Plain {
  const list = Uint8Array.from({ length: size }, () => made.choices.byte());
  made.out.bytes(null, list);
  return Buffer.from(list).toString("hex");
}

/** A list becomes part of a longer one where its neighbour has the same name. */
type Field = readonly [description: VmdescField, value: Plain, isList?: boolean];

function field(made: Made, name: string): Field {
  const { choices } = made;
  const kind = choices.below(10);
  const at = made.out.length;
  if (kind < 3) {
    const which = choices.below(numbers.length);
    const [type = "", size = 1] = [numbers[which], widths[which]];
    if (kind < 2) return [{ name, type, size }, number(made, which)];
    const count = choices.below(5);
    const list = Array.from({ length: count }, () => number(made, which));
    return [{ name, type, size, array_len: count }, list, true];
  }
  if (kind === 3) {
    const on = choices.below(2) === 1;
    made.out.u8(null, on ? 1 : 0);
    return [{ name, type: "bool", size: 1 }, on];
  }
  if (kind === 4) {
    made.out.u8(null, 0x30);
    return [{ name, type: "nullptr", size: 1 }, null];
  }
  if (kind === 9) {
    const list = Array.from({ length: choices.below(4) }, (): Plain => {
      made.out.u8(null, 1);
      return [["e", number(made, 0)]];
    });
    made.out.u8(null, 0);
    const fields = [{ name: "e", type: "uint8", size: 1 }];
    return [{ name, type: "qtailq", size: made.out.length - at, fields }, list, true];
  }
  if (kind === 5 || made.depth > 2) {
    const size = choices.below(20);
    return [{ name, type: "buffer", size }, bytes(made, size)];
  }
  made.depth++;
  const [struct, value] = state(made, `s${made.depth}`);
  made.depth--;
  const size = made.out.length - at;
  if (kind === 6) return [{ name, type: "struct", size, struct }, value];
  return [{ name, type: kind === 7 ? "tmp" : "vstruct", size, ...struct }, value];
}

function state(made: Made, name: string): readonly [VmdescState, Plain] {
  const { choices, out } = made;
  const fields = Array.from({ length: choices.below(4) }, (_, i) => field(made, `f${i - choices.below(2)}`));
  const subsections: VmdescState[] = [];
  const values: Plain[] = [];
  for (let i = made.depth < 2 ? choices.below(3) : 0; i > 0; i--) {
    const inner = `${name}/sub${i}`;
    out.u8(null, 5).name(null, inner).u32(null, 1);
    made.depth++;
    const [description, value] = state(made, inner);
    made.depth--;
    subsections.push(description);
    values.push([inner, value]);
  }
  const description = {
    vmsd_name: name,
    version: 1,
    fields: fields.map(([each]) => each),
    ...(subsections.length === 0 ? {} : { subsections }),
  };
  return [description, [...merged(fields), ...values]];
}

/** Neighbours of one name are one array. */
function merged(fields: readonly Field[]): Plain[] {
  const runs: { name: string; fields: Field[] }[] = [];
  for (const each of fields) {
    const last = runs.at(-1);
    if (last?.name === each[0].name) last.fields.push(each);
    else runs.push({ name: each[0].name, fields: [each] });
  }
  return runs.map(({ name, fields: run }): Plain => {
    const [first] = run;
    if (run.length === 1 && first !== undefined) return [name, first[1]];
    return [name, run.flatMap(([, value, isList]) => (isList === true && Array.isArray(value) ? value : [value]))];
  });
}

function plain(value: DeviceValue): Plain {
  if (value === null || typeof value === "boolean") return value;
  if (value instanceof Uint8Array) return Buffer.from(value).toString("hex");
  if (typeof value === "object" && "fields" in value)
    return [
      ...value.fields.map((each): Plain => [each.name, plain(each.value)]),
      ...value.subsections.map((each): Plain => [each.name, plain(each)]),
    ];
  if (typeof value === "object") return (value as readonly DeviceValue[]).map(plain);
  return `${value}`;
}

export function devicesTarget(lib: FuzzLib): Target {
  return {
    name: "devices",
    meant: /^devices\/(decode|sections)/,
    seeds: [
      Uint8Array.from({ length: 60 }, (_, i) => (i * 29) % 256),
      Uint8Array.from({ length: 60 }, (_, i) => (i * 83 + 5) % 256),
      Uint8Array.of(0, 3, 6, 2, 0, 1, 9, 0, 2, 7, 1, 8, 1, 1, 2, 0, 1),
    ],
    words: [Uint8Array.of(6), Uint8Array.of(7), Uint8Array.of(8), Uint8Array.of(0, 0, 0, 0)],
    most: 200,
    run: (input) => {
      const choices = new Choices(input);
      const wrong = choices.below(4);
      const made: Made = { out: new Marked(), choices, depth: 0 };
      const [description, value] = state(made, "device");
      const payload = made.out.finish().bytes;
      if (wrong === 0) {
        if (JSON.stringify(decoded(lib, payload, description)) !== JSON.stringify(value))
          throw new Error("the fields are not what was put in");
      } else spoilt(lib, payload, description, choices);
    },
  };
}

function decoded(lib: FuzzLib, payload: Uint8Array, description: VmdescState): Plain {
  const record: DeviceRecord = {
    kind: "device",
    sectionId: 7,
    name: "device",
    instance: 0,
    version: 1,
    payload,
    early: false,
  };
  const json = { page_size: 4096, devices: [{ name: "device", instance_id: 0, ...description }] };
  const vmdesc = new TextEncoder().encode(JSON.stringify(json));
  const sections = new lib.DeviceSections({ devices: [record], vmdesc });
  const tree = sections.decode(record);
  let at = 0;
  for (const { offset, size } of tree.state.fields) {
    if (offset !== at || size < 0) throw new Error(`a field at byte ${offset}, the one before ends at ${at}`);
    at += size;
  }
  if (tree.state.size !== payload.length) throw new Error("fields and payload differ in length");
  return plain(tree.state);
}

/** One thing does not fit: a byte of the payload, its length, or a number or word of the description. */
function spoilt(lib: FuzzLib, payload: Uint8Array, description: VmdescState, choices: Choices): void {
  let [bytes, text] = [payload.slice(), JSON.stringify(description)];
  for (let times = 1 + choices.below(2); times > 0; times--) {
    const kind = choices.below(4);
    const at = choices.byte();
    const value = choices.byte();
    if (kind === 0) bytes[at % Math.max(1, bytes.length)] = value;
    else if (kind === 1) bytes = bytes.slice(0, at % (bytes.length + 1));
    else {
      const words = text.split(/(?<=[:,])/);
      const instead = [
        "9007199254740991",
        "-1",
        "0",
        "1",
        "1e9",
        '"struct"',
        '"qtailq"',
        '"nullptr"',
        '"bool"',
        "null",
      ];
      const place = at % words.length;
      const old = words[place] ?? "";
      words[place] = old.replace(/^("[^"]*"|-?[0-9]+)/, instead[value % instead.length] ?? "0");
      text = words.join("");
    }
  }
  try {
    decoded(lib, bytes, JSON.parse(text) as VmdescState);
  } catch (error) {
    if (error instanceof SyntaxError) return;
    const code = codeOf(error);
    if (code !== "stream.device-fields" && code !== "stream.vmdesc-invalid") throw new Error(`refused as ${code}`);
  }
}
