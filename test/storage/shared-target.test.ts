/** A thread's own view of the file that is being made: past the page cache where that can be, and through it where not. */
import * as fs from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { PageHasher } from "../../src/bytes/page-digest.ts";
import { SharedTarget } from "../../src/storage/shared-target.ts";
import { type FileSystemCalls, nodeCalls } from "../../src/storage/system-calls.ts";
import { TargetFile } from "../../src/storage/target-file.ts";

let folder: string;
let file: TargetFile;
beforeEach(() => {
  folder = fs.mkdtempSync(join(tmpdir(), "fixedram-shared-"));
  file = TargetFile.create(join(folder, "x.fram"));
});
afterEach(async () => {
  await file.abort();
  fs.rmSync(folder, { recursive: true });
});

/** Memory of WebAssembly begins at a page's border, which direct I/O wants. */
const pages = new PageHasher(64 * 1024).region.fill(7);
const errno = (code: string) => Object.assign(new Error(`${code}: made by the test`), { code });

/** Calls of which those on a descriptor opened with O_DIRECT go to `direct`. */
function withDirect(direct: (fd: number, length: number, write: () => number) => number): {
  readonly calls: FileSystemCalls;
  readonly open: Set<number>;
} {
  const open = new Set<number>();
  const calls: FileSystemCalls = {
    ...nodeCalls,
    openSync: (path, flags, mode) => {
      const asked = Math.floor(flags / fs.constants.O_DIRECT) % 2 === 1;
      // Without O_DIRECT, so that the test can run on any filesystem.
      const fd = nodeCalls.openSync(path, asked ? flags - fs.constants.O_DIRECT : flags, mode);
      if (asked) open.add(fd);
      return fd;
    },
    closeSync: (fd) => {
      open.delete(fd);
      nodeCalls.closeSync(fd);
    },
    writeSync: (fd, bytes, offset, length, position) => {
      const write = () => nodeCalls.writeSync(fd, bytes, offset, length, position);
      return open.has(fd) ? direct(fd, length, write) : write();
    },
  };
  return { calls, open };
}

const held = (length: number, position: number) => {
  const back = new Uint8Array(length);
  file.readBack(back, position);
  return back;
};

describe("direct I/O", () => {
  test("aligned pages go past the cache, everything else through it", () => {
    const lengths: number[] = [];
    const { calls, open } = withDirect((_fd, length, write) => {
      lengths.push(length);
      return write();
    });
    const shared = SharedTarget.open(file.identity, true, calls);
    expect(open.size).toBe(1);
    shared.write(pages, 2 ** 20);
    shared.write(pages.subarray(0, 8), 512);
    shared.write(pages.subarray(0, 4096), 100);
    shared.write(pages.subarray(8, 8 + 4096), 4096);
    expect(lengths).toEqual([pages.length]);
    expect(shared.directBytes).toBe(pages.length);
    expect(held(pages.length, 2 ** 20)).toEqual(pages);
    expect(held(8, 512)).toEqual(pages.subarray(0, 8));
    shared.close();
    expect(open.size).toBe(0);
  });

  test.each(["EINVAL", "ENOTSUP", "EOPNOTSUPP"])(
    "%s from the filesystem: through the cache, now and from then on",
    (code) => {
      let tried = 0;
      const { calls, open } = withDirect(() => {
        tried++;
        throw errno(code);
      });
      const shared = SharedTarget.open(file.identity, true, calls);
      shared.write(pages, 0);
      shared.write(pages, 2 ** 20);
      expect(tried).toBe(1);
      expect(open.size).toBe(0);
      expect(shared.directBytes).toBe(0);
      expect(held(pages.length, 2 ** 20)).toEqual(pages);
      shared.close();
    },
  );

  test("a write that was short is done again, whole, through the cache", () => {
    const { calls } = withDirect((_fd, length) => length - 4096);
    const shared = SharedTarget.open(file.identity, true, calls);
    shared.write(pages, 4096);
    expect(held(pages.length, 4096)).toEqual(pages);
    shared.close();
  });

  test("a disk that is full is told by the write through the cache: system.disk-full", () => {
    const { calls } = withDirect(() => {
      throw errno("ENOSPC");
    });
    const full = { ...calls };
    const shared = SharedTarget.open(file.identity, true, full);
    shared.write(pages, 0);
    expect(held(pages.length, 0)).toEqual(pages);
    full.writeSync = () => {
      throw errno("ENOSPC");
    };
    expect(() => shared.write(pages, 0)).toThrow(expect.objectContaining({ code: "system.disk-full" }));
    shared.close();
  });

  test("a filesystem that does not open files so", () => {
    const calls: FileSystemCalls = {
      ...nodeCalls,
      openSync: (path, flags, mode) => {
        if (Math.floor(flags / fs.constants.O_DIRECT) % 2 === 1) throw errno("EINVAL");
        return nodeCalls.openSync(path, flags, mode);
      },
    };
    const shared = SharedTarget.open(file.identity, true, calls);
    shared.write(pages, 0);
    expect(held(pages.length, 0)).toEqual(pages);
    expect(shared.directBytes).toBe(0);
    shared.close();
  });

  test("what this system really does", () => {
    const shared = SharedTarget.open(file.identity, true);
    file.truncate(2 ** 21);
    shared.write(pages, 2 ** 20);
    expect([0, pages.length]).toContain(shared.directBytes);
    expect(held(pages.length, 2 ** 20)).toEqual(pages);
    shared.close();
  });
});
