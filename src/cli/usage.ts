import type { CommanderError } from "commander";
import { FixedramError } from "../errors.ts";
import { commands } from "./definitions/index.ts";

/**
 * The parser's complaint in our words, with what was probably meant.
 *
 * @param words the command line, for what the complaint does not name
 */
export function usageError(error: CommanderError, command: string | null, words: readonly string[]): FixedramError {
  const quoted = [...error.message.matchAll(/'([^']*)'/g)].map((match) => match[1] ?? "");
  const meant = /\(Did you mean (?:one of )?(.*?)\?\)/s.exec(error.message)?.[1];
  const help = command === null ? "fixedram --help" : `fixedram ${command} --help`;
  const hint = meant === undefined ? `${help} shows what there is.` : `Did you mean ${meant.replaceAll("\n", " ")}?`;
  // 'unknown option '--x'' quotes the option; 'option '--qmp <SOCKET>' argument missing' its flags.
  const subject = (quoted[0] ?? "").replace(/^-\w, /, "");
  const name = subject.replace(/ .*/, "");
  switch (error.code) {
    case "commander.unknownOption":
      return new FixedramError("usage.unknown-option", `${program(command)} has no option ${subject}`, { hint });
    case "commander.unknownCommand":
      return new FixedramError("usage.unknown-command", `there is no command ${subject}`, {
        hint,
        ...(meant === undefined ? { expected: commands.map((known) => known.name).join(", ") } : {}),
      });
    case "commander.missingArgument":
      return new FixedramError("usage.missing-argument", `${subject} is missing`, { hint: exampleOf(command) ?? hint });
    case "commander.optionMissingArgument":
      return new FixedramError("usage.missing-value", `${name} wants a value`, {
        expected: subject.replace(/[<>]/g, ""),
        hint,
      });
    case "commander.excessArguments":
      return new FixedramError("usage.extra-argument", `there are more arguments than ${program(command)} takes`, {
        hint: command === "resume" ? "A QEMU command stands after --: fixedram resume FILE -- QEMU-COMMAND ..." : hint,
      });
    // `help` with a name that it does not know.
    case "commander.help":
      return new FixedramError("usage.unknown-command", `there is no command ${words[1] ?? ""}`, {
        hint,
        expected: commands.map((known) => known.name).join(", "),
      });
    default:
      return new FixedramError("usage.wrong", error.message.replace(/^error: /, ""), { hint });
  }
}

function program(command: string | null): string {
  return command === null ? "fixedram" : `fixedram ${command}`;
}

function exampleOf(command: string | null): string | undefined {
  return commands.find((known) => known.name === command)?.examples[0]?.command;
}
