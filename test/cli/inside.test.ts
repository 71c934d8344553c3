import { describe, expect, test } from "vitest";
import type { ReadOptions } from "../../src/operations/inside/read.ts";
import { cli, fakes } from "./fakes.ts";
import { deviceTrees, insideFakes, memory, searched, translated } from "./inside-fakes.ts";

async function answer(line: string, more: Parameters<typeof cli>[2] = {}): Promise<string> {
  const { code, stdout, stderr } = await cli(line.split(" "), fakes, more);
  const told = line.startsWith("read ") ? "note: physical memory map as recorded at the save\n" : "";
  expect([code, stderr]).toEqual([0, told]);
  return `\n${stdout}`;
}

/** What the read was asked for. */
async function asked(line: string): Promise<Omit<ReadOptions, "onBytes" | "signal" | "onProgress" | "onNotice">> {
  let given: Omit<ReadOptions, "onBytes" | "signal" | "onProgress" | "onNotice"> | null = null;
  const { stderr } = await cli(line.split(" "), {
    read: async (options) => {
      const { onBytes, signal, onProgress, onNotice, ...rest } = options;
      given = rest;
      return await insideFakes.read(options);
    },
  });
  if (given === null) throw new Error(stderr);
  return given;
}

const refused = async (line: string) => {
  const { code, stderr } = await cli(line.split(" "), fakes);
  return [code, /\[(.*)\]/.exec(stderr)?.[1]];
};

describe("read", () => {
  test("bytes and characters; what repeats once, the end all the same", async () => {
    expect(await answer("read web.fram 0xffff888000000ff0 150")).toMatchInlineSnapshot(`
      "
      0xffff_8880_0000_0ff0  00 01 02 03 04 05 06 07  08 09 0a 0b 0c 0d 0e 0f  |................|
      0xffff_8880_0000_1000  10 11 12 13 14 15 16 17  18 19 1a 1b 1c 1d 1e 1f  |................|
      0xffff_8880_0000_1010  20 21 22 23 24 25 26 27  28 29 2a 2b 2c 2d 2e 2f  | !"#$%&'()*+,-./|
      0xffff_8880_0000_1020  30 31 32 33 34 35 36 37  38 39 3a 3b 3c 3d 3e 3f  |0123456789:;<=>?|
      0xffff_8880_0000_1030  00 00 00 00 00 00 00 00  00 00 00 00 00 00 00 00  |................|
      *
      0xffff_8880_0000_1080  00 00 00 00 00 00                                 |......|
      "
    `);
    expect(await answer("read web.fram 0 160")).toMatch(/\*\n0x0000_00a0\n$/);
  });

  test("words and strings", async () => {
    expect(await answer("read web.fram 0x1000 24 --u64")).toMatchInlineSnapshot(`
      "
      0x0000_1000  0706050403020100 0f0e0d0c0b0a0908
      0x0000_1010  1716151413121110
      "
    `);
    expect(
      (
        await cli("read web.fram 0 8 --string".split(" "), {
          ...fakes,
          read: (o) =>
            insideFakes.read({
              ...o,
              onBytes: (_, at) => o.onBytes(new TextEncoder().encode("a\\\x1b\xe9\0rest"), at),
            }),
        })
      ).stdout,
    ).toBe("a\\\\\\x1b\\xc3\\xa9\n");
  });

  test("raw bytes, to anything but a terminal", async () => {
    const written: (string | Uint8Array)[] = [];
    await cli(["read", "web.fram", "0", "256", "--raw"], fakes, { stdout: { write: (bytes) => written.push(bytes) } });
    expect(written).toEqual([memory]);
    expect((await cli(["read", "web.fram", "0", "1", "--raw"], fakes, { columns: 80 })).code).toBe(2);
  });

  test("address spaces, CPU, map and numbers as they are written", async () => {
    expect(await asked("read f 0xffff_ffff_8100_0000 4K --virtual --cpu 3")).toEqual({
      file: "f",
      address: 0xffff_ffff_8100_0000n,
      length: 4096,
      space: "virtual",
      cpu: 3,
    });
    expect(await asked("read f 3G 0x20 --block ü --map 0+1M=pc.ram")).toEqual({
      file: "f",
      address: 3n * 2n ** 30n,
      length: 32,
      space: { block: "\xc3\xbc" },
      map: "0+1M=pc.ram",
    });
    expect(await asked("read f 1_000 8 --physical")).toMatchObject({ address: 1000n, space: "physical" });
  });

  test("how the file is to be opened", async () => {
    expect(await asked("read f 0 8 --keep-index --offset 4K --big-endian")).toMatchObject({
      keepIndex: true,
      offset: 4096,
      bigEndian: true,
    });
    expect(await asked("read f 0 8 --little-endian")).toMatchObject({ bigEndian: false });
    expect(await asked("read f 0 8")).not.toHaveProperty("bigEndian");
  });

  test.each([
    ["read f 12zz 8", "usage.not-an-address"],
    ["read f 0x1_0000_0000_0000_0000 8", "usage.not-an-address"],
    ["read f 0 8 --virtual --physical", "usage.together"],
    ["read f 0 8 --big-endian --little-endian", "usage.together"],
    ["read f 0 8 --raw --u64", "usage.together"],
    ["read f 0 9 --u64", "usage.bad-size"],
    ["read f 0 8 --cpu 1", "usage.conflict"],
    ["read f 0 8 --cpu 0 --block pc.ram", "usage.conflict"],
    ["read f 0 1G --string", "usage.too-long"],
    ["read f 0 0", "usage.bad-size"],
    ["translate f ffff", "usage.not-an-address"],
  ])("refused: %s", async (line, code) => expect(await refused(line)).toEqual([2, code]));

  test("which memory map it was is said; in JSON only where it is no record, for the object has it", async () => {
    const told = async (line: string, from: "recorded" | "given" | "rules") =>
      (
        await cli(line.split(" "), {
          read: async (o) => ({ ...(await insideFakes.read(o)), map: { from, note: `map: ${from}` } }),
        })
      ).stderr;
    for (const from of ["recorded", "given", "rules"] as const)
      expect(await told("read f 0 8", from)).toBe(`note: map: ${from}\n`);
    expect(await told("read f 0 8 --quiet", "recorded")).toBe("");
    expect(await told("read f 0 8 --json", "recorded")).not.toContain("notice");
    expect(await told("read f 0 8 --json", "rules")).toContain('"message":"map: rules"');
  });
});

