// Exit 0 when node_modules holds what package-lock.json asks for, by npm's own record of what it installed.
import { readFileSync } from "node:fs";
import { join } from "node:path";

const root = process.argv[2] ?? ".";
const packages = (path) => JSON.parse(readFileSync(join(root, path), "utf8")).packages;
try {
  const installed = packages("node_modules/.package-lock.json");
  const stale = Object.entries(packages("package-lock.json")).filter(
    ([path, wanted]) => path !== "" && !wanted.optional && installed[path]?.version !== wanted.version,
  );
  process.exitCode = stale.length === 0 ? 0 : 1;
} catch {
  process.exitCode = 1;
}
