import { constants } from "node:fs";
import { basename, dirname, join, resolve } from "node:path";
import { FixedramError, systemError } from "../errors.ts";
import { kindOfFile } from "./file-store.ts";
import { type FileSystemCalls, nodeCalls } from "./system-calls.ts";

/** What was found out about a place to save to, before a guest is touched. */
export interface TargetPlace {
  /** As the user named it. */
  readonly asked: string;
  /** The file that will be made or replaced: `asked`, absolute, or what a symbolic link there leads to. */
  readonly path: string;
  readonly folder: string;
  /** The older file there, null when there is none. */
  readonly existing: { readonly size: number; readonly mtime: Date } | null;
  /** Bytes free for us on that filesystem; null when the system does not say. */
  readonly free: number | null;
  /** Half-made files of earlier saves to the same path whose process is gone. */
  readonly leftovers: readonly Leftover[];
}

export interface Leftover {
  readonly path: string;
  readonly pid: number;
  /** Bytes; null when it cannot be told. */
  readonly size: number | null;
}

/**
 * Looks at a path that a snapshot shall be saved to; changes nothing.
 *
 * @throws `usage.target-is-folder`, `usage.target-is-pipe`, `usage.target-is-socket`, `usage.target-is-device`,
 *   `usage.target-dangling-link`, `usage.target-no-folder`, `usage.target-no-name`, `system.folder-not-writable`
 */
export function inspectTarget(asked: string, calls: FileSystemCalls = nodeCalls): TargetPlace {
  if (asked === "" || asked.endsWith("/") || asked.includes("\0")) {
    throw new FixedramError("usage.target-no-name", "the target names no file", {
      path: asked,
      hint: "Give a file name, such as guest.fram.",
    });
  }
  const path = followLink(resolve(asked), calls);
  const folder = dirname(path);
  requireFolder(folder, asked, calls);
  const existing = existingFile(path, asked, calls);
  try {
    calls.accessSync(folder, constants.W_OK | constants.X_OK);
  } catch (error) {
    throw new FixedramError(
      "system.folder-not-writable",
      "the target's folder cannot be written to",
      {
        path: folder,
        said: String((error as Error).message),
        hint: "Choose another folder, or change its permissions.",
      },
      { cause: error },
    );
  }
  return { asked, path, folder, existing, free: freeBytes(folder, calls), leftovers: findLeftovers(path, calls) };
}

/** A link to a file is kept: the file it leads to is what gets replaced. */
function followLink(path: string, calls: FileSystemCalls): string {
  try {
    if (!calls.lstatSync(path).isSymbolicLink()) return path;
  } catch {
    return path;
  }
  try {
    return calls.realpathSync(path);
  } catch (error) {
    throw new FixedramError(
      "usage.target-dangling-link",
      "the target is a symbolic link that leads nowhere",
      { path, said: String((error as Error).message), hint: "Remove the link, or make what it leads to." },
      { cause: error },
    );
  }
}

function requireFolder(folder: string, asked: string, calls: FileSystemCalls): void {
  let missing = false;
  try {
    if (calls.statSync(folder).isDirectory()) return;
  } catch (error) {
    const code = (error as NodeJS.ErrnoException).code;
    if (code !== "ENOENT" && code !== "ENOTDIR") throw systemError(error, folder, "looking at the target's folder");
    missing = code === "ENOENT";
  }
  const what = missing ? "the target's folder does not exist" : "the target's folder is a file";
  throw new FixedramError("usage.target-no-folder", what, {
    path: asked,
    expected: `a folder at ${folder}`,
    hint: missing ? "Make the folder first." : "Choose another name.",
  });
}

function existingFile(path: string, asked: string, calls: FileSystemCalls): TargetPlace["existing"] {
  let stat: ReturnType<FileSystemCalls["statSync"]>;
  try {
    stat = calls.lstatSync(path);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === "ENOENT") return null;
    throw systemError(error, asked, "looking at the target");
  }
  const kind = kindOfFile(stat);
  if (kind === null) return { size: stat.size, mtime: stat.mtime };
  const word = kind.endsWith("device") || kind === "special file" ? "device" : kind;
  throw new FixedramError(
    `usage.target-is-${word}`,
    `the target is a ${kind}; pages need a regular file to be put at their place`,
    {
      path: asked,
      expected: "a regular file, or a new name",
      found: `a ${kind}`,
      hint: "Save to a regular file.",
    },
  );
}

function freeBytes(folder: string, calls: FileSystemCalls): number | null {
  try {
    const { bavail, bsize } = calls.statfsSync(folder);
    return bavail * bsize;
  } catch {
    return null;
  }
}

/** The name a save of process `pid` uses until the file is complete. The target's name is cut where 255 bytes would not do. */
export function partialPath(path: string, pid: number, random: string): string {
  return join(dirname(path), `${partialStem(path)}${pid}-${random}.partial`);
}

function partialStem(path: string): string {
  let name = basename(path);
  while (new TextEncoder().encode(name).length > 200) name = [...name].slice(0, -1).join("");
  return `.${name}.fixedram-`;
}

/** Half-made files of saves to the same path whose process has ended. Reported, never removed. */
export function findLeftovers(path: string, calls: FileSystemCalls = nodeCalls): Leftover[] {
  const folder = dirname(path);
  const stem = partialStem(path);
  const found: Leftover[] = [];
  let names: string[];
  try {
    names = calls.readdirSync(folder);
  } catch {
    return found;
  }
  for (const name of names.sort()) {
    const match = name.startsWith(stem) ? /^([1-9][0-9]{0,9})-[0-9a-f]+\.partial$/.exec(name.slice(stem.length)) : null;
    if (match === null) continue;
    const pid = Number(match[1]);
    if (isAlive(pid)) continue;
    found.push({ path: join(folder, name), pid, size: sizeOf(join(folder, name), calls) });
  }
  return found;
}

function isAlive(pid: number): boolean {
  try {
    process.kill(pid, 0);
    return true;
  } catch (error) {
    return (error as NodeJS.ErrnoException).code === "EPERM";
  }
}

function sizeOf(path: string, calls: FileSystemCalls): number | null {
  try {
    return calls.lstatSync(path).size;
  } catch {
    return null;
  }
}
