import { execFileSync, spawnSync } from "node:child_process";
import * as fs from "node:fs";
import { createServer } from "node:net";
import { tmpdir } from "node:os";
import { basename, join } from "node:path";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { FixedramError } from "../../src/errors.ts";
import { FileStore } from "../../src/storage/file-store.ts";
import { type FileSystemCalls, nodeCalls } from "../../src/storage/system-calls.ts";
import { TargetFile } from "../../src/storage/target-file.ts";
import { findLeftovers, inspectTarget, partialPath } from "../../src/storage/target-path.ts";

let folder: string;
beforeEach(() => {
  folder = fs.mkdtempSync(join(tmpdir(), "fixedram-storage-"));
});
afterEach(() => fs.rmSync(folder, { recursive: true, force: true }));

const bytes = (text: string) => new TextEncoder().encode(text);
const errno = (code: string) => Object.assign(new Error(`${code}: made by the test`), { code });
const withCalls = (changed: Partial<FileSystemCalls>): FileSystemCalls => ({ ...nodeCalls, ...changed });

function codeOf(run: () => unknown): string {
  try {
    run();
  } catch (error) {
    if (error instanceof FixedramError) return error.code;
    throw error;
  }
  return "none";
}

async function codeOfPromise(promise: Promise<unknown>): Promise<string> {
  return promise.then(
    () => "none",
    (error: unknown) => {
      if (error instanceof FixedramError) return error.code;
      throw error;
    },
  );
}

