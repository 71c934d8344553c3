/** Where this program lies: its version, and the files that processes and threads of its own start from. */
import { existsSync, readFileSync } from "node:fs";
import { createRequire } from "node:module";
import { fileURLToPath, pathToFileURL } from "node:url";

/** Not yet built: TypeScript, run through a loader. */
const fromSource = import.meta.url.endsWith(".ts");

const root = packageRoot();

/** This program's version, from package.json. */
export const toolVersion: string = String(
  (JSON.parse(readFileSync(new URL("package.json", root), "utf8")) as { version?: unknown }).version ?? "0",
);

/**
 * The file that a process or thread of ours starts from, built or not.
 *
 * @param name as in script/build.mjs, without an ending: `workers/entry`
 */
export function entryFile(name: string): string {
  return fileURLToPath(new URL(fromSource ? `src/${name}.ts` : `dist/${name}.cjs`, root));
}

/** A part of the viewer's page, which is built even where we run from source. @param name `app.js` */
export function assetFile(name: string): string {
  return fileURLToPath(new URL(`dist/viewer/${name}`, root));
}

/** What the program `node` needs to run an {@link entryFile}: nothing once built, the loader for TypeScript before. */
export function entryArguments(): readonly string[] {
  if (!fromSource) return [];
  return ["--import", pathToFileURL(createRequire(import.meta.url).resolve("tsx")).href];
}

/** The folder with package.json: one up from src/, one to three up from what is built, one more while it is being built. */
function packageRoot(): URL {
  for (const above of ["../", "../../", "../../../", "../../../../"]) {
    const folder = new URL(above, import.meta.url);
    if (existsSync(new URL("package.json", folder))) return folder;
  }
  throw new Error("fixedram's package.json is missing");
}
