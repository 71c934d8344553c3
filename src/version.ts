import { readFileSync } from "node:fs";

/** This program's version, from package.json, which lies one folder up both for src/ and for dist/. */
export const toolVersion: string = String(
  (JSON.parse(readFileSync(new URL("../package.json", import.meta.url), "utf8")) as { version?: unknown }).version ??
    "0",
);
