/** Vectors that are no whole files: a device section and its description, a multifd channel, a reader with limits. */
import type { DeviceValue } from "../../src/devices/tree.ts";
import type { RamBlock } from "../../src/pages/block.ts";
import type { DeviceRecord } from "../../src/stream/records.ts";
import { digestOf, keyOf } from "./contents.ts";
import type { Lib } from "./lib.ts";
import { drive, outcome, PlainSink } from "./run.ts";
import { PAGE } from "./sound.ts";
import type { Vector } from "./vector.ts";

type Part = (lib: Lib, vector: Vector) => Promise<string[]>;

/** By folder. */
export const parts: Readonly<Record<string, Part>> = { device, multifd, limits };

function compared(how: string, code: string, at: number | null, { expect, at: wanted }: Vector): string[] {
  if (code !== expect) return [`${how}: ${code} at ${at}, not ${expect}`];
  return expect === "ok" || at === wanted ? [] : [`${how}: ${code} at ${at}, not at ${wanted}`];
}

/** Numbers as texts, bytes in hexadecimal, structs as their fields' names and values. */
export function plainValue(value: DeviceValue): unknown {
  if (value === null || typeof value === "boolean") return value;
  if (value instanceof Uint8Array) return Buffer.from(value).toString("hex");
  if (typeof value !== "object") return `${value}`;
  if (!("fields" in value)) return (value as readonly DeviceValue[]).map(plainValue);
  const { fields, subsections } = value;
  return [...fields, ...subsections.map((each) => ({ name: each.name, value: each }))].map((each) => [
    each.name,
    plainValue(each.value),
  ]);
}

async function device(lib: Lib, vector: Vector): Promise<string[]> {
  const { bytes, vmdesc, tree } = vector;
  const record: DeviceRecord = {
    kind: "device",
    sectionId: 7,
    name: "device",
    instance: 0,
    version: 1,
    payload: bytes.slice(),
    early: false,
  };
  const found = await outcome(() => {
    const sections = new lib.DeviceSections({
      devices: [record],
      vmdesc: vmdesc === null ? null : new TextEncoder().encode(vmdesc),
    });
    return JSON.stringify(plainValue(sections.decode(record).state));
  });
  const said = compared("decoded", found.code, found.at, vector);
  return said.length > 0 || found.pages === tree ? said : [`decoded: ${found.pages?.slice(0, 200)}, not ${tree}`];
}

const blocks: readonly RamBlock[] = [
  { index: 0, name: "ram", length: 200 * PAGE, pageSize: PAGE, pages: 200 },
  { index: 1, name: "r", length: 3 * PAGE, pageSize: PAGE, pages: 3 },
];

async function multifd(lib: Lib, vector: Vector): Promise<string[]> {
  const { bytes, pages } = vector;
  const found: string[] = [];
  for (const cut of [bytes.length, 1000, 1]) {
    const sink = new PlainSink(lib);
    const { code, at } = await outcome(() => {
      const buffer = new Uint8Array(lib.MultifdReader.bufferBytes(PAGE));
      const reader = new lib.MultifdReader(buffer, blocks, {
        greeting: () => {},
        pages: (batch) => sink.pages(batch),
        zeroPages: (block, first, count) => {
          for (let page = first; page < first + count; page++) sink.contents.delete(keyOf(block.name, page));
        },
        sync: () => {},
      });
      for (let from = 0; from < bytes.length; from += cut) reader.push(bytes.slice(from, from + cut));
      reader.closed();
      return "";
    });
    found.push(...compared(`in chunks of ${cut}`, code, at, vector));
    if (code === "ok" && digestOf(sink.contents) !== pages) found.push(`in chunks of ${cut}: other pages`);
  }
  return found;
}

async function limits(lib: Lib, vector: Vector): Promise<string[]> {
  const found: string[] = [];
  for (const cut of [Number.POSITIVE_INFINITY, 100, 1]) {
    const { code, at } = await outcome(() => `${drive(lib, vector.bytes, new PlainSink(lib), cut, vector.options)}`);
    found.push(...compared(`in chunks of ${cut}`, code, at, vector));
  }
  return found;
}
