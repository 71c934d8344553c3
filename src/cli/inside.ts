/** What the commands that look inside share: options into what the operations take. */
import type { Invocation } from "./command.ts";

/** Block names are bytes, kept as latin1; what is typed is UTF-8. */
export function blockBytes(name: string): string {
  return Buffer.from(name, "utf8").toString("latin1");
}

/** The number given with `--cpu` or another option; CPUs and instances count from 0. */
export function cpuNumber(invocation: Invocation, option = "cpu"): number | undefined {
  return invocation.count(option, 0, 2 ** 32 - 1);
}