describe("translate", () => {
  test("every entry on the way", async () =>
    expect(await answer("translate web.fram 0xffffffff81000123")).toMatchInlineSnapshot(`
      "
      0xffff_ffff_8100_0123, CPU 0, paging: 4-level
        PML4[511]  0x0200_1067 at 0x0200_0ff8
        PDPT[510]  0x0200_2063 at 0x0200_1ff0
        PD[8]      0x0100_01a1 at 0x0200_2040
        physical   0x0100_0123
        page       2 MiB, global, accessed
        rights     supervisor read execute
        in         pc.ram at 0x0100_0123
        map        physical memory map as recorded at the save
      "
    `));

  test("nothing mapped is an answer, with exit code 1", async () => {
    const not = {
      ...translated,
      mapped: false,
      reason: "The PD entry is not present",
      physical: null,
      place: null,
      pageSize: null,
      rights: null,
      marks: [],
    };
    const { code, stdout } = await cli(["translate", "f", "0"], { translateAddress: async () => not });
    expect([code, stdout]).toMatchInlineSnapshot(`
      [
        1,
        "0xffff_ffff_8100_0123, CPU 0, paging: 4-level
        PML4[511]   0x0200_1067 at 0x0200_0ff8
        PDPT[510]   0x0200_2063 at 0x0200_1ff0
        PD[8]       0x0100_01a1 at 0x0200_2040
        not mapped  The PD entry is not present
        map         physical memory map as recorded at the save
      ",
      ]
    `);
  });
});

