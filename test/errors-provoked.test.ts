import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { expect, test } from "vitest";

/** Every documented error code appears in a test: whoever adds one shows how it comes about. */
test("every error code has a test that provokes it", () => {
  const root = join(import.meta.dirname, "..");
  const codes = readdirSync(join(root, "docs/errors")).flatMap((name) =>
    [...readFileSync(join(root, "docs/errors", name), "utf8").matchAll(/^- `([a-z]+\.[a-z0-9-]+)`/gm)].map(
      (m) => m[1] ?? "",
    ),
  );
  const tests = readdirSync(join(root, "test"), { recursive: true, encoding: "utf8" })
    .filter(
      (name) => name.endsWith(".ts") && !name.endsWith("errors-provoked.test.ts") && !name.endsWith("docs.test.ts"),
    )
    // Regular expressions have their dots escaped.
    .map((name) => readFileSync(join(root, "test", name), "utf8").replaceAll("\\.", "."))
    .join("\n");
  const mentioned = new Set(tests.match(/\b[a-z]+\.[a-z0-9]+(?:-[a-z0-9]+)*\b/g) ?? []);
  expect(codes.length).toBeGreaterThan(100);
  expect([...new Set(codes)].filter((code) => !mentioned.has(code)).sort()).toEqual([]);
});
