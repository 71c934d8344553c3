/** What a reader was told to hold at most. */
import { stream } from "../sound.ts";
import type { Spec } from "../spec.ts";

const clause = "What a reader must check";
const options = { maxDeviceState: 4096 };
const early = (size: number, id: number) => ({ name: `early${id}`, id, payload: new Uint8Array(size).fill(id) });
const long = stream({ devices: [{ name: "d", id: 7, payload: new Uint8Array(5000) }] });
const two = stream({ early: [early(3000, 20), early(3000, 21)] });
const described = stream({ vmdesc: JSON.stringify({ devices: [], x: "x".repeat(5000) }), devices: [] });
const refused = "stream.device-state-too-large";
/** The last 21 is that of its footer, 5 bytes long. */
const second = two.bytes.lastIndexOf(21) - 5 - 2999;

export const limitDefects: Spec[] = [
  {
    name: "device",
    what: "a device of 5000 bytes",
    clause,
    options,
    bytes: long.bytes,
    expect: refused,
    at: long.at("d"),
  },
  {
    name: "early",
    what: "early devices of 6000 bytes in all",
    clause,
    options,
    bytes: two.bytes,
    expect: refused,
    at: second - 4 - 1 - "early21".length - 4 - 4 - 1,
  },
  {
    name: "vmdesc",
    what: "a vmdesc of 5000 bytes",
    clause,
    options,
    bytes: described.bytes,
    expect: refused,
    at: described.at("vmdesc"),
  },
];
