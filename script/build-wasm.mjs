/**
 * Compiles every module written in WebAssembly's text, NAME.wat, into NAME-wasm.ts beside it: `node script/build-wasm.mjs`. Where two
 * threads use the same memory, the module is there a second time, for memory that is shared: that is part of a module's type.
 */
import { readFileSync, writeFileSync } from "node:fs";
import wabt from "wabt";

/** Source, and the names that the base64 of the module is exported under; `shared`: for memory that is shared. */
const modules = {
  "src/bytes/page-digest.wat": { pageDigestWasm: "own", pageDigestSharedWasm: "shared" },
  "src/search/scan.wat": { scanWasm: "own" },
};

const { parseWat } = await wabt();
for (const [path, names] of Object.entries(modules)) {
  const source = new URL(`../${path}`, import.meta.url);
  const file = path.split("/").at(-1);
  const text = readFileSync(source, "utf8");
  const constants = Object.entries(names).map(([name, memory]) => {
    const wanted = memory === "own" ? text : text.replace("(memory 1)", "(memory 1 65536 shared)");
    const { buffer } = parseWat(file, wanted, { simd: true, threads: true }).toBinary({});
    const lines =
      Buffer.from(buffer)
        .toString("base64")
        .match(/.{1,100}/g) ?? [];
    return `export const ${name} =\n${lines.map((line) => `  "${line}"`).join(" +\n")};\n`;
  });
  writeFileSync(
    new URL(source.href.replace(/\.wat$/, "-wasm.ts")),
    `/** ${file}, compiled: \`node script/build-wasm.mjs\`. A test compares the two. */\n${constants.join("\n")}`,
  );
}
