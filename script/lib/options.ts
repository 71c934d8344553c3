/** The words of a developer's command: understood, or explained in a line and ended with 2. */
import { type ParseArgsConfig, parseArgs } from "node:util";

/** As `parseArgs`. @param usage how the command is typed, one line */
export function developerOptions<T extends ParseArgsConfig>(usage: string, config: T): ReturnType<typeof parseArgs<T>> {
  try {
    return parseArgs(config);
  } catch (error) {
    const help = process.argv.includes("--help");
    process.stderr.write(help ? `${usage}\n` : `${error instanceof Error ? error.message : String(error)}\n${usage}\n`);
    process.exit(help ? 0 : 2);
  }
}