describe("search", () => {
  test("hits with what is around them", async () => {
    expect(await answer("search web.fram password")).toMatchInlineSnapshot(`
      "
      0x0001_0130_4010  pc.ram+0x0130_4010  my password is...
      "
    `);
    expect(await answer("strings web.fram")).toMatchInlineSnapshot(`
      "
      -            pc.ram+0x0130_4010  tab\\x09and \\\\
      "
    `);
  });

  test("what is looked for reaches the operation", async () => {
    const given: object[] = [];
    const ask = (line: string) =>
      cli(line.split(" "), {
        search: async ({ onHit, signal, onProgress, onNotice, ...rest }) => {
          given.push(rest);
          return searched;
        },
        strings: async ({ onHit, signal, onProgress, onNotice, ...rest }) => {
          given.push(rest);
          return searched;
        },
      });
    await ask("search f de??ad --as-hex --limit 3 --block pc.ram");
    await ask("search f a+ --regex -i --map q35");
    await ask("search f x --utf16");
    await ask("strings f --min 4 --utf16");
    expect(given).toEqual([
      { file: "f", pattern: "de??ad", as: "hex", utf16: false, ignoreCase: false, limit: 3, block: "pc.ram" },
      { file: "f", pattern: "a+", as: "regex", utf16: false, ignoreCase: true, map: "q35" },
      { file: "f", pattern: "x", as: "text", utf16: true, ignoreCase: false },
      { file: "f", least: 4, utf16: true },
    ]);
    expect(await refused("search f x --utf16 --regex")).toEqual([2, "usage.together"]);
  });

  test("nothing found is exit code 1; more than the limit is said", async () => {
    expect((await cli(["search", "f", "x"], { search: async () => ({ ...searched, hits: 0 }) })).code).toBe(1);
    const { code, stderr } = await cli(["search", "f", "x", "--limit", "1"], {
      search: async () => ({ ...searched, stopped: "limit" }),
    });
    expect([code, stderr]).toEqual([0, "note: there are more hits than 1; --limit N shows N\n"]);
  });

  test("ended by Ctrl-C it leaves what was found", async () => {
    const signals = {
      abort: new AbortController().signal,
      received: () => "SIGINT" as const,
      handOver: () => undefined,
    };
    const stopped = {
      ...insideFakes,
      search: async (o: Parameters<typeof insideFakes.search>[0]) => ({
        ...(await insideFakes.search(o)),
        stopped: "signal" as const,
      }),
    };
    const text = await cli(["search", "f", "x"], stopped, { signals });
    expect([text.code, text.stdout.length > 0, text.stderr]).toEqual([
      130,
      true,
      "note: the search was ended; there may be more\n",
    ]);
    const json = await cli(["search", "f", "x", "--json"], stopped, { signals });
    expect([json.code, JSON.parse(json.stdout)]).toMatchObject([
      130,
      { stopped: "signal", count: 1, hits: [{ offset: 0x1304010 }] },
    ]);
  });
});

describe("devices", () => {
  test("the tree", async () =>
    expect(await answer("devices web.fram")).toMatchInlineSnapshot(`
    "
    0000:00:02.0/vga  instance 0, version 2, 1,407 bytes
      dev      struct
        version_id  int32  2
        config      pci config  86 86 86 86 86 86 86 86 86 86 86 86 86 86 86 86 and 4 bytes more
      palette  uint8[12]  0 0x14 0x28 0x3c 0x50 0x64 0x78 0x8c and 4 more
      edge     struct  {x 0x280, y -0x1e0}
      label    buffer  "text"
      spare    unused_buffer  8 bytes of zeros
      slots    struct[2]
        [0]  {on true}
        [1]  nullptr
      vga/endian  version 1
        big  bool  false
    "
  `));

  test("what can't be decoded is said, with exit code 1; names are escaped", async () => {
    const { code, stdout } = await cli(["devices", "f"], {
      devices: async () => ({ ...deviceTrees, devices: deviceTrees.devices.slice(1) }),
    });
    expect([code, stdout]).toMatchInlineSnapshot(`
      [
        1,
        "odd\\x1bdevice  instance 1, version 1, 9 bytes
        can't be decoded: a device section does not hold what its description says: 9 bytes at the end belong to no field
      ",
      ]
    `);
  });

  test("everything, when asked for", async () => {
    const text = await answer("devices web.fram vga --full");
    expect(text).toContain("0 0x14 0x28 0x3c 0x50 0x64 0x78 0x8c 0xa0 0xb4 0xc8 0xdc");
    expect(text).toContain("86 ".repeat(19));
  });

  test("JSON has what JSON's numbers can't hold as text", async () => {
    const { stdout } = await cli(["devices", "web.fram", "--json"], fakes);
    const { devices } = JSON.parse(stdout);
    expect(devices[0].state.fields[0].value.fields[1]).toMatchObject({ type: "pci config", value: "86".repeat(20) });
    expect(devices[0].state.fields[5].value).toMatchObject([{ fields: [{ value: true }] }, null]);
  });
});

