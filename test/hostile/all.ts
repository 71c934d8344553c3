/** Every vector, made anew; and the files they are kept in. */
import { existsSync, mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { deviceDefects } from "./defects/device.ts";
import { fieldDefects } from "./defects/fields.ts";
import { framing, headDefects } from "./defects/frame.ts";
import { indexDefects } from "./defects/index.ts";
import { largeDefects } from "./defects/large.ts";
import { libvirtDefects, otherFiles } from "./defects/libvirt.ts";
import { limitDefects } from "./defects/limits.ts";
import { mappedDefects } from "./defects/mapped.ts";
import { multifdDefects } from "./defects/multifd.ts";
import { ramDefects } from "./defects/ram.ts";
import { sealDefects } from "./defects/seal.ts";
import { unsealedOrders } from "./defects/seal-order.ts";
import type { Spec } from "./spec.ts";
import { formatVector, parseVector, type Vector } from "./vector.ts";

export const vectorFolder = join(import.meta.dirname, "..", "vectors");

type Lists = Readonly<Record<string, readonly Spec[]>>;

async function lists(): Promise<Lists> {
  return {
    stream: [...framing, ...ramDefects, ...deviceDefects],
    mapped: [...mappedDefects, ...headDefects, ...unsealedOrders()],
    libvirt: libvirtDefects,
    seal: await sealDefects(),
    index: await indexDefects(),
    other: otherFiles,
    device: fieldDefects,
    multifd: multifdDefects,
    limits: limitDefects,
  };
}

export interface Made {
  readonly vector: Vector;
  readonly text: string;
}

/** In the order of their names; all of it follows from the sources alone. */
export async function makeVectors(): Promise<Made[]> {
  const all = await lists();
  const bytes = new Map<string, Uint8Array>();
  for (const [folder, specs] of Object.entries(all)) {
    for (const spec of specs) {
      const name = `${folder}/${spec.name}`;
      if (bytes.has(name)) throw new Error(`two vectors ${name}`);
      bytes.set(name, spec.bytes);
    }
  }
  return Object.entries(all).flatMap(([folder, specs]) =>
    specs.map((spec) => {
      const vector = vectorOf(folder, spec);
      const from = vector.base === null ? null : bytes.get(join(folder, vector.base));
      if (from === undefined) throw new Error(`${vector.name} has no base ${vector.base}`);
      return { vector, text: formatVector(vector, from) };
    }),
  );
}

function vectorOf(folder: string, spec: Spec): Vector {
  const { name, what, clause, bytes, expect = "ok", at = null, verify = null, pages = null } = spec;
  const { vmdesc = null, tree = null, options = {}, base = null } = spec;
  return { name: `${folder}/${name}`, what, clause, expect, at, verify, pages, vmdesc, tree, options, base, bytes };
}

/** Those that are too large to be kept. */
export function makeLarge(): { readonly vector: Vector }[] {
  return largeDefects().map((spec) => ({ vector: vectorOf("large", spec) }));
}

export function readVectors(): Vector[] {
  const cache = new Map<string, Vector>();
  const read = (name: string): Vector => {
    const known = cache.get(name);
    if (known !== undefined) return known;
    const text = readFileSync(join(vectorFolder, `${name}.vec`), "utf8");
    const vector = parseVector(name, text, (base) => read(join(dirname(name), base)).bytes);
    cache.set(name, vector);
    return vector;
  };
  return committed().map(read);
}

/** Names of the vectors that are kept. */
export function committed(): string[] {
  if (!existsSync(vectorFolder)) return [];
  return readdirSync(vectorFolder, { recursive: true, encoding: "utf8" })
    .filter((name) => name.endsWith(".vec"))
    .map((name) => name.slice(0, -4))
    .sort();
}

export function textOf(name: string): string {
  return readFileSync(join(vectorFolder, `${name}.vec`), "utf8");
}

export async function writeVectors(): Promise<number> {
  const made = await makeVectors();
  for (const name of committed()) rmSync(join(vectorFolder, `${name}.vec`));
  for (const { vector, text } of made) {
    const path = join(vectorFolder, `${vector.name}.vec`);
    mkdirSync(dirname(path), { recursive: true });
    writeFileSync(path, text);
  }
  return made.length;
}
