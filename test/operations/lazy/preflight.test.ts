import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { describe, expect, test } from "vitest";
import { FixedramError } from "../../../src/errors.ts";
import { hostPageSize } from "../../../src/operations/lazy/host-pages.ts";
import { largePages, noUserfaultfd, preflight, requireNotOnDisk } from "../../../src/operations/lazy/preflight.ts";
import { ExtentKind, type ExtentList } from "../../../src/pages/extents.ts";
import { ramStart } from "../../fixedram/sample.ts";

function codeOf(work: () => unknown): string {
  try {
    work();
  } catch (error) {
    if (error instanceof FixedramError) return error.code;
    throw error;
  }
  return "";
}

const start = ramStart(["pc.ram", 64], ["/rom@etc/acpi/tables", 32]);
const snapshot = (kind: ExtentKind = ExtentKind.zero) => ({
  name: "web.fram",
  ramStart: start,
  map: {
    blocks: start.blocks.map(({ block }) => block),
    stores: [],
    extents: (_block: number, first: number, count: number, into: ExtentList) =>
      into.push(kind, first, count) ? count : 0,
  },
});
const facts = (more: { capabilities?: Record<string, boolean> } = {}) => ({
  capabilities: { "postcopy-ram": false, ...more.capabilities },
  version: { major: 7, minor: 2, micro: 0, package: "", text: "7.2.0" },
});
const pageSize = start.blocks[0]?.block.pageSize ?? 0;
const there = (name: string, pages: number, total = pages, size = pageSize) => ({
  name,
  pageSize: size,
  used: pages * pageSize,
  total: total * pageSize,
});
const same = [there("pc.ram", 64), there("/rom@etc/acpi/tables", 32, 512)];

describe("before a lazy resume", () => {
  test("a destination that fits passes; what is on and excludes postcopy is named", () => {
    expect(preflight({ snapshot: snapshot(), facts: facts(), blocks: same })).toEqual([]);
    const notices = preflight({
      snapshot: snapshot(),
      facts: facts({ capabilities: { "mapped-ram": true, multifd: true, "x-ignore-shared": true } }),
      blocks: same,
    });
    expect(notices.map(({ message }) => /capability (\S+)/.exec(message)?.[1])).toEqual([
      "mapped-ram",
      "multifd",
      "x-ignore-shared",
    ]);
  });

  test("no postcopy", () => {
    const { "postcopy-ram": _, ...capabilities } = facts().capabilities;
    const old = { ...facts(), capabilities };
    expect(codeOf(() => preflight({ snapshot: snapshot(), facts: old, blocks: same }))).toBe("qemu.no-postcopy");
  });

  test("memory in a file on a disk", () => {
    const folder = mkdtempSync(join(tmpdir(), "fixedram-preflight-"));
    const path = join(folder, "memory");
    writeFileSync(path, "");
    const backend = { id: "ram", size: 1, shared: true, type: "memory-backend-file" };
    const found = codeOf(() => requireNotOnDisk({ ...backend, path }));
    rmSync(folder, { recursive: true });
    // Where the temporary folder itself is tmpfs, it is fine.
    expect(["qemu.disk-backed", ""]).toContain(found);
    expect(codeOf(() => requireNotOnDisk({ ...backend, path: "/etc/passwd" }))).toBe("qemu.disk-backed");
    for (const fine of ["/nowhere", "", null])
      expect(codeOf(() => requireNotOnDisk({ ...backend, path: fine }))).toBe("");
  });

  test("blocks that differ are all named; one that may grow need not be as long", () => {
    const check = (blocks: typeof same) => () => preflight({ snapshot: snapshot(), facts: facts(), blocks });
    expect(codeOf(check([there("pc.ram", 128), there("/rom@etc/acpi/tables", 32)]))).toBe("qemu.blocks-differ");
    expect(codeOf(check([there("pc.ram", 64), there("/rom@etc/acpi/tables", 16, 512)]))).toBe("");
    expect(codeOf(check([there("pc.ram", 64), there("/rom@etc/acpi/tables", 16, 20)]))).toBe("qemu.blocks-differ");
    try {
      check([there("pc.ram", 128), there("vga.vram", 4)])();
    } catch (error) {
      const found = error instanceof FixedramError ? error.details.found : "";
      for (const name of ["pc.ram", "acpi/tables", "vga.vram"]) expect(found).toContain(name);
    }
  });

  test("pages that were left out", () => {
    const shared = { snapshot: snapshot(ExtentKind.absent), facts: facts(), blocks: same };
    expect(codeOf(() => preflight(shared))).toBe("file.ignore-shared");
  });

  test("huge pages are found, and this host's page size", () => {
    const blocks = [there("pc.ram", 64, 64, 2 ** 21), there("other", 1, 1, 2 ** 21)];
    expect(largePages(snapshot(), blocks, pageSize)).toEqual([["pc.ram", 2 ** 21]]);
    expect([4096, 16384, 65536]).toContain(hostPageSize());
  });

  test("without the right to userfaultfd each of the three ways is named", () => {
    const { code, details } = noUserfaultfd("Postcopy is not supported", null);
    expect(code).toBe("qemu.no-userfaultfd");
    for (const way of ["CAP_SYS_PTRACE", "/dev/userfaultfd", "vm.unprivileged_userfaultfd"])
      expect(details.expected).toContain(way);
  });
});
