/** Every vector does what its header says, however it is read; and the ones that are kept are those that the lists make. */
import { beforeAll, describe, expect, test } from "vitest";
import { committed, makeVectors, readVectors, textOf } from "./all.ts";
import { type Lib, loadLib } from "./lib.ts";
import { complaints } from "./run.ts";
import type { Vector } from "./vector.ts";

let lib: Lib;
beforeAll(async () => {
  lib = await loadLib();
});

test("the vectors that are kept are those that the lists of defects make", async () => {
  const made = await makeVectors();
  expect(committed()).toEqual(made.map(({ vector }) => vector.name).sort());
  for (const { vector, text } of made) expect(textOf(vector.name), vector.name).toBe(text);
});

describe("vectors", () => {
  const folders = new Map<string, Vector[]>();
  for (const vector of readVectors()) {
    const folder = vector.name.slice(0, vector.name.indexOf("/"));
    folders.set(folder, [...(folders.get(folder) ?? []), vector]);
  }
  test.each([...folders])(
    "%s",
    async (_folder, vectors) => {
      const said: string[] = [];
      for (const vector of vectors)
        for (const complaint of await complaints(lib, vector)) said.push(`${vector.name}: ${complaint}`);
      expect(said).toEqual([]);
    },
    120_000,
  );
});
