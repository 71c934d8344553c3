/** A folder for each test of a file, in memory where that can be. */
import { existsSync, mkdtempSync, readdirSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach } from "vitest";

export interface TestFolder {
  /** The path of a file in it. */
  readonly at: (name: string) => string;
  /** What is in it, in order. */
  readonly names: () => string[];
}

/** To be called where the tests are described. @param name is part of the folder's */
export function eachFolder(name: string): TestFolder {
  let folder = "";
  beforeEach(() => {
    folder = mkdtempSync(join(existsSync("/dev/shm") ? "/dev/shm" : tmpdir(), `fixedram-${name}-`));
  });
  afterEach(() => rmSync(folder, { recursive: true, force: true }));
  return { at: (file) => join(folder, file), names: () => readdirSync(folder).sort() };
}
