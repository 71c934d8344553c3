import { randomBytes } from "node:crypto";
import { chownSync, lstatSync, mkdirSync, rmSync, statSync } from "node:fs";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import { FixedramError, systemError } from "../errors.ts";

/** Longest path of a unix socket, bytes, without the closing NUL (sockaddr_un). */
const SOCKET_PATH_LIMIT = 107;
const PREFIX = "fixedram-";

/** A folder of ours for sockets, mode 0700, owned by us or by the one user who has to reach it. */
export interface PrivateFolder {
  readonly path: string;
  /** Path of a socket in it. */
  socket(name: string): string;
  remove(): void;
}

/**
 * Makes a new private folder.
 *
 * @param parent where; default the runtime folder of this user, else the temporary folder
 * @param announce hears the path before there is anything at it
 * @param owner the user who must be able to connect (QEMU's), when it is not ourselves; only root can give a folder away
 * @throws FixedramError `usage.socket-dir` (too long a path, not a folder), `system.permission`, `system.not-found`, `system.io`
 */
export function makePrivateFolder(
  parent?: string,
  owner?: { readonly uid: number; readonly gid: number },
  announce: (path: string) => void = () => {},
): PrivateFolder {
  // QEMU is told the path, and it has another working folder.
  const base = resolve(parent ?? defaultParent());
  if (Buffer.byteLength(join(base, `${PREFIX}XXXXXX`, "migration.sock")) > SOCKET_PATH_LIMIT) {
    throw new FixedramError("usage.socket-dir", "the path of the socket folder is too long for a unix socket", {
      path: base,
      expected: `at most ${SOCKET_PATH_LIMIT} bytes together with the socket's own name`,
      found: `${Buffer.byteLength(base)} bytes`,
      hint: "Name a shorter one with --socket-dir.",
    });
  }
  const made = join(base, `${PREFIX}${randomBytes(6).toString("base64url").slice(0, 6)}`);
  announce(made);
  let path: string | null = null;
  try {
    mkdirSync(made, { mode: 0o700 });
    path = made;
    if (owner !== undefined && owner.uid !== process.getuid?.()) chownSync(path, owner.uid, owner.gid);
  } catch (error) {
    if (path !== null) rmSync(path, { recursive: true, force: true });
    throw systemError(error, base, "making a private folder for sockets", "Name another place with --socket-dir.");
  }
  return {
    path: made,
    socket: (name) => join(made, name),
    remove: () => rmSync(made, { recursive: true, force: true }),
  };
}

/** XDG_RUNTIME_DIR when it is ours, else the system's temporary folder. */
export function defaultParent(): string {
  const runtime = process.env["XDG_RUNTIME_DIR"];
  if (runtime !== undefined && runtime !== "") {
    try {
      if (statSync(runtime).uid === process.getuid?.()) return runtime;
    } catch {
      // Not there: the temporary folder serves as well.
    }
  }
  return tmpdir();
}

/**
 * The one folder, kept between runs, in which saves under way leave their notes (operations/save/journal.ts): 0700 and ours,
 * or refused, because anybody may have made it first in a shared temporary folder.
 */
export function stateFolder(): string {
  const path = join(defaultParent(), `${PREFIX}state-${process.getuid?.() ?? 0}`);
  try {
    mkdirSync(path, { mode: 0o700 });
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== "EEXIST") throw systemError(error, path, "making the state folder");
  }
  const stat = lstatSync(path);
  if (!stat.isDirectory() || stat.uid !== process.getuid?.() || stat.mode % 0o100 !== 0) {
    throw new FixedramError("system.state-folder", "the folder for notes of saves under way is not ours alone", {
      path,
      expected: "a folder of this user with mode 0700",
      found: `${stat.isDirectory() ? "a folder" : "something else"}, uid ${stat.uid}, mode ${(stat.mode % 0o1000).toString(8)}`,
      hint: "Remove it, or set XDG_RUNTIME_DIR to a folder of your own.",
    });
  }
  return path;
}
