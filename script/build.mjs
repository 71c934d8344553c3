/**
 * Builds src/ into a folder: `node script/build.mjs FOLDER`. JavaScript in as few files as possible, for finding and opening a hundred
 * small ones takes longer than most commands run; declarations one for each source, made by tsc.
 *
 * The entries are what is started or imported from outside: src/installation.ts knows where they are.
 */
import { execFileSync } from "node:child_process";
import { copyFileSync, existsSync, mkdtempSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { createRequire } from "node:module";
import { tmpdir } from "node:os";
import { basename, join, resolve } from "node:path";
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
const cacheScript = resolve("script/lib/code-cache.cjs");
/** The programs look for each other in dist/ of a package: one where what is being built has that name. */
const stage = mkdtempSync(join(tmpdir(), "fixedram-build-"));
symlinkSync(resolve(folder), join(stage, "dist"));
copyFileSync("package.json", join(stage, "package.json"));
const rehearsal = resolve("script/lib/rehearsal.cjs");
const [stream, snapshot] = [join(stage, "stream"), join(stage, "snapshot.fram")];
execFileSync(process.execPath, [rehearsal, "stream", stream]);
/** A lazy resume is played through, for a guest waits for it; of the others what is called on the way to the work: their file is not there. */
const commandLines = [
  ["convert", stream, snapshot],
  ["resume", snapshot, "--lazy", "--prefetch", "none", "--json", "--", process.execPath, rehearsal],
  ["resume", "/nonexistent/file", "--lazy", "--json", "--", "qemu"],
  ["resume", "/nonexistent/file", "--", "qemu"],
  ["clone", "/nonexistent/file", "--count", "2", "--", "qemu"],
  ["save", "/nonexistent/file", "--qmp", "/nonexistent/socket"],
  ...["info", "verify", "convert", "diff", "search"].map((name) => [name, "/nonexistent/file", "/nonexistent/other"]),
];
/** For the rehearsal the page server is one that looks at itself. */
const serverProgram = resolve(folder, "operations/lazy/server.program.cjs");
const asServer = `process.argv.splice(2, 0, ${JSON.stringify(serverProgram)}); require(${JSON.stringify(cacheScript)});\n`;
writeFileSync(`${folder}/operations/lazy/server.cjs`, asServer);
const lines = commandLines.map((line) => JSON.stringify(line));
execFileSync(process.execPath, [cacheScript, join(stage, "dist/cli/main.program.cjs"), ...lines], { stdio: "ignore" });
if (!existsSync(`${serverProgram}.cache`))
  throw new Error("the rehearsal of a lazy resume did not get to its page server");
rmSync(stage, { recursive: true });
for (const name of cached) {
  const start = `${"../".repeat(name.split("/").length - 1)}start.cjs`;
  const file = `${basename(name)}.program.cjs`;
  writeFileSync(`${folder}/${name}.cjs`, `module.exports = require("${start}").load(\`\${__dirname}/${file}\`);\n`);
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
