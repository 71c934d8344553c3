import { Command, Option } from "commander";
import {
  type CommandDefinition,
  commands,
  exitCodes,
  type OptionDefinition,
  programOptions,
  summary,
} from "./definitions/index.ts";
import { wrap } from "./render/format.ts";

export type Chosen = (
  definition: CommandDefinition,
  words: readonly string[],
  options: Record<string, unknown>,
) => void;

/** Where help goes and how wide it is. */
export interface HelpOutput {
  readonly write: (text: string) => void;
  readonly columns: number;
}

/**
 * The parser, made from the definitions. It only parses: `chosen` is told which command was meant, and every complaint comes
 * out as a CommanderError (see usage.ts), nothing is printed but help that was asked for.
 */
export function buildProgram(chosen: Chosen, help: HelpOutput): Command {
  const program = new Command("fixedram");
  configure(program, help);
  program.description(summary).usage("COMMAND [OPTIONS]");
  for (const option of programOptions) addOption(program, option);
  program.helpCommand("help [COMMAND]", "show help for a command");
  program.addHelpText("after", () => `\n${afterProgram()}`);
  for (const definition of commands) program.addCommand(buildCommand(definition, chosen, help));
  return program;
}

function buildCommand(definition: CommandDefinition, chosen: Chosen, help: HelpOutput): Command {
  const command = new Command(definition.name);
  configure(command, help);
  command.summary(definition.summary).description(definition.description.join("\n\n"));
  const words = definition.arguments.map((argument) => (argument.required ? argument.name : `[${argument.name}]`));
  const tail = definition.tail === undefined ? "" : ` [-- ${definition.tail.name} ...]`;
  command.usage([...words, "[OPTIONS]"].join(" ") + tail);
  for (const argument of definition.arguments) {
    command.argument(argument.required ? `<${argument.name}>` : `[${argument.name}]`, argument.text);
  }
  for (const option of definition.options) addOption(command, option);
  command.addHelpText("after", () => `\n${afterCommand(definition, help.columns)}`);
  command.action((...given: unknown[]) => {
    const parsed = given.slice(0, definition.arguments.length).filter((word) => typeof word === "string");
    chosen(definition, parsed, kebab(command.opts()));
  });
  return command;
}

function configure(command: Command, help: HelpOutput): void {
  command.exitOverride().allowExcessArguments(false).showSuggestionAfterError(true);
  command.configureOutput({
    writeOut: help.write,
    writeErr: () => undefined,
    getOutHelpWidth: () => Math.min(help.columns, 100),
    getErrHelpWidth: () => Math.min(help.columns, 100),
    getOutHasColors: () => false,
    getErrHasColors: () => false,
  });
  command.configureHelp({
    subcommandTerm: (listed) =>
      [
        listed.name(),
        ...listed.registeredArguments.map((word) => (word.required ? word.name() : `[${word.name()}]`)),
      ].join(" "),
  });
}

function addOption(command: Command, option: OptionDefinition): void {
  const flags = `${option.short === undefined ? "" : `-${option.short}, `}--${option.name}`;
  if (option.name === "help") {
    command.helpOption(flags, option.text);
    return;
  }
  const made = new Option(option.value === undefined ? flags : `${flags} <${option.value.name}>`, option.text);
  command.addOption(made);
}

/** Commander gives `maxTime`, and `open: false` for `--no-open`; the rest of the command line says what the user did. */
function kebab(options: Record<string, unknown>): Record<string, unknown> {
  return Object.fromEntries(
    Object.entries(options).map(([name, value]) => {
      const typed = name.replace(/[A-Z]/g, (c) => `-${c.toLowerCase()}`);
      return value === false ? [`no-${typed}`, true] : [typed, value];
    }),
  );
}

function afterCommand(definition: CommandDefinition, columns: number): string {
  const lines: string[] = [];
  if (definition.tail !== undefined) lines.push("After --:", `  ${definition.tail.name}  ${definition.tail.text}`, "");
  lines.push("Examples:");
  for (const example of definition.examples) {
    for (const [index, line] of wrap(example.text, columns - 4).entries())
      lines.push(`  ${index === 0 ? "# " : "  "}${line}`);
    lines.push(`  ${example.command}`);
  }
  return lines.join("\n");
}

function afterProgram(): string {
  const codes = exitCodes.map(({ code, text }) => `  ${code.padEnd(13)}  ${text}`);
  return ["Exit codes:", ...codes, "", "`fixedram COMMAND --help` shows a command's options and examples."].join("\n");
}
