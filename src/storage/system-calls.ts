import * as fs from "node:fs";

/** The calls storage makes, so that a test can put a failing one in the place of any of them. Default: node:fs. */
export interface FileSystemCalls {
  openSync(path: string, flags: number, mode?: number): number;
  closeSync(fd: number): void;
  readSync(fd: number, target: Uint8Array, offset: number, length: number, position: number): number;
  readvSync(fd: number, targets: readonly Uint8Array[], position: number): number;
  writeSync(fd: number, bytes: Uint8Array, offset: number, length: number, position: number): number;
  writevSync(fd: number, views: readonly Uint8Array[], position: number): number;
  ftruncateSync(fd: number, length: number): void;
  fstatSync(fd: number, options: { bigint: true }): fs.BigIntStats;
  statSync(path: string): fs.Stats;
  lstatSync(path: string): fs.Stats;
  realpathSync(path: string): string;
  accessSync(path: string, mode: number): void;
  statfsSync(path: string): { bavail: number; bsize: number };
  readdirSync(path: string): string[];
  renameSync(from: string, to: string): void;
  unlinkSync(path: string): void;
  /** Gives a file to another user. */
  fchownSync(fd: number, uid: number, gid: number): void;
  mkdirSync(path: string, mode: number): void;
  /** Removes a folder and all in it; nothing when it is not there. */
  removeFolderSync(path: string): void;
  /** Waits for the disk without holding the thread. */
  fsync(fd: number): Promise<void>;
  /** The same for the bytes alone: enough for what is written on the way. */
  fdatasync(fd: number): Promise<void>;
  /** Closes without holding the thread. */
  close(fd: number): Promise<void>;
  /** Reads without holding the thread. */
  read(fd: number, target: Uint8Array, offset: number, length: number, position: number): Promise<number>;
  /** The same into several targets. */
  readv(fd: number, targets: readonly Uint8Array[], position: number): Promise<number>;
}

export const nodeCalls: FileSystemCalls = {
  openSync: (path, flags, mode) => fs.openSync(path, flags, mode),
  closeSync: (fd) => fs.closeSync(fd),
  readSync: (fd, target, offset, length, position) => fs.readSync(fd, target, offset, length, position),
  readvSync: (fd, targets, position) => fs.readvSync(fd, targets, position),
  writeSync: (fd, bytes, offset, length, position) => fs.writeSync(fd, bytes, offset, length, position),
  writevSync: (fd, views, position) => fs.writevSync(fd, views, position),
  ftruncateSync: (fd, length) => fs.ftruncateSync(fd, length),
  fstatSync: (fd, options) => fs.fstatSync(fd, options),
  statSync: (path) => fs.statSync(path),
  lstatSync: (path) => fs.lstatSync(path),
  realpathSync: (path) => fs.realpathSync(path),
  accessSync: (path, mode) => fs.accessSync(path, mode),
  statfsSync: (path) => fs.statfsSync(path),
  readdirSync: (path) => fs.readdirSync(path),
  renameSync: (from, to) => fs.renameSync(from, to),
  unlinkSync: (path) => fs.unlinkSync(path),
  fchownSync: (fd, uid, gid) => fs.fchownSync(fd, uid, gid),
  mkdirSync: (path, mode) => void fs.mkdirSync(path, { mode }),
  removeFolderSync: (path) => fs.rmSync(path, { recursive: true, force: true }),
  fsync: (fd) => new Promise((resolve, reject) => fs.fsync(fd, (error) => (error ? reject(error) : resolve()))),
  fdatasync: (fd) => new Promise((resolve, reject) => fs.fdatasync(fd, (error) => (error ? reject(error) : resolve()))),
  close: (fd) => new Promise((resolve, reject) => fs.close(fd, (error) => (error ? reject(error) : resolve()))),
  read: (fd, target, offset, length, position) =>
    new Promise((resolve, reject) =>
      fs.read(fd, target, offset, length, position, (error, count) => (error ? reject(error) : resolve(count))),
    ),
  readv: (fd, targets, position) =>
    new Promise((resolve, reject) =>
      fs.readv(fd, targets, position, (error, count) => (error ? reject(error) : resolve(count))),
    ),
};