describe("cpus", () => {
  test("an x86 one", async () =>
    expect(await answer("cpus web.fram")).toMatchInlineSnapshot(`
    "
    CPU 0  long mode, 4-level paging, privilege level 0, halted
      rax    0x0000_0000_0000_0000  rcx    0x0000_0000_0000_0000  rdx    0x0000_0000_0000_0000
      rbx    0x0000_0000_0000_0000  rsp    0x0000_0000_0000_0000  rbp    0x0000_0000_0000_0000
      rsi    0x0000_0000_0000_0000  rdi    0x0000_0000_0000_0000  r8     0x0000_0000_0000_0000
      r9     0x0000_0000_0000_0000  r10    0x0000_0000_0000_0000  r11    0x0000_0000_0000_0000
      r12    0x0000_0000_0000_0000  r13    0x0000_0000_0000_0000  r14    0x0000_0000_0000_0000
      r15    0x0000_0000_0000_0000  rip    0xffff_ffff_8100_0000  rflags 0x0000_0000_0000_0246
      flags  PF ZF IF
      es   0000  0x0000_0000_0000_0000  limit 0x0000_0000  flags 0x0
      cs   0000  0x0000_0000_0000_0000  limit 0x0000_0000  flags 0x0
      ss   0000  0x0000_0000_0000_0000  limit 0x0000_0000  flags 0x0
      ds   0000  0x0000_0000_0000_0000  limit 0x0000_0000  flags 0x0
      fs   0000  0x0000_0000_0000_0000  limit 0x0000_0000  flags 0x0
      gs   0000  0x0000_0000_0000_0000  limit 0x0000_0000  flags 0x0
      ldt  0000  0x0000_0000_0000_0000  limit 0x0000_0000  flags 0x0
      tr   0000  0x0000_0000_0000_0000  limit 0x0000_0000  flags 0x0
      gdt       0x0000_0000_0000_0000  limit 0x0000_0000
      idt       0x0000_0000_0000_0000  limit 0x0000_0000
      cr0 0x0000_0000_8000_0001  cr2 0x0000_0000_0000_0000  cr3 0x0000_0000_0000_1000
      cr4 0x0000_0000_0000_0030  dr0 0x0000_0000_0000_0000  dr1 0x0000_0000_0000_0000
      dr2 0x0000_0000_0000_0000  dr3 0x0000_0000_0000_0000  dr6 0x0000_0000_ffff_0ff0
      dr7 0x0000_0000_0000_0400
      efer 0x0000_0000_0000_0d01
    "
  `));

  test("an aarch64 one", async () => {
    const { stdout } = await cli(["cpus", "f"], {
      cpus: async () => ({
        path: "f",
        machine: "virt-7.2",
        cpus: [
          {
            arch: "aarch64",
            index: 1,
            halted: false,
            el: 1,
            registers: Array.from({ length: 32 }, (_, i) => BigInt(i)),
            pc: 2n ** 63n,
            pstate: 5n,
            banked: { sp_el0: 1n },
            system: { ttbr0_el1: 0x4000_0000n },
          },
        ],
      }),
    });
    expect(`\n${stdout}`).toMatchInlineSnapshot(`
      "
      CPU 1  EL1
        x0     0x0000_0000_0000_0000  x1     0x0000_0000_0000_0001  x2     0x0000_0000_0000_0002
        x3     0x0000_0000_0000_0003  x4     0x0000_0000_0000_0004  x5     0x0000_0000_0000_0005
        x6     0x0000_0000_0000_0006  x7     0x0000_0000_0000_0007  x8     0x0000_0000_0000_0008
        x9     0x0000_0000_0000_0009  x10    0x0000_0000_0000_000a  x11    0x0000_0000_0000_000b
        x12    0x0000_0000_0000_000c  x13    0x0000_0000_0000_000d  x14    0x0000_0000_0000_000e
        x15    0x0000_0000_0000_000f  x16    0x0000_0000_0000_0010  x17    0x0000_0000_0000_0011
        x18    0x0000_0000_0000_0012  x19    0x0000_0000_0000_0013  x20    0x0000_0000_0000_0014
        x21    0x0000_0000_0000_0015  x22    0x0000_0000_0000_0016  x23    0x0000_0000_0000_0017
        x24    0x0000_0000_0000_0018  x25    0x0000_0000_0000_0019  x26    0x0000_0000_0000_001a
        x27    0x0000_0000_0000_001b  x28    0x0000_0000_0000_001c  x29    0x0000_0000_0000_001d
        x30    0x0000_0000_0000_001e  sp     0x0000_0000_0000_001f  pc     0x8000_0000_0000_0000
        pstate 0x0000_0000_0000_0005
        sp_el0 0x0000_0000_0000_0001
        ttbr0_el1 0x0000_0000_4000_0000
      "
    `);
  });

  test("JSON: registers are text", async () => {
    const { stdout } = await cli(["cpus", "web.fram", "--json"], fakes);
    expect(JSON.parse(stdout)).toMatchObject({ cpus: [{ rip: "0xffffffff81000000", registers: { r15: "0x0" } }] });
  });
});
