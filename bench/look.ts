/** Looking into files: search and strings against grep, strings(1) and cat; diff against cmp. From memory, no guest. */
import { copyFileSync } from "node:fs";
import { join } from "node:path";
import { fixedram } from "./fixedram.ts";
import { writeMade } from "./made.ts";
import type { Contest, Sample } from "./measure.ts";
import { start } from "./processes.ts";

const needle = "a text that is in no guest";

/** @param folder in memory, for files of `mib` MiB of data */
export async function searchContests(mib: number, folder: string): Promise<readonly Contest[]> {
  const file = join(folder, "searched.fram");
  await writeMade(file, mib, 1);
  const grep = ["grep", "-c", "-a", "-F", needle, file];
  const map = ["--map", `0+${mib}M=pc.ram`, "--json"];
  const search = (...args: string[]) => ["search", file, ...args, ...map];
  const contest = contestsOf(mib, folder);
  return [
    contest("search text", search(needle), grep),
    contest("search text, either case", search(needle, "-i"), ["grep", "-c", "-a", "-i", "-F", needle, file]),
    contest("search bytes, wildcards", search("de ad ?? be e? 11 22 33", "--as-hex"), grep),
    contest("search expression", search("password=[a-z]{8}", "--regex"), [
      "grep",
      "-c",
      "-a",
      "-E",
      "password=[a-z]{8}",
      file,
    ]),
    contest("search expression, no fixed start", search("[a-z]{8}@[a-z]{8}", "--regex"), [
      "grep",
      "-c",
      "-a",
      "-E",
      "[a-z]{8}@[a-z]{8}",
      file,
    ]),
    contest("strings", ["strings", file, "--min", "16", ...map], ["sh", "-c", 'strings -n 16 "$0" > /dev/null', file]),
    contest(
      "strings, UTF-16",
      ["strings", file, "--min", "8", "--utf16", ...map],
      ["sh", "-c", 'strings -n 8 -e l "$0" > /dev/null', file],
    ),
  ];
}

export async function diffContests(mib: number, folder: string): Promise<readonly Contest[]> {
  const [a, b, copy] = [join(folder, "a.fram"), join(folder, "b.fram"), join(folder, "copy.fram")];
  await writeMade(a, mib, 1);
  await writeMade(b, mib, 2);
  copyFileSync(a, copy);
  // cmp stops at the first difference: it gets two that are the same.
  const cmp = ["cmp", "-s", a, copy];
  const contest = contestsOf(mib, folder);
  return [
    contest("diff", ["diff", a, b, "--json"], cmp),
    contest("diff --trust-seals", ["diff", a, b, "--trust-seals", "--json"], cmp),
  ];
}

function contestsOf(mib: number, folder: string) {
  return (name: string, args: readonly string[], peer: readonly string[]): Contest => ({
    name,
    qemu: "-",
    ours: { text: `fixedram ${args[0]}`, run: async () => await ours(args, mib, folder) },
    peer: { text: peer.slice(0, -1).join(" "), run: async () => await theirs(peer) },
  });
}

async function ours(args: readonly string[], mib: number, folder: string): Promise<Sample> {
  const began = performance.now();
  const command = fixedram(args, folder);
  const answer = JSON.parse(await command.answer) as { readonly time: number };
  const wall = performance.now() - began;
  const rate = (ms: number) => (mib * 2 ** 20) / ms / 1e6;
  const cpu = command.usage().reduce((sum, used) => sum + used.cpu, 0);
  return {
    wall,
    own: answer.time,
    more: { "GB/s": rate(wall), "GB/s without node's start": rate(answer.time), "cpu s": cpu },
  };
}

async function theirs(argv: readonly string[]): Promise<Sample> {
  const began = performance.now();
  await start(argv, { stdio: "ignore" }).exited;
  return { wall: performance.now() - began };
}
