/** Compiles every module written in WebAssembly's text, NAME.wat, into NAME-wasm.ts beside it: `node script/build-wasm.mjs`. */
import { readFileSync, writeFileSync } from "node:fs";
import wabt from "wabt";

/** Source, and the name that the base64 of the module is exported under. */
const modules = {
  "src/bytes/page-digest.wat": "pageDigestWasm",
  "src/search/scan.wat": "scanWasm",
};

const { parseWat } = await wabt();
for (const [path, name] of Object.entries(modules)) {
  const source = new URL(`../${path}`, import.meta.url);
  const file = path.split("/").at(-1);
  const { buffer } = parseWat(file, readFileSync(source, "utf8"), { simd: true }).toBinary({});
  const lines =
    Buffer.from(buffer)
      .toString("base64")
      .match(/.{1,100}/g) ?? [];
  writeFileSync(
    new URL(source.href.replace(/\.wat$/, "-wasm.ts")),
    `/** ${file}, compiled: \`node script/build-wasm.mjs\`. A test compares the two. */
export const ${name} =
${lines.map((line) => `  "${line}"`).join(" +\n")};
`,
  );
}
