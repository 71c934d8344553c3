/** What --big-endian and --little-endian say comes to whatever opens the file, in every command that has them. */
import { expect, test } from "vitest";
import { commands } from "../../src/cli/definitions/index.ts";
import type { Operations } from "../../src/cli/operations.ts";
import { cli, fakes, operationsWith } from "./fakes.ts";

/** Commands, and the operations that open their files, in turn; none of the last ones' answers matters. */
const lines: readonly (readonly [argv: string, ...opens: readonly (keyof Operations)[]])[] = [
  ["resume x --qmp q", "resume"],
  ["resume x --qmp q --lazy", "resumeLazy"],
  ["resume x --qmp q --lazy --view --no-open", "viewResume", "resumeLazy"],
  ["clone x --count 2 --run-recorded", "clone"],
  ["recover x --qmp q", "recover"],
  ["info x", "info"],
  ["map x", "mapOf"],
  ["map x --export x.svg", "mapOf", "exportMap"],
  ["view x y --no-open", "view"],
  ["verify x", "verify"],
  ["seal x", "seal"],
  ["convert x y.fram", "convert"],
  ["diff x y", "diff"],
  ["export x y.elf", "exportSnapshot"],
  ["gdb x", "gdb"],
  ["read x 0 16", "read"],
  ["translate x 0", "translateAddress"],
  ["devices x", "devices"],
  ["cpus x", "cpus"],
  ["search x needle", "search"],
  ["strings x", "strings"],
];

/** Each operation that is called, and what it is told of the order; one that has no answer here ends the command. */
async function told(argv: readonly string[]): Promise<[string, unknown][]> {
  const calls: [string, unknown][] = [];
  const { mapOf, viewResume } = fakes;
  const answers: Readonly<Record<string, unknown>> = { mapOf, viewResume };
  const recorded = Object.keys(operationsWith({})).map((name) => [
    name,
    async (...args: readonly unknown[]) => {
      const options = args.at(-1) as { readonly bigEndian?: boolean };
      calls.push([name, options.bigEndian]);
      const answer = answers[name];
      if (typeof answer === "function") return answer(...args);
      throw new Error("that is all");
    },
  ]);
  await cli(argv, Object.fromEntries(recorded)).catch(() => undefined);
  return calls;
}

test.each(lines)("%s", async (argv, ...opens) => {
  for (const [more, bigEndian] of [
    [[], undefined],
    [["--big-endian"], true],
    [["--little-endian"], false],
  ] as const)
    expect(await told([...argv.split(" "), ...more])).toEqual(opens.map((name) => [name, bigEndian]));
});

test("there is a line for every command that has the options, and they are had together", () => {
  const having = (wanted: string) =>
    commands.filter(({ options }) => options.some(({ name }) => name === wanted)).map(({ name }) => name);
  const names = having("big-endian").sort();
  expect(having("little-endian").sort()).toEqual(names);
  expect([...new Set(lines.map(([argv]) => argv.split(" ")[0]))].sort()).toEqual(names);
});
