/**
 * Builds src/ into a folder: `node script/build.mjs FOLDER`. JavaScript in as few files as possible, for finding and opening a hundred
 * small ones takes longer than most commands run; declarations one for each source, made by tsc.
 *
 * The entries are what is started or imported from outside: src/installation.ts knows where they are.
 */
import { execFileSync } from "node:child_process";
import { copyFileSync, writeFileSync } from "node:fs";
import { createRequire } from "node:module";
import { basename, resolve } from "node:path";
import { build } from "esbuild";

const [folder] = process.argv.slice(2);
if (folder === undefined) throw new Error("usage: node script/build.mjs FOLDER");

/** The library: ES modules beside the packages it needs, which belong to whoever imports it. */
await build({
  entryPoints: ["src/index.ts"],
  outbase: "src",
  outdir: folder,
  bundle: true,
  splitting: true,
  chunkNames: "chunks/[name]-[hash]",
  format: "esm",
  platform: "node",
  target: "node20",
  packages: "external",
  sourcemap: true,
  logLevel: "warning",
});
/** Our programs and threads: one file each with its libraries in it, whose parts begin when they are first needed. */
const program = {
  outdir: folder,
  outExtension: { ".js": ".cjs" },
  bundle: true,
  format: "cjs",
  platform: "node",
  target: "node20",
  // An import of a module of node's own, where one is loaded later.
  supported: { "dynamic-import": false },
  define: { "import.meta.url": "moduleUrl" },
  banner: { js: 'const moduleUrl = require("node:url").pathToFileURL(__filename).href;' },
  sourcemap: true,
  legalComments: "eof",
  logLevel: "warning",
};
await build({ ...program, outbase: "src", entryPoints: ["src/operations/save/guard.ts", "src/workers/entry.ts"] });
/** Those for whose start somebody waits come with what V8 has made of them (script/lib/start.cjs). */
const cached = ["cli/main", "operations/lazy/server"];
const entryPoints = cached.map((name) => ({ in: `src/${name}.ts`, out: `${name}.program` }));
await build({ ...program, entryPoints });
copyFileSync("script/lib/start.cjs", `${folder}/start.cjs`);
/** What is called on the way to the work: none of these gets further than that its file is not there. */
const commandLines = [
  ["resume", "/nonexistent/file", "--lazy", "--json", "--", "qemu"],
  ["resume", "/nonexistent/file", "--", "qemu"],
  ["clone", "/nonexistent/file", "--count", "2", "--", "qemu"],
  ["save", "/nonexistent/file", "--qmp", "/nonexistent/socket"],
  ...["info", "verify", "convert", "diff", "search"].map((name) => [name, "/nonexistent/file", "/nonexistent/other"]),
];
for (const name of cached) {
  const start = `${"../".repeat(name.split("/").length - 1)}start.cjs`;
  const file = `${basename(name)}.program.cjs`;
  writeFileSync(`${folder}/${name}.cjs`, `module.exports = require("${start}").load(\`\${__dirname}/${file}\`);\n`);
  const lines = name === "cli/main" ? commandLines.map((line) => JSON.stringify(line)) : [];
  const words = ["script/lib/code-cache.cjs", resolve(folder, `${name}.program.cjs`), ...lines];
  execFileSync(process.execPath, words, { stdio: "ignore" });
}
/** The viewer's page: a program of its own for browsers, with its libraries in it. */
await build({
  entryPoints: [
    { in: "src/viewer/client/main.tsx", out: "app" },
    { in: "src/viewer/client/app.css", out: "app" },
  ],
  outdir: `${folder}/viewer`,
  bundle: true,
  minify: true,
  format: "esm",
  platform: "browser",
  target: "es2022",
  jsx: "automatic",
  jsxImportSource: "preact",
  legalComments: "eof",
  logLevel: "warning",
});
for (const name of ["index.html", "icon.svg"]) copyFileSync(`src/viewer/client/${name}`, `${folder}/viewer/${name}`);
const tsc = createRequire(import.meta.url).resolve("typescript/bin/tsc");
execFileSync(process.execPath, [tsc, "-p", "tsconfig.build.json", "--outDir", folder], { stdio: "inherit" });
