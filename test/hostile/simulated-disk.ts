/**
 * A filesystem in memory that knows what is on disk and what only the system knows of yet. After a power loss any of the writes since
 * the last fsync may be there or not, in part too, in sectors of 512 bytes; names follow in order, up to any of them.
 */
import { type BigIntStats, constants, type Stats } from "node:fs";
import { type FileSystemCalls, nodeCalls } from "../../src/storage/system-calls.ts";
import type { Random } from "./fuzz/engine.ts";

const sector = 512;

type Change = { readonly position: number; readonly bytes: Uint8Array } | { readonly size: number };

class Inode {
  bytes = new Uint8Array(0);
  durable = new Uint8Array(0);
  pending: Change[] = [];

  apply(change: Change, to: Uint8Array<ArrayBuffer>): Uint8Array<ArrayBuffer> {
    if ("size" in change) return resized(to, change.size);
    const larger = resized(to, Math.max(to.length, change.position + change.bytes.length));
    larger.set(change.bytes, change.position);
    return larger;
  }

  change(change: Change): void {
    this.bytes = this.apply(change, this.bytes);
    this.pending.push(change);
  }

  sync(): void {
    this.durable = this.bytes.slice();
    this.pending = [];
  }
}

function resized(bytes: Uint8Array<ArrayBuffer>, size: number): Uint8Array<ArrayBuffer> {
  if (size === bytes.length) return bytes;
  const out = new Uint8Array(size);
  out.set(bytes.subarray(0, size));
  return out;
}

/** What may be found after a power loss: the files by their names. */
export type Found = ReadonlyMap<string, Uint8Array>;

export class SimulatedDisk {
  readonly folder = "/disk";
  /** Calls that change something, so far. */
  steps = 0;
  /** The step that fails; and how: an errno, or `short`: a write that takes one byte. */
  failAt = -1;
  failWith = "EIO";
  /** Told before each step. */
  beforeStep: (name: string) => void = () => {};
  #names = new Map<string, Inode>();
  /** The names on disk, and what changed them since, in order. */
  #durableNames = new Map<string, Inode>();
  #history: Map<string, Inode>[] = [];
  /** Folders that were made; names of files are whole paths. */
  readonly #folders = new Set([this.folder]);
  readonly #open = new Map<number, Inode | "folder">();
  #nextFd = 100;

  /** A file that is on disk already. */
  put(path: string, bytes: Uint8Array): void {
    const inode = new Inode();
    inode.bytes = Uint8Array.from(bytes);
    inode.sync();
    this.#names.set(path, inode);
    this.#durableNames = new Map(this.#names);
    this.#history = [];
  }

  get(path: string): Uint8Array | null {
    return this.#names.get(path)?.bytes ?? null;
  }

  names(): string[] {
    return [...this.#names.keys()].sort();
  }

  /** @param how `none` of what is not synced is there, `all` of it, or `some`, as the numbers fall */
  afterPowerLoss(how: "none" | "all" | "some", random: Random): Found {
    const states = [this.#durableNames, ...this.#history];
    const names = how === "none" ? states[0] : how === "all" ? states.at(-1) : states[random.below(states.length)];
    const found = new Map<string, Uint8Array>();
    for (const [path, inode] of names ?? []) {
      let bytes = inode.durable.slice();
      for (const change of inode.pending) {
        const chosen = how === "all" || (how === "some" && random.below(2) === 0);
        if (chosen) bytes = inode.apply(how === "some" ? torn(change, random) : change, bytes);
      }
      found.set(path, bytes);
    }
    return found;
  }

  #step(name: string): boolean {
    this.beforeStep(name);
    const failing = this.steps++ === this.failAt;
    if (failing && (this.failWith !== "short" || !name.startsWith("write"))) {
      if (this.failWith !== "short")
        throw Object.assign(new Error(`${this.failWith}: ${name}`), { code: this.failWith });
      return false;
    }
    return failing;
  }

  #inode(fd: number): Inode {
    const inode = this.#open.get(fd);
    if (inode === undefined || inode === "folder") throw Object.assign(new Error(`EBADF: ${fd}`), { code: "EBADF" });
    return inode;
  }

