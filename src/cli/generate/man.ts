import {
  type CommandDefinition,
  commands,
  exitCodes,
  type OptionDefinition,
  programOptions,
  summary,
} from "../definitions/index.ts";

/** The man page fixedram(1) in man(7) macros, made from the definitions. */
export function manPage(version: string): string {
  return [
    `.\\" Made by script/cli-files.ts from src/cli/definitions/index.ts; do not edit.`,
    `.TH FIXEDRAM 1 "" "fixedram ${roff(version)}" "User Commands"`,
    ".SH NAME",
    `fixedram \\- snapshots of a virtual machine's memory with every page at a fixed place`,
    ".SH SYNOPSIS",
    ...commands.flatMap(synopsis),
    ".SY fixedram",
    ".B help",
    "[\\fICOMMAND\\fR]",
    ".YS",
    ".SY fixedram",
    ".B \\-\\-version",
    ".YS",
    ".SH DESCRIPTION",
    roff(summary),
    "Snapshots end in .fram by convention. They are QEMU's mapped\\-ram format with a seal at the end.",
    ".PP",
    "Standard output carries the answer, standard error the rest.",
    ...commands.flatMap(commandSection),
    ".SH OPTIONS WITHOUT A COMMAND",
    ...programOptions.flatMap(optionEntry),
    ".SH VALUES",
    "A size is a number and a unit: K, M, G, T and KiB to TiB count in 1024s, KB to TB in 1000s; without a unit it is bytes.",
    "A time is one or more numbers with units, h, m, s, ms, as in 1h30m.",
    ".SH EXIT STATUS",
    ...exitCodes.flatMap(({ code, text }) => [".TP", `.B ${roff(code)}`, roff(text)]),
    ".PP",
    "resume ends with the exit code of the QEMU that it started.",
    ".SH ENVIRONMENT",
    ...entry("NO_COLOR", "no colours, when not empty"),
    ...entry("FORCE_COLOR", "colours although no terminal reads them, unless it is 0; NO_COLOR wins"),
    ...entry("FIXEDRAM_DEBUG", "when 1, errors come with the place in the code where they happened"),
    ".SH SECURITY",
    "A snapshot holds the guest's whole memory, with every key and password in it.",
    "It is written readable by its owner only; keep it so.",
    ".SH SEE ALSO",
    ".BR qemu\\-system\\-x86_64 (1)",
    "",
  ].join("\n");
}

function entry(name: string, text: string): string[] {
  return [".TP", `.B ${name}`, roff(text)];
}

function synopsis(command: CommandDefinition): string[] {
  const lines = [".SY fixedram", `.B ${command.name}`];
  for (const argument of command.arguments)
    lines.push(argument.required ? `.I ${argument.name}` : `[\\fI${argument.name}\\fR]`);
  for (const option of command.options) {
    if (["json", "quiet", "help"].includes(option.name)) continue;
    const value = option.value === undefined ? "" : ` \\fI${option.value.name}\\fR`;
    const text = `\\fB\\-\\-${roff(option.name)}\\fR${value}`;
    lines.push(option.required === true ? text : `[${text}]`);
  }
  if (command.tail !== undefined) lines.push(`[\\fB\\-\\-\\fR \\fI${roff(command.tail.name)}\\fR .\\|.\\|.\\&]`);
  return [...lines, ".YS"];
}

function commandSection(command: CommandDefinition): string[] {
  return [
    `.SH ${command.name.toUpperCase()}`,
    ...command.description.flatMap((paragraph, index) => (index === 0 ? [roff(paragraph)] : [".PP", roff(paragraph)])),
    ...command.options.flatMap(optionEntry),
    ...(command.tail === undefined
      ? []
      : [".TP", `\\fB\\-\\-\\fR \\fI${roff(command.tail.name)}\\fR .\\|.\\|.\\&`, roff(command.tail.text)]),
    ".PP",
    "Examples:",
    ...command.examples.flatMap((example) => [
      ".PP",
      `${roff(example.text)}:`,
      ".PP",
      ".EX",
      roff(example.command),
      ".EE",
    ]),
  ];
}

function optionEntry(option: OptionDefinition): string[] {
  const short = option.short === undefined ? "" : `\\fB\\-${option.short}\\fR, `;
  const value = option.value === undefined ? "" : ` \\fI${option.value.name}\\fR`;
  return [".TP", `${short}\\fB\\-\\-${roff(option.name)}\\fR${value}`, roff(option.text)];
}

/** Plain text for roff: dashes that can be copied, nothing taken for a request. */
function roff(text: string): string {
  return text
    .replaceAll("\\", "\\e")
    .replaceAll("-", "\\-")
    .replaceAll("~", "\\(ti")
    .replace(/^([.'])/, "\\&$1");
}
