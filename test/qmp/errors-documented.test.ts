import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { expect, test } from "vitest";

const root = join(import.meta.dirname, "../..");

/** Their codes are documented with the save operation. */
const elsewhere = new Set(["migration-socket.ts", "private-folder.ts"]);

/** Codes in FixedramError's first argument, or in a table, of these sources. */
test.each([["src/qmp"], ["src/qemu"]])("every error code of %s is documented", (folder) => {
  const documented = readdirSync(join(root, "docs/errors")).flatMap((file) =>
    [...readFileSync(join(root, "docs/errors", file), "utf8").matchAll(/^- `([^`]+)`: \S.*; \S.*\.$/gm)].map(
      (m) => m[1],
    ),
  );
  const files = readdirSync(join(root, folder)).filter((file) => !elsewhere.has(file));
  const used = files.flatMap((file) =>
    [
      ...readFileSync(join(root, folder, file), "utf8").matchAll(/"((?:usage|qmp|qemu|system|interrupted)\.[a-z-]+)"/g),
    ].map((m) => m[1]),
  );
  const notErrors = new Set(["qmp.sock", "qemu.option-removed"]);
  const missing = [...new Set(used)].filter(
    (code) => code !== undefined && !notErrors.has(code) && !documented.includes(code),
  );
  expect(missing).toEqual([]);
  expect(used.length).toBeGreaterThan(5);
});
