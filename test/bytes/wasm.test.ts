import { readFileSync } from "node:fs";
import { expect, test } from "vitest";
import wabt from "wabt";
import { pageDigestSharedWasm, pageDigestWasm } from "../../src/bytes/page-digest-wasm.ts";
import { scanWasm } from "../../src/search/scan-wasm.ts";

const root = new URL("../../", import.meta.url);
const modules: readonly (readonly [path: string, memory: "own" | "shared", code: string])[] = [
  ["src/bytes/page-digest.wat", "own", pageDigestWasm],
  ["src/bytes/page-digest.wat", "shared", pageDigestSharedWasm],
  ["src/search/scan.wat", "own", scanWasm],
];

test.each(modules)("what is run is %s, compiled, for memory that is %s", async (path, memory, code) => {
  const text = readFileSync(new URL(path, root), "utf8");
  const source = memory === "own" ? text : text.replace("(memory 1)", "(memory 1 65536 shared)");
  const { buffer } = (await wabt()).parseWat(path, source, { simd: true, threads: true }).toBinary({});
  expect(Buffer.from(buffer).toString("base64"), "run: node script/build-wasm.mjs").toBe(code);
});
