/** Sockets as /proc shows them: from an address to inodes, from inodes to processes. */
import { spawnSync } from "node:child_process";
import { readdirSync, readFileSync, readlinkSync, realpathSync, statSync } from "node:fs";
import { basename, isAbsolute, join } from "node:path";
import type { QmpAddress } from "../qmp/address.ts";

type State = "listening" | "connected";

/** A line of /proc/net/unix that has a path. */
interface UnixSocket {
  readonly inode: string;
  readonly path: string;
  readonly state: State;
}

/** Inodes of the server's sockets at an address, as decimal text. */
export function socketInodes(address: QmpAddress, state: State): ReadonlySet<string> {
  return new Set(address.kind === "unix" ? unixInodes(address.path, state) : tcpInodes(address, state));
}

/** Processes with an open descriptor of one of these sockets, by pid. Other users' are seen only by root. */
export function pidsHolding(inodes: ReadonlySet<string>): number[] {
  if (inodes.size === 0) return [];
  return processIds().filter((pid) => {
    try {
      return readdirSync(`/proc/${pid}/fd`).some((fd) => {
        const inode = /^socket:\[([0-9]+)\]$/.exec(linkOrNull(`/proc/${pid}/fd/${fd}`) ?? "")?.[1];
        return inode !== undefined && inodes.has(inode);
      });
    } catch {
      return false;
    }
  });
}

/**
 * Names the client that a QMP server is busy with, or null. /proc does not pair unix sockets; `ss` (iproute2) asks the
 * kernel, so this works where it is installed.
 */
export function whoHolds(address: QmpAddress): string | null {
  const served = socketInodes(address, "connected");
  if (served.size === 0) return null;
  if (address.kind === "tcp") return null;
  const { stdout } = spawnSync("ss", ["-x", "-n", "-H"], {
    encoding: "utf8",
    timeout: 2000,
    maxBuffer: 16 * 1024 * 1024,
  });
  const peers = new Set<string>();
  for (const line of (stdout ?? "").split("\n")) {
    // ... LOCAL-PATH LOCAL-INODE PEER-PATH PEER-INODE
    const [, local, peer] = /\s([0-9]+)\s+\S+\s+([0-9]+)\s*$/.exec(line) ?? [];
    if (local !== undefined && peer !== undefined && served.has(local)) peers.add(peer);
  }
  const names = pidsHolding(peers).map((pid) => {
    const name = textOrEmpty(`/proc/${pid}/comm`).trimEnd();
    return pid === process.pid ? "this very process" : `${name.replace(/[^\x20-\x7e]/g, "?")} (pid ${pid})`;
  });
  return names.length === 0 ? null : names.join(", ");
}

function unixInodes(path: string, state: State): string[] {
  const ours = parseProcNetUnix(textOrEmpty("/proc/net/unix"));
  const here = matching(ours, path, state);
  if (here.length > 0) return here;
  // A QEMU in another network namespace is in another table.
  const seen = new Set([linkOrNull("/proc/self/ns/net")]);
  for (const pid of processIds()) {
    const namespace = linkOrNull(`/proc/${pid}/ns/net`);
    if (namespace === null || seen.has(namespace)) continue;
    seen.add(namespace);
    const there = matching(parseProcNetUnix(textOrEmpty(`/proc/${pid}/net/unix`)), path, state);
    if (there.length > 0) return there;
  }
  return [];
}

/** Sockets bound to `path`. The table shows the path as it was given to bind: perhaps relative, perhaps in another root. */
function matching(table: readonly UnixSocket[], path: string, state: State): string[] {
  let resolved = path;
  try {
    resolved = realpathSync(path);
  } catch {
    // The path as given has to do.
  }
  const candidates = table.filter((socket) => socket.state === state);
  const exact = candidates.filter((socket) => socket.path === path || socket.path === resolved);
  if (exact.length > 0 && isAbsolute(path)) return exact.map((socket) => socket.inode);
  const file = identity(path);
  const alike = candidates.filter((socket) => basename(socket.path) === basename(resolved));
  return alike
    .filter((socket) => {
      const holders = pidsHolding(new Set([socket.inode]));
      return holders.some((pid) => {
        const root = `/proc/${pid}/root`;
        const full = isAbsolute(socket.path) ? join(root, socket.path) : join(`/proc/${pid}/cwd`, socket.path);
        return file !== null && identity(full) === file;
      });
    })
    .map((socket) => socket.inode);
}

/** Reads the text of /proc/net/unix; lines that a path with newlines broke are left out. */
export function parseProcNetUnix(text: string): UnixSocket[] {
  const sockets: UnixSocket[] = [];
  for (const line of text.split("\n")) {
    const match = /^[0-9a-f]+: [0-9A-F]{8} [0-9A-F]{8} ([0-9A-F]{8}) [0-9A-F]{4} ([0-9A-F]{2})\s+([0-9]+) (.+)$/.exec(
      line,
    );
    const [, flags, state, inode, path] = match ?? [];
    if (flags === undefined || inode === undefined || path === undefined || inode === "0") continue;
    // __SO_ACCEPTCON marks a listener; state 03 is SS_CONNECTED.
    if (flags === "00010000") sockets.push({ inode, path, state: "listening" });
    else if (state === "03") sockets.push({ inode, path, state: "connected" });
  }
  return sockets;
}

function tcpInodes(address: QmpAddress & { kind: "tcp" }, state: State): string[] {
  const tables = [textOrEmpty("/proc/net/tcp"), textOrEmpty("/proc/net/tcp6")];
  return tables.flatMap((table) => parseProcNetTcp(table, address.port, state));
}

/** Inodes in /proc/net/tcp or tcp6 with this local port, on loopback or on every address. */
export function parseProcNetTcp(text: string, port: number, state: State): string[] {
  const wanted = state === "listening" ? "0A" : "01";
  return text.split("\n").flatMap((line) => {
    const fields = line.trim().split(/\s+/);
    const [host, hex] = (fields[1] ?? "").split(":");
    if (host === undefined || hex === undefined || Number.parseInt(hex, 16) !== port || fields[3] !== wanted) return [];
    // Words of four bytes in the host's order: 127.x.y.z ends with 7F; any address and ::1 and mapped ones count too.
    const local = /^0+$/.test(host) || /7F$/.test(host) || /^0{24}01000000$/.test(host);
    const inode = fields[9];
    return local && inode !== undefined && inode !== "0" ? [inode] : [];
  });
}

/** Every process that /proc shows. */
export function processIds(): number[] {
  return readdirSync("/proc")
    .filter((name) => /^[0-9]+$/.test(name))
    .map(Number);
}

function identity(path: string): string | null {
  try {
    const { dev, ino } = statSync(path, { bigint: true });
    return `${dev}:${ino}`;
  } catch {
    return null;
  }
}

function linkOrNull(path: string): string | null {
  try {
    return readlinkSync(path);
  } catch {
    return null;
  }
}

function textOrEmpty(path: string): string {
  try {
    return readFileSync(path, "utf8");
  } catch {
    return "";
  }
}
