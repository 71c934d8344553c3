import { statSync } from "node:fs";
import { FixedramError } from "../errors.ts";
import type { FileIdentity } from "./file-store.ts";

/**
 * Refuses to write over a file that is read. The old one would stay readable while it is replaced, but nobody who says this means
 * it. Hard and symbolic links to a file are that file.
 *
 * @param input its path, or what its open file told
 * @throws FixedramError `usage.same-file`
 */
export function refuseSame(input: string | Pick<FileIdentity, "dev" | "ino">, output: string): void {
  const [one, other] = [typeof input === "string" ? identityOf(input) : input, identityOf(output)];
  if (one === null || other === null || one.ino !== other.ino || one.dev !== other.dev) return;
  throw new FixedramError("usage.same-file", "input and output are the same file", {
    path: output,
    hint: "Write to a new name.",
  });
}

/** Null where nothing is, or nothing that could be looked at: what opens or makes the file says why. */
function identityOf(path: string): Pick<FileIdentity, "dev" | "ino"> | null {
  try {
    const { dev, ino } = statSync(path, { bigint: true });
    return { dev: String(dev), ino: String(ino) };
  } catch {
    return null;
  }
}
