import { expect, test } from "vitest";
import type { ExportOptions } from "../../src/operations/export.ts";
import { exported } from "./answers/files.ts";
import { cli, fakes } from "./fakes.ts";

test("fixedram export tells what was written and found", async () => {
  const { code, stdout } = await cli(["export", "web.fram", "web.elf"], fakes);
  expect(code).toBe(0);
  expect(`\n${stdout}`).toMatchInlineSnapshot(`
    "
    Wrote web.elf
      from       web.fram (fixed-ram), pc-q35-7.2
      format     ELF core
      memory     3 GiB, 2 ranges as recorded at the save
      registers  of 2 CPUs
      kernel     Linux 6.1.0-56-cloud-amd64, moved by 0x24e00000 (KASLR); VMCOREINFO at 0x1200_3000 (found in memory)
      file       3 GiB, 310 MiB on disk
      checked    every page, with the seal
      time       1.4 s, 2.14 GiB/s of memory

      physical address   size  RAM block  at
      0x0000_0000       2 GiB  pc.ram     0x0000_0000
      0x0001_0000_0000  1 GiB  pc.ram     0x8000_0000
    "
  `);
});

test("fixedram export to a format without room for CPUs says so, notices go to standard error", async () => {
  const result = {
    ...exported,
    format: "lime" as const,
    cpus: 0,
    vmcoreinfo: null,
    memoryMap: "rules" as const,
    notices: [{ level: "note" as const, code: "memory-map", message: "By the rules." }],
  };
  const { stdout, stderr } = await cli(["export", "a", "b"], { exportSnapshot: async () => result });
  expect(stderr).toBe("note: By the rules.\n");
  expect(stdout).toContain("registers  none: the format has no place for them");
  expect(stdout).toContain("by QEMU's rules");
});

test("every option of fixedram export reaches the operation", async () => {
  let given: ExportOptions | null = null;
  const exportSnapshot = async (options: ExportOptions) => {
    given = options;
    return exported;
  };
  await cli("export a b --format kdump --map q35 --force".split(" "), { exportSnapshot });
  expect(given).toMatchObject({ file: "a", output: "b", format: "kdump", map: "q35", force: true });
  expect((await cli(["export", "a", "b", "--format", "coff"], fakes)).code).toBe(2);
});
