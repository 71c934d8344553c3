import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { expect, test } from "vitest";

const root = join(import.meta.dirname, "../..");
const textsIn = (folder: string) =>
  readdirSync(join(root, folder)).map((file) => readFileSync(join(root, folder, file), "utf8"));
const codesIn = (texts: readonly string[], pattern: RegExp) =>
  new Set(texts.flatMap((text) => [...text.matchAll(pattern)].map((match) => match[1] ?? "")));

const used = codesIn(textsIn("src/libvirt"), /"((?:file|usage|stream|system)\.[a-z-]+)"/g);

test("every error code of src/libvirt is documented, and every one documented there is used", () => {
  const documented = codesIn(textsIn("docs/errors"), /^- `([^`]+)`: \S.*; \S.*\.$/gm);
  expect([...used].filter((code) => !documented.has(code))).toEqual([]);
  const own = codesIn([readFileSync(join(root, "docs/errors/libvirt.md"), "utf8")], /^- `([^`]+)`/gm);
  expect([...own].filter((code) => !used.has(code))).toEqual([]);
  expect(own.size).toBeGreaterThan(10);
});

test("and provoked by a test", () => {
  const tests = textsIn("test/libvirt").join("\n");
  expect([...used].filter((code) => !tests.includes(`"${code}"`))).toEqual([]);
});
