import { expect, test } from "vitest";
import type { GdbCall } from "../../src/cli/operations.ts";
import { served } from "./answers/files.ts";
import { cli, fakes } from "./fakes.ts";

test("fixedram gdb tells what it served, and every option reaches it", async () => {
  const { code, stdout } = await cli(["gdb", "web.fram"], fakes);
  expect([code, stdout]).toEqual([0, "Served web.fram to 1 gdb: 231 packets in 1 min 5 s\n"]);
  let given: GdbCall | null = null;
  const gdb = async (call: GdbCall) => {
    given = call;
    return served;
  };
  await cli("gdb a --port 0 --once --map pc".split(" "), { gdb });
  expect(given).toMatchObject({ file: "a", port: 0, once: true, map: "pc", stdio: false });
});

test("with --stdio, standard output is gdb's", async () => {
  expect((await cli(["gdb", "a", "--stdio"], fakes)).stdout).toBe("");
  for (const more of ["--json", "--port=1"]) expect((await cli(["gdb", "a", "--stdio", more], fakes)).code).toBe(2);
});
