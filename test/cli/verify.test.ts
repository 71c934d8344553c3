import { describe, expect, test } from "vitest";
import type { VerifyResult } from "../../src/operations/verify.ts";
import { repaired, sealed, verified } from "./answers/files.ts";
import { cli, fakes } from "./fakes.ts";

const id = verified.id ?? "";

async function shown(result: Partial<VerifyResult>, ...args: string[]) {
  return cli(["verify", "web.fram", ...args], { verify: async () => ({ ...verified, problems: [], ...result }) });
}

describe("verify", () => {
  test("a sound file: what was covered, what was not, code 0", async () => {
    const { code, stdout, stderr } = await shown({});
    expect([code, stderr]).toEqual([0, ""]);
    expect(stdout).toContain("web.fram: as it was sealed, as far as the quick check goes\n");
    expect(stdout).toMatch(new RegExp(`^ {2}id +${id}$`, "m"));
    expect(stdout).toMatch(/^ {2}covered +211 MiB: pages 210 MiB/m);
    expect(stdout).toMatch(/^ {2}not covered +322 MiB/m);
    expect(stdout).toContain("Pages were not read: --deep reads them.");
    expect((await shown({ deep: true })).stdout).toContain("web.fram: as it was sealed\n");
  });

  test("no seal is no failure, and is not called sound", async () => {
    const { code, stdout } = await shown({
      sealState: "none",
      id: null,
      uuid: null,
      coverage: { pages: 0, regions: 0, tables: 0, seal: 0, uncovered: verified.size },
    });
    expect(code).toBe(0);
    expect(stdout).toContain("nothing wrong with its structure");
    expect(stdout).not.toContain("as it was sealed");
    expect(stdout).toContain("nothing: there is no digest to go by");
    expect(stdout).toMatch(/^ {2}not covered +.*, the whole file$/m);
  });

  test("damage: block, pages and byte, code 1; a long list is cut", async () => {
    const one = verified.problems[0] ?? { code: "", message: "" };
    const evil = { ...one, block: "pc\x1b[2J", pages: 1, message: "bad \x1b]0;x\x07" };
    const { code, stdout } = await shown({ ok: false, sealState: "damaged", problems: [one, evil] });
    expect(code).toBe(1);
    expect(stdout).toContain("web.fram: damaged\n");
    expect(stdout).toContain("block pc.ram, pages 12 to 13, byte 1,097,728 [seal.damaged-page]");
    expect(stdout).toContain("page 12, byte");
    expect(stdout).not.toContain("\x1b");
    const many = await shown({ ok: false, problems: Array.from({ length: 30 }, () => one), problemsLeftOut: 5 });
    expect(many.stdout).toContain("and 15 more problems");
    expect(many.stdout.match(/damaged-page/g)).toHaveLength(20);
  });

  test("its options go on to the operation", async () => {
    const asked: object[] = [];
    const verify = async (options: object) => {
      asked.push(options);
      return verified;
    };
    await cli(["verify", "a", "--deep", "--id", id, "--json"], { verify });
    await cli(["verify", "b"], { verify });
    expect(asked).toMatchObject([{ file: "a", deep: true, id }, { file: "b" }]);
    expect(asked[1]).not.toHaveProperty("deep");
    expect((await cli(["verify", "a", "--id", ""], { verify })).code).toBe(2);
  });
});

test("seal tells id, pages and growth", async () => {
  const { code, stdout } = await cli(["seal", "guest.mapped"], fakes);
  expect(code).toBe(0);
  expect(stdout).toContain("Sealed guest.mapped\n");
  expect(stdout).toContain(sealed.id);
  expect(stdout).toContain("54,016 with a digest each");
  expect(stdout).toContain("1 MiB more than before");
});

test("repair tells what was done, or that nothing was", async () => {
  expect((await cli(["repair", "web.fram"], fakes)).stdout).toContain(
    `Repaired web.fram\n  ${repaired.message}\n  file  558,891,008 bytes, before 558,895,104\n`,
  );
  const nothing = { ...repaired, repaired: "nothing", message: "All is well." } as const;
  const { code, stdout } = await cli(["repair", "web.fram"], { repair: async () => nothing });
  expect([code, stdout]).toEqual([0, "Nothing to repair in web.fram\n  All is well.\n"]);
});

test("resume hands --verify and --id on", async () => {
  const asked: object[] = [];
  const resume: NonNullable<Parameters<typeof cli>[1]>["resume"] = async (options) => {
    asked.push(options);
    return fakes.resume(options);
  };
  await cli(["resume", "web.fram", "--qmp", "/q", "--verify", "--id", id], { resume });
  expect(asked).toMatchObject([{ file: "web.fram", verify: true, id }]);
});

test.each(["seal", "verify", "recover"] as const)("%s is told the order of a file's bitmaps", async (command) => {
  const given = async (...flags: string[]) => {
    let seen: unknown = "not called";
    const words = [command, "web.mapped", ...(command === "recover" ? ["--qmp", "/q"] : []), ...flags];
    const { code } = await cli(words, {
      ...fakes,
      [command]: async (options: { readonly bigEndian?: boolean }) => {
        seen = options.bigEndian;
        return await (fakes[command] as (given: typeof options) => Promise<unknown>)(options);
      },
    });
    return [code, seen];
  };
  expect(await given()).toEqual([0, undefined]);
  expect(await given("--big-endian")).toEqual([0, true]);
  expect(await given("--little-endian")).toEqual([0, false]);
  expect(await given("--big-endian", "--little-endian")).toEqual([2, "not called"]);
});

test("seal says that it sealed a file of a big-endian host", async () => {
  expect((await cli(["seal", "a"], { seal: async () => sealed })).stdout).not.toContain("endian");
  const { stdout } = await cli(["seal", "a", "--big-endian"], { seal: async () => ({ ...sealed, bigEndian: true }) });
  expect(stdout).toMatch(/bitmaps +of a big-endian host/);
});
