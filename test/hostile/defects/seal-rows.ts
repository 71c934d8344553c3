/** How defects of sealed files are told: a field, what stands there instead, and what is made right again. */
import { createHash } from "node:crypto";
import type { Sound } from "../marked.ts";
import { mappedDigest, type Spec, type Value } from "../spec.ts";

export type Again = (bytes: Uint8Array) => Uint8Array;
export const asIs: Again = (bytes) => bytes;
export const pages = mappedDigest();
export const max = 2n ** 64n - 1n;
export const hash = (bytes: Uint8Array): Uint8Array => createHash("sha256").update(bytes).digest();

export type Row = readonly [name: string, what: string, field: string, value: Value, again: Again, ...verify: string[]];

export const specs = (file: Sound, base: string, clause: string, rows: readonly Row[]): Spec[] =>
  rows.map(([name, what, field, value, again, ...verify]) => {
    const bytes = again(file.with(field, value).bytes);
    // What a newer version made is not opened at all.
    const refused = verify[0]?.startsWith("seal.") === true;
    const at = name === "trailer-version" ? file.at("trailer.version") : file.at("META.magic");
    return { name, what, clause, base, bytes, verify, ...(refused ? { expect: verify[0] ?? "", at } : { pages }) };
  });

/** Another value of the same size. */
export const turned = (file: Sound, field: string): Uint8Array => {
  const { offset, size } = file.field(field);
  return file.bytes.slice(offset, offset + size).map((byte) => byte ^ 0xff);
};
