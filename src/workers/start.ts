import { createRequire } from "node:module";
import { pathToFileURL } from "node:url";
import { Worker, type WorkerOptions } from "node:worker_threads";

/**
 * Starts a thread of ours. Node 20 takes no `--import` for a single thread, so one that begins in TypeScript, because nothing
 * is built, first registers the loader.
 *
 * @param file from `entryFile`
 */
export function startWorker(file: string, options: Omit<WorkerOptions, "eval"> = {}): Worker {
  if (!file.endsWith(".ts")) return new Worker(file, { ...options, execArgv: options.execArgv ?? [] });
  // The package's ES module: its CommonJS one looks for files that are not there.
  const loader = new URL("index.mjs", pathToFileURL(createRequire(import.meta.url).resolve("tsx/esm/api"))).href;
  const script = `import(${JSON.stringify(loader)}).then(({ register }) => {
    register();
    return import(${JSON.stringify(pathToFileURL(file).href)});
  });`;
  return new Worker(script, { ...options, execArgv: options.execArgv ?? [], eval: true });
}
