/**
 * Builds src/ into a folder: `node script/build.mjs FOLDER`. JavaScript in as few files as possible, for opening a hundred
 * small ones takes longer than most commands run; declarations one for each source, made by tsc.
 *
 * The entries are what is started or imported from outside: src/installation.ts knows where they are.
 */
import { execFileSync } from "node:child_process";
import { copyFileSync } from "node:fs";
import { createRequire } from "node:module";
import { build } from "esbuild";

const [folder] = process.argv.slice(2);
if (folder === undefined) throw new Error("usage: node script/build.mjs FOLDER");

await build({
  entryPoints: ["src/index.ts", "src/cli/main.ts", "src/operations/save/guard.ts", "src/workers/entry.ts"],
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
/** The page server, for whose start a guest waits: one file with all it needs, which loads in a quarter of the time. */
await build({
  entryPoints: ["src/operations/lazy/server.ts"],
  outbase: "src",
  outdir: folder,
  bundle: true,
  format: "esm",
  platform: "node",
  target: "node20",
  sourcemap: true,
  legalComments: "eof",
  logLevel: "warning",
});
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
