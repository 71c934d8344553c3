/** Clones under way: the command that holds them, and what their guests say. */
import { readFileSync } from "node:fs";
import { join } from "node:path";
import type { CloneResult, CloneStatus } from "../../../src/operations/clone.ts";
import {
  type CliRun,
  type Guest,
  guestArgv,
  type Qemu,
  Serial,
  startFixedram,
  testFolder,
  type Verdict,
  verdictOf,
} from "../harness/index.ts";
import { childrenOf, commandOf } from "./lazy.ts";

export interface ClonesUnderWay {
  readonly pid: number;
  readonly ended: Promise<CliRun>;
  /** The last that was told of each, by number. */
  status(number: number): CloneStatus | undefined;
  /** Settles when all have come to one of these states. */
  until(states: readonly CloneStatus["state"][], numbers?: readonly number[]): Promise<void>;
  server(): number | null;
  /** Its answer, when every guest is in or has failed. */
  answer(): Promise<CloneResult>;
  serial(number: number): Promise<Serial>;
  verdict(number: number): Promise<Verdict>;
  signal(name: NodeJS.Signals): void;
  stderr(): string;
}

/** QEMU's command line for `--`, `{n}` in its serial line, and where that is. */
export function cloneCommand(
  { options }: Pick<Guest, "options">,
  on: Qemu,
): { readonly argv: readonly string[]; readonly serialPath: (number: number) => string } {
  const folder = testFolder();
  const { incoming: _incoming, ...bare } = options;
  const path = join(folder, "serial-{n}");
  const serial = ["-chardev", `socket,id=serial0,path=${path},server=on,wait=off`, "-serial", "chardev:serial0"];
  return {
    argv: [...guestArgv({ ...bare, qemu: on }, undefined), ...serial],
    serialPath: (number) => join(folder, `serial-${number}`),
  };
}

/** `fixedram clone FILE -n COUNT ARGS -- QEMU like the guest's`. */
export function clone(
  guest: Pick<Guest, "options">,
  file: string,
  on: Qemu,
  count: number,
  args: readonly string[] = [],
  command = cloneCommand(guest, on),
): ClonesUnderWay {
  return followClones(["clone", file, "-n", String(count), "--json", ...args, "--", ...command.argv], count, {
    serialPath: command.serialPath,
    kind: guest.options.kind,
  });
}

/** Starts `fixedram clone` and hears what it says. */
export function followClones(
  args: readonly string[],
  count: number,
  { serialPath, kind }: { readonly serialPath: (number: number) => string; readonly kind: "boot" | "linux" },
): ClonesUnderWay {
  const { child, ended } = startFixedram(args);
  const pid = child.pid ?? -1;
  const clones = new Map<number, CloneStatus>();
  const serials = new Map<number, Promise<Serial>>();
  let stderr = "";
  let stdout = "";
  let begun = "";
  let changed: () => void = () => {};
  child.stdout.on("data", (text: string) => {
    stdout += text;
    changed();
  });
  child.stderr.on("data", (text: string) => {
    stderr += text;
    const lines = (begun + text).split("\n");
    begun = lines.pop() ?? "";
    for (const line of lines) {
      if (!line.startsWith("{")) continue;
      const said = JSON.parse(line) as CloneStatus & { readonly type?: string };
      if (said.type === "clone") clones.set(said.number, said);
    }
    changed();
  });
  let over = false;
  void ended.then(() => {
    over = true;
    changed();
  });
  const until = async (check: () => boolean, what: string): Promise<void> => {
    while (!check()) {
      if (over) throw new Error(`fixedram ended before ${what}: ${stdout}${stderr}`);
      await new Promise<void>((resolve) => {
        changed = resolve;
      });
    }
  };
  const all = Array.from({ length: count }, (_, i) => i + 1);
  const serial = (number: number): Promise<Serial> => {
    const known = serials.get(number) ?? Serial.connect(serialPath(number), 10_000);
    serials.set(number, known);
    return known;
  };
  return {
    pid,
    ended,
    status: (number) => clones.get(number),
    until: (states, numbers = all) =>
      until(
        () => numbers.every((number) => states.includes(clones.get(number)?.state ?? "starting")),
        `${numbers.join(", ")} were ${states.join(" or ")}`,
      ),
    server: () => childrenOf(pid).find((each) => commandOf(each).includes("lazy/server")) ?? null,
    answer: async () => {
      await until(() => stdout.includes("\n"), "it answered");
      return JSON.parse(stdout) as CloneResult;
    },
    serial,
    verdict: async (number) => verdictOf(await serial(number), kind),
    signal: (name) => void process.kill(pid, name),
    stderr: () => stderr,
  };
}

/** Processes whose command line has a word in it: what a command left behind. */
export function processesWith(word: string, pids: readonly number[]): readonly number[] {
  return pids.filter((pid) => {
    try {
      return readFileSync(`/proc/${pid}/cmdline`, "utf8").includes(word);
    } catch {
      return false;
    }
  });
}