  #renamed(): void {
    this.#history.push(new Map(this.#names));
  }

  #write(fd: number, bytes: Uint8Array, position: number): number {
    const short = this.#step("write");
    const part = short ? bytes.subarray(0, 1) : bytes;
    this.#inode(fd).change({ position, bytes: part.slice() });
    return part.length;
  }

  #read(fd: number, target: Uint8Array, position: number): number {
    const part = this.#inode(fd).bytes.subarray(position, position + target.length);
    target.set(part);
    return part.length;
  }

  readonly calls: FileSystemCalls = {
    ...nodeCalls,
    openSync: (path, flags) => {
      const fd = this.#nextFd++;
      if (this.#folders.has(path)) {
        this.#open.set(fd, "folder");
        return fd;
      }
      let inode = this.#names.get(path);
      if ((flags & constants.O_CREAT) !== 0) {
        this.#step("open");
        if (inode !== undefined) throw Object.assign(new Error("EEXIST"), { code: "EEXIST" });
        inode = new Inode();
        this.#names.set(path, inode);
        this.#renamed();
      }
      if (inode === undefined) throw Object.assign(new Error(`ENOENT: ${path}`), { code: "ENOENT" });
      this.#open.set(fd, inode);
      return fd;
    },
    closeSync: (fd) => void this.#open.delete(fd),
    close: async (fd) => void this.#open.delete(fd),
    readSync: (fd, target, offset, length, position) =>
      this.#read(fd, target.subarray(offset, offset + length), position),
    read: async (fd, target, offset, length, position) =>
      this.#read(fd, target.subarray(offset, offset + length), position),
    writeSync: (fd, bytes, offset, length, position) =>
      this.#write(fd, bytes.subarray(offset, offset + length), position),
    writevSync: (fd, views, position) => this.#write(fd, Buffer.concat(views), position),
    ftruncateSync: (fd, size) => {
      this.#step("truncate");
      this.#inode(fd).change({ size });
    },
    fstatSync: (fd) => {
      const { length } = this.#inode(fd).bytes;
      return {
        size: BigInt(length),
        blocks: BigInt(length) / 512n,
        mtimeMs: 0n,
        isFile: () => true,
      } as unknown as BigIntStats;
    },
    statSync: (path) => this.#stat(path),
    lstatSync: (path) => this.#stat(path),
    realpathSync: (path) => path,
    accessSync: () => undefined,
    statfsSync: () => ({ bavail: 2 ** 30, bsize: 4096 }),
    readdirSync: (folder) => {
      const all = [...this.names(), ...this.#folders].filter((path) => path.startsWith(`${folder}/`));
      if (!this.#folders.has(folder)) throw Object.assign(new Error(`ENOENT: ${folder}`), { code: "ENOENT" });
      return all.map((path) => path.slice(folder.length + 1)).filter((name) => !name.includes("/"));
    },
    mkdirSync: (path) => {
      this.#step("mkdir");
      this.#folders.add(path);
    },
    removeFolderSync: (path) => {
      this.#folders.delete(path);
      for (const name of this.names()) if (name.startsWith(`${path}/`)) this.#names.delete(name);
      this.#renamed();
    },
    renameSync: (from, to) => {
      this.#step("rename");
      if (this.#folders.delete(from)) {
        this.#folders.add(to);
        for (const [name, inode] of [...this.#names]) {
          if (!name.startsWith(`${from}/`)) continue;
          this.#names.delete(name);
          this.#names.set(`${to}${name.slice(from.length)}`, inode);
        }
        this.#renamed();
        return;
      }
      const inode = this.#names.get(from);
      if (inode === undefined) throw Object.assign(new Error(`ENOENT: ${from}`), { code: "ENOENT" });
      this.#names.delete(from);
      this.#names.set(to, inode);
      this.#renamed();
    },
    unlinkSync: (path) => {
      this.#step("unlink");
      this.#names.delete(path);
      this.#renamed();
    },
    fsync: async (fd) => {
      this.#step("fsync");
      const inode = this.#open.get(fd);
      if (inode !== "folder") return this.#inode(fd).sync();
      this.#durableNames = new Map(this.#names);
      this.#history = [];
    },
    fdatasync: async (fd) => {
      this.#step("fdatasync");
      this.#inode(fd).sync();
    },
  };

  #stat(path: string): Stats {
    const inode = this.#names.get(path);
    if (inode === undefined && !this.#folders.has(path))
      throw Object.assign(new Error(`ENOENT: ${path}`), { code: "ENOENT" });
    const no = () => false;
    return {
      size: inode?.bytes.length ?? 0,
      mtime: new Date(0),
      isFile: () => inode !== undefined,
      isDirectory: () => inode === undefined,
      isSymbolicLink: no,
      isFIFO: no,
      isSocket: no,
      isCharacterDevice: no,
      isBlockDevice: no,
    } as unknown as Stats;
  }
}

/** Some sectors of a write, or all of it. */
function torn(change: Change, random: Random): Change {
  if ("size" in change || random.below(2) === 0) return change;
  const { position, bytes } = change;
  const first = Math.ceil(position / sector) * sector - position;
  const sectors = Math.max(0, Math.floor((bytes.length - first) / sector));
  const kept = first + sector * random.below(sectors + 1);
  // A write in one sector is there or not.
  return kept <= 0 || kept >= bytes.length ? change : { position, bytes: bytes.subarray(0, kept) };
}
