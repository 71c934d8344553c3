import { readFileSync } from "node:fs";
import { join } from "node:path";
import { gzipSync } from "node:zlib";
import { expect, test } from "vitest";

/** What script/setup has built. */
const folder = join(import.meta.dirname, "../../dist/viewer");

test("the page is below 300 KB compressed, and brings all that it needs", () => {
  const parts = ["index.html", "app.js", "app.css", "icon.svg"].map((name) => readFileSync(join(folder, name)));
  const bytes = parts.reduce((sum, part) => sum + gzipSync(part).length, 0);
  expect(bytes).toBeLessThan(300_000);
  // Of its own it should stay far below.
  expect(bytes).toBeLessThan(100_000);
  const [, script = "", style = ""] = parts.map(String);
  expect(script.match(/\bimport\s*\(|\bfrom\s*"/g) ?? []).toEqual([]);
  expect(style).not.toMatch(/@import|url\(/);
});
