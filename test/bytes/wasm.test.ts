import { readFileSync } from "node:fs";
import { expect, test } from "vitest";
import wabt from "wabt";
import { pageDigestWasm } from "../../src/bytes/page-digest-wasm.ts";
import { scanWasm } from "../../src/search/scan-wasm.ts";

const root = new URL("../../", import.meta.url);
const modules: Readonly<Record<string, string>> = {
  "src/bytes/page-digest.wat": pageDigestWasm,
  "src/search/scan.wat": scanWasm,
};

test.each(Object.entries(modules))("what is run is %s, compiled", async (path, code) => {
  const source = readFileSync(new URL(path, root), "utf8");
  const { buffer } = (await wabt()).parseWat(path, source, { simd: true }).toBinary({});
  expect(Buffer.from(buffer).toString("base64"), "run: node script/build-wasm.mjs").toBe(code);
});
