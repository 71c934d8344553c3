/** Converting against copying, and the deep check: the same file, by turns, in a folder in memory. */
import { rmSync, statSync } from "node:fs";
import { join } from "node:path";
import { fixedram } from "./fixedram.ts";
import type { Contest, Sample } from "./measure.ts";
import { start } from "./processes.ts";

export function convertContests(
  saved: { readonly fixedram: string; readonly stream: string },
  qemu: string,
  folder: string,
): readonly Contest[] {
  return [
    convertContest("convert fixed-ram", saved.fixedram, qemu, folder),
    convertContest("convert stream", saved.stream, qemu, folder),
    verifyContest(saved.fixedram, qemu, folder),
  ];
}

function convertContest(name: string, input: string, qemu: string, folder: string): Contest {
  const out = join(folder, "converted.fram");
  return {
    name,
    qemu,
    ours: {
      text: "fixedram convert IN OUT.fram",
      run: async () => await ours(["convert", input, out, "--json", "--quiet"], folder, out),
    },
    peer: {
      text: "cp --sparse=always IN OUT",
      run: async () => await copied(["cp", "--sparse=always", input, out], out),
    },
  };
}

function verifyContest(input: string, qemu: string, folder: string): Contest {
  return {
    name: "verify --deep",
    qemu,
    ours: {
      text: "fixedram verify FILE --deep",
      run: async () => {
        const sample = await ours(["verify", input, "--deep", "--json", "--quiet"], folder, null);
        const bytes = statSync(input).blocks * 512;
        return { ...sample, more: { "MB a second": bytes / 1000 / (sample.own ?? Number.NaN) } };
      },
    },
    peer: { text: "sha256sum FILE", run: async () => await copied(["sha256sum", input], null) },
  };
}

async function ours(args: readonly string[], folder: string, out: string | null): Promise<Sample> {
  const began = performance.now();
  const command = fixedram(args, folder);
  const answer = JSON.parse(await command.answer) as {
    readonly time?: number;
    readonly times?: { readonly total: number };
  };
  const wall = performance.now() - began;
  command.usage();
  if (out !== null) rmSync(out);
  return { wall, own: answer.times?.total ?? answer.time ?? Number.NaN };
}

async function copied(argv: readonly string[], out: string | null): Promise<Sample> {
  const began = performance.now();
  await start(argv, { stdio: "ignore" }).exited;
  const wall = performance.now() - began;
  if (out !== null) rmSync(out);
  return { wall };
}