describe("TargetFile", () => {
  it("carries a hidden name of mode 0600 until commit, then the final one", async () => {
    const out = join(folder, "guest.fram");
    const file = TargetFile.create(out);
    expect(basename(file.partial)).toMatch(
      new RegExp(`^\\.guest\\.fram\\.fixedram-${process.pid}-[0-9a-f]{12}\\.partial$`),
    );
    expect(fs.statSync(file.partial).mode & 0o777).toBe(0o600);
    file.write(bytes("world"), 6);
    file.writev([bytes("hel"), bytes("lo"), bytes(" ")], 0);
    const back = new Uint8Array(20);
    expect(file.readBack(back, 0)).toBe(11);
    expect(fs.existsSync(out)).toBe(false);
    await file.commit();
    await file.abort();
    expect(fs.readdirSync(folder)).toEqual(["guest.fram"]);
    expect(fs.readFileSync(out, "utf8")).toBe("hello world");
    expect(fs.statSync(out).mode & 0o777).toBe(0o600);
  });

  it("writes all of it when the system takes a few bytes at a time", async () => {
    const calls = withCalls({
      writeSync: (fd, data, offset, length, position) => fs.writeSync(fd, data, offset, Math.min(length, 3), position),
      writevSync: (fd, views, position) => {
        const all = Buffer.concat(views as Uint8Array[]);
        return fs.writeSync(fd, all, 0, Math.min(all.length, 4), position);
      },
      readSync: (fd, data, offset, length, position) => fs.readSync(fd, data, offset, Math.min(length, 2), position),
    });
    const file = TargetFile.create(join(folder, "a"), calls);
    file.writev([bytes("ab"), bytes(""), bytes("cdef"), bytes("ghijklmn")], 1);
    file.write(bytes("01234567"), 15);
    const back = new Uint8Array(23);
    expect(file.readBack(back, 0)).toBe(23);
    expect(new TextDecoder().decode(back)).toBe("\0abcdefghijklmn01234567");
    await file.abort();
    expect(fs.readdirSync(folder)).toEqual([]);
  });

  it("writes more views than the system takes at once", async () => {
    const file = TargetFile.create(join(folder, "a"));
    const views = Array.from({ length: 2500 }, (_, i) => Uint8Array.of(i % 256, i >> 8));
    file.writev(views, 100);
    const back = Buffer.alloc(5000);
    expect(file.readBack(back, 100)).toBe(5000);
    expect(back.equals(Buffer.concat(views))).toBe(true);
    await file.abort();
  });

  it("leaves holes and tells both sizes", async () => {
    const file = TargetFile.create(join(folder, "a"));
    file.write(bytes("x"), 64 * 2 ** 20);
    file.truncate(128 * 2 ** 20);
    expect(file.sizes().apparent).toBe(128 * 2 ** 20);
    expect(file.sizes().allocated).toBeLessThan(2 ** 20);
    await file.abort();
  });

  const failures: [string, Partial<FileSystemCalls>, string][] = [
    [
      "a full disk",
      {
        writeSync: () => {
          throw errno("ENOSPC");
        },
      },
      "system.disk-full",
    ],
    ["a write that goes nowhere", { writeSync: () => 0 }, "system.io"],
    ["a failing fsync", { fsync: () => Promise.reject(errno("EIO")) }, "system.io"],
    [
      "a failing rename",
      {
        renameSync: () => {
          throw errno("EACCES");
        },
      },
      "system.permission",
    ],
  ];
  for (const [name, changed, code] of failures) {
    it(`leaves the old file and no partial one after ${name}`, async () => {
      const out = join(folder, "guest.fram");
      fs.writeFileSync(out, "the old one");
      const file = TargetFile.create(out, withCalls(changed));
      const save = async () => {
        file.write(bytes("new"), 0);
        await file.commit();
      };
      expect(await codeOfPromise(save())).toBe(code);
      await file.abort();
      expect(fs.readFileSync(out, "utf8")).toBe("the old one");
      expect(fs.readdirSync(folder)).toEqual(["guest.fram"]);
    });
  }

  it("sets the disk to work every 128 MiB, one sync at a time", async () => {
    const waiting: (() => void)[] = [];
    const calls = withCalls({
      writeSync: (_fd, _data, _offset, length) => length,
      writevSync: (_fd, views) => views.reduce((sum, { length }) => sum + length, 0),
      fdatasync: () => new Promise((resolve) => waiting.push(resolve)),
    });
    const file = TargetFile.create(join(folder, "a"), calls);
    const piece = new Uint8Array(2 ** 20);
    const write = (mib: number) => {
      for (let i = 0; i < mib; i += 2) {
        file.write(piece, i * piece.length);
        file.writev([piece.subarray(0, 7), piece.subarray(7)], (i + 1) * piece.length);
      }
    };
    write(126);
    expect(waiting.length).toBe(0);
    write(2);
    expect(waiting.length).toBe(1);
    write(400);
    expect(waiting.length).toBe(1);
    waiting[0]?.();
    await new Promise((resolve) => setImmediate(resolve));
    write(2);
    expect(waiting.length).toBe(2);
    waiting[1]?.();
    await file.commit();
    expect(waiting.length).toBe(2);
  });

  it("closes only after a sync on the way, without waiting for it", async () => {
    let end = () => {};
    const closed: number[] = [];
    const calls = withCalls({
      writeSync: (_fd, _data, _offset, length) => length,
      fdatasync: () =>
        new Promise((resolve) => {
          end = resolve;
        }),
      closeSync: (fd) => {
        closed.push(fd);
        fs.closeSync(fd);
      },
    });
    const file = TargetFile.create(join(folder, "a"), calls);
    file.write(new Uint8Array(128 * 2 ** 20), 0);
    await file.abort();
    expect(fs.readdirSync(folder)).toEqual([]);
    expect(closed).toEqual([]);
    end();
    await new Promise((resolve) => setImmediate(resolve));
    expect(closed).toEqual([file.fd]);
  });

  it("fails the commit when a sync on the way failed", async () => {
    const out = join(folder, "guest.fram");
    fs.writeFileSync(out, "the old one");
    const calls = withCalls({
      writeSync: (_fd, _data, _offset, length) => length,
      fdatasync: () => Promise.reject(errno("EIO")),
    });
    for (const late of [true, false]) {
      const file = TargetFile.create(out, calls);
      file.write(new Uint8Array(128 * 2 ** 20), 0);
      if (late) await new Promise((resolve) => setImmediate(resolve));
      expect(await codeOfPromise(file.commit())).toBe("system.io");
      await file.abort();
      expect(fs.readFileSync(out, "utf8")).toBe("the old one");
    }
  });

  it("gives the older file's bytes back only after the rename", async () => {
    const out = join(folder, "guest.fram");
    fs.writeFileSync(out, "the old one");
    const order: string[] = [];
    const calls = withCalls({
      renameSync: (from, to) => {
        order.push("rename");
        fs.renameSync(from, to);
      },
      close: async (fd) => {
        order.push(`close ${fs.readFileSync(fd, "utf8")}`);
        fs.closeSync(fd);
      },
    });
    const file = TargetFile.create(out, calls);
    await file.commit();
    expect(order).toEqual(["rename", "close the old one"]);
  });

  it("reports a folder that cannot be synced, the file already in place", async () => {
    let syncs = 0;
    const calls = withCalls({ fsync: (fd) => (++syncs === 2 ? Promise.reject(errno("EIO")) : nodeCalls.fsync(fd)) });
    const file = TargetFile.create(join(folder, "a"), calls);
    expect(await codeOfPromise(file.commit())).toBe("system.io");
    await file.abort();
    expect(fs.readdirSync(folder)).toEqual(["a"]);
  });

  it("reports a really full filesystem", async ({ skip }) => {
    const mount = spawnSync("mount", ["-t", "tmpfs", "-o", "size=64k", "tmpfs", folder]);
    if (mount.status !== 0) skip("a tmpfs cannot be mounted here; that needs root");
    try {
      const file = TargetFile.create(join(folder, "a"));
      expect(codeOf(() => file.write(new Uint8Array(2 ** 20), 0))).toBe("system.disk-full");
      await file.abort();
      expect(fs.readdirSync(folder)).toEqual([]);
    } finally {
      execFileSync("umount", [folder]);
    }
  });

  it("replaces the file a link leads to, not the link", async () => {
    fs.mkdirSync(join(folder, "real"));
    fs.writeFileSync(join(folder, "real", "old.fram"), "old");
    fs.symlinkSync("real/old.fram", join(folder, "link.fram"));
    const file = TargetFile.create(join(folder, "link.fram"));
    file.write(bytes("new"), 0);
    await file.commit();
    expect(fs.readlinkSync(join(folder, "link.fram"))).toBe("real/old.fram");
    expect(fs.readFileSync(join(folder, "real", "old.fram"), "utf8")).toBe("new");
    expect(fs.readdirSync(join(folder, "real"))).toEqual(["old.fram"]);
  });
});

