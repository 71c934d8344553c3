/** Compiles src/bytes/page-digest.wat into src/bytes/page-digest-wasm.ts: `node script/build-wasm.mjs`. */
import { readFileSync, writeFileSync } from "node:fs";
import wabt from "wabt";

const source = new URL("../src/bytes/page-digest.wat", import.meta.url);
const target = new URL("../src/bytes/page-digest-wasm.ts", import.meta.url);
const module = (await wabt()).parseWat("page-digest.wat", readFileSync(source, "utf8"), { simd: true });
const { buffer } = module.toBinary({});
const lines =
  Buffer.from(buffer)
    .toString("base64")
    .match(/.{1,100}/g) ?? [];
writeFileSync(
  target,
  `/** page-digest.wat, compiled: \`node script/build-wasm.mjs\`. A test compares the two. */
export const pageDigestWasm =
${lines.map((line) => `  "${line}"`).join(" +\n")};
`,
);
