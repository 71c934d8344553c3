import { describe, expect, test } from "vitest";
import { hexAddress as address } from "../../src/bytes/text.ts";
import type { DiffOptions } from "../../src/operations/diff.ts";
import { compared } from "./answers/files.ts";
import { cli, fakes } from "./fakes.ts";

const different = { ...compared, same: false };

describe("fixedram diff", () => {
  test("the verdict, what differs, where and how", async () => {
    const { code, stdout } = await cli(["diff", "before.fram", "after.stream"], { diff: async () => different });
    expect(code).toBe(1);
    expect(`\n${stdout}`).toMatchInlineSnapshot(`
      "
      before.fram and after.stream: they differ
        A        fixed-ram, pc-q35-7.2, id 5c2e1d0f5c2e1d0f
        B        stream, pc-q35-8.0
        pages    1,200 changed, 2 added, 1 gone, of 16,640; 17 runs
        devices  3 of 3 differ
        time     120 ms, 293 MiB/s

      Machine
        machine: pc-q35-7.2 -> pc-q35-8.0

      Devices
        cpu #1: 37 bytes of 13,212 differ
          env.eip: 0xffffffff81000000 -> 0xffffffff81000010
          env.segs[2].selector: 0x10 -> none
          /cpu/pk\\x1bru/.buf: 01 02 -> 01 03
        tim\\x1ber: gone, 24 bytes
        apic: 9 bytes, 182 -> 190 differ, version 3 -> 4

      Pages
        block     size  changed  added  gone  runs
        pc.ram  64 MiB    1,200      2     1    17

        pc.ram
                      A                    B                    different
        0x0000_0000  |ppppppppppppppppp|  |ppppppppppppppppp|  |ooo--------------|
        0x0220_0000  |p--------------|    |p--.-----------|    |---.-----------|
        Pages in the file, and that differ: - none  . fewer  : a tenth or more  o half or more  p all

      Bytes
        pc.ram page 74,565, 0x1234_5000: changed, 2 bytes differ
          0x1234_5010 - 00 11 22 33 44 55 66 77 88 99 aa bb cc dd ee ff  |.."3DUfw........|
                      + 00 11 22 33 44 55 66 77 88 99 aa bb cc dd ef 41  |.."3DUfw.......A|
                                                                  ^^ ^^
        and 1,202 more pages
      "
    `);
  });

  test("--json has values of fields that JSON can hold", async () => {
    const { stdout } = await cli(["diff", "a", "b", "--json"], { diff: async () => different });
    expect(JSON.parse(stdout).devices.different[0].fields).toEqual([
      { path: "env.eip", a: "0xffffffff81000000", b: "0xffffffff81000010" },
      { path: "env.segs[2].selector", a: 16, b: null },
      { path: "/cpu/pk\x1bru/.buf", a: "0102", b: "0103" },
    ]);
  });

  test("two that are the same", async () => {
    const same = {
      ...compared,
      configuration: [],
      blocks: compared.blocks.slice(1),
      devices: { a: 3, b: 3, same: 3, different: [] },
      pages: { total: 256, changed: 0, added: 0, gone: 0, unknown: 0, extents: 0, trusted: 12 },
      hex: [],
    };
    const { code, stdout } = await cli(["diff", "a", "b"], { diff: async () => same });
    expect(code).toBe(0);
    expect(`\n${stdout}`).toMatchInlineSnapshot(`
      "
      before.fram and after.stream: the same
        A         fixed-ram, pc-q35-7.2, id 5c2e1d0f5c2e1d0f
        B         stream, pc-q35-8.0
        pages     0 changed, 0 added, 0 gone, of 256; 0 runs
        not read  12 pages whose digests agree in both seals
        devices   0 of 3 differ
        time      120 ms
      "
    `);
  });

  test("every option reaches the operation", async () => {
    let given: DiffOptions | null = null;
    const diff = async (options: DiffOptions) => {
      given = options;
      return compared;
    };
    await cli("diff a b --hex 7 --pages-out l.tsv --trust-seals -q".split(" "), { diff });
    expect(given).toMatchObject({ a: "a", b: "b", hex: 7, pagesOut: "l.tsv", trustSeals: true });
    expect((await cli(["diff", "a", "b", "--hex", "1001"], fakes)).code).toBe(2);
    expect((await cli(["diff", "a"], fakes)).code).toBe(2);
  });

  test("on a narrow terminal the map has more rows", async () => {
    const { stdout } = await cli(
      ["diff", "a", "b"],
      { diff: async () => different },
      { columns: 60, env: { NO_COLOR: "1" } },
    );
    expect(stdout.split("\n").filter((line) => /^ {2}0x0/.test(line)).length).toBeGreaterThan(2);
    for (const line of stdout.split("\n").filter((each) => each.includes("|") && !each.includes(" - ")))
      expect(line.length, line).toBeLessThanOrEqual(100);
  });
});

test("addresses have four digits between their separators", () => {
  expect([0, 0xfff, 0x1_2345_6789, 0xffff_ffff_8100_0000n].map(address)).toEqual([
    "0x0000_0000",
    "0x0000_0fff",
    "0x0001_2345_6789",
    "0xffff_ffff_8100_0000",
  ]);
});