describe("inspectTarget", () => {
  it("refuses what pages cannot be put into, each with its own code", async () => {
    execFileSync("mkfifo", [join(folder, "pipe")]);
    fs.symlinkSync("nowhere", join(folder, "dangling"));
    fs.symlinkSync("pipe", join(folder, "to-pipe"));
    fs.writeFileSync(join(folder, "file"), "");
    const server = createServer();
    await new Promise<void>((resolve) => server.listen(join(folder, "socket"), resolve));
    const code = (path: string) => codeOf(() => inspectTarget(path));
    expect(code(folder)).toBe("usage.target-is-folder");
    expect(code(join(folder, "pipe"))).toBe("usage.target-is-pipe");
    expect(code(join(folder, "to-pipe"))).toBe("usage.target-is-pipe");
    expect(code(join(folder, "socket"))).toBe("usage.target-is-socket");
    expect(code("/dev/null")).toBe("usage.target-is-device");
    expect(code(join(folder, "dangling"))).toBe("usage.target-dangling-link");
    expect(code(join(folder, "none", "x"))).toBe("usage.target-no-folder");
    expect(code(join(folder, "file", "x"))).toBe("usage.target-no-folder");
    expect(code("")).toBe("usage.target-no-name");
    expect(code(`${folder}/x/`)).toBe("usage.target-no-name");
    const calls = withCalls({
      accessSync: () => {
        throw errno("EACCES");
      },
    });
    expect(codeOf(() => inspectTarget(join(folder, "x"), calls))).toBe("system.folder-not-writable");
    await new Promise((resolve) => server.close(resolve));
  });

  it("tells of an older file, the free space, and half-made files whose process is gone", () => {
    const out = join(folder, "guest.fram");
    fs.writeFileSync(out, "12345");
    const gone = spawnSync("true").pid;
    fs.writeFileSync(partialPath(out, gone, "0a"), "123");
    fs.writeFileSync(partialPath(out, process.pid, "0b"), "");
    fs.writeFileSync(partialPath(join(folder, "other.fram"), gone, "0c"), "");
    fs.writeFileSync(join(folder, ".guest.fram.fixedram-x-0d.partial"), "");
    const place = inspectTarget(out);
    expect(place.existing?.size).toBe(5);
    expect(place.free).toBeGreaterThan(0);
    expect(place.leftovers).toEqual([{ path: partialPath(out, gone, "0a"), pid: gone, size: 3 }]);
    expect(inspectTarget(join(folder, "new")).existing).toBeNull();
  });

  it("takes names as long as the system does", async () => {
    const out = join(folder, "ü".repeat(127));
    const file = TargetFile.create(out);
    await file.commit();
    expect(fs.existsSync(out)).toBe(true);
    expect(findLeftovers(out)).toEqual([]);
  });
});

describe("FileStore", () => {
  it("reads at any place, to the end and not past it", async () => {
    const path = join(folder, "a");
    fs.writeFileSync(path, "0123456789");
    const few = withCalls({
      readSync: (fd, data, offset, length, position) => fs.readSync(fd, data, offset, Math.min(length, 3), position),
      read: (fd, data, offset, length, position) => nodeCalls.read(fd, data, offset, Math.min(length, 3), position),
    });
    const store = FileStore.open(path, few);
    const target = new Uint8Array(8);
    expect(store.size).toBe(10);
    expect(store.readSync(target, 1)).toBe(8);
    expect(new TextDecoder().decode(target)).toBe("12345678");
    expect(await store.read(target, 5)).toBe(5);
    expect(await store.read(target, 10)).toBe(0);
    await expect(store.read(target, 0, AbortSignal.abort())).rejects.toThrow();
    expect(store.identity.ino).toBe(String(fs.statSync(path).ino));
    await store.close();
    await store.close();
  });

  it("reads into many targets at once, also when the system gives a few bytes at a time", async () => {
    const path = join(folder, "a");
    const content = Buffer.from(Array.from({ length: 6000 }, (_, i) => (i * 7) % 251));
    fs.writeFileSync(path, content);
    const few = withCalls({
      readvSync: (fd, targets, position) => {
        const some = Buffer.alloc(5);
        const count = fs.readSync(fd, some, 0, 5, position);
        let at = 0;
        for (const target of targets) {
          target.set(some.subarray(at, Math.min(at + target.length, count)));
          at = Math.min(at + target.length, count);
        }
        return count;
      },
    });
    for (const calls of [nodeCalls, few]) {
      const store = FileStore.open(path, calls);
      const targets = Array.from({ length: 2000 }, (_, i) => new Uint8Array(i % 5));
      expect(store.readvSync(targets, 100)).toBe(4000);
      expect(Buffer.concat(targets).equals(content.subarray(100, 4100))).toBe(true);
      expect(store.readvSync(targets, 5000)).toBe(1000);
      expect(Buffer.concat(targets).subarray(0, 1000).equals(content.subarray(5000))).toBe(true);
      expect(store.readvSync([], 0)).toBe(0);
      await store.close();
    }
  });

  it("refuses what is not a regular file, without waiting on a pipe", () => {
    execFileSync("mkfifo", [join(folder, "pipe")]);
    expect(codeOf(() => FileStore.open(folder))).toBe("file.not-regular");
    expect(codeOf(() => FileStore.open(join(folder, "pipe")))).toBe("file.not-regular");
    expect(codeOf(() => FileStore.open("/dev/zero"))).toBe("file.not-regular");
    expect(codeOf(() => FileStore.open(join(folder, "none")))).toBe("system.not-found");
  });

  it("refuses a file that became a pipe between the look and the opening", () => {
    execFileSync("mkfifo", [join(folder, "pipe")]);
    fs.writeFileSync(join(folder, "file"), "");
    const calls = withCalls({ statSync: () => fs.statSync(join(folder, "file")) });
    expect(codeOf(() => FileStore.open(join(folder, "pipe"), calls))).toBe("file.not-regular");
  });

  it("keeps the system's word when reading fails", async () => {
    fs.writeFileSync(join(folder, "a"), "x");
    const fail = () => {
      throw errno("EIO");
    };
    const store = FileStore.open(
      join(folder, "a"),
      withCalls({ readSync: fail, readvSync: fail, read: async () => fail() }),
    );
    expect(codeOf(() => store.readSync(new Uint8Array(1), 0))).toBe("system.io");
    expect(codeOf(() => store.readvSync([new Uint8Array(1)], 0))).toBe("system.io");
    expect(await codeOfPromise(store.read(new Uint8Array(1), 0))).toBe("system.io");
    await store.close();
  });
});
