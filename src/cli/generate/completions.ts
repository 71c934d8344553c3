import { commands, type OptionDefinition, programOptions, type ValueKind } from "../definitions/index.ts";

/**
 * Completion scripts, made from the definitions: plain text that starts no program when Tab is pressed. @bomb.sh/tab, which was
 * looked at first, starts Node for every Tab, adds a hidden `complete` command whose `--` clashes with the one of resume, and
 * offers neither files by their ending nor folders.
 */
export const shells = ["bash", "zsh", "fish", "powershell"] as const;
export type Shell = (typeof shells)[number];

export function completionScript(shell: Shell): string {
  return { bash, zsh, fish, powershell }[shell]();
}

/** What a shell offers for a value. */
function offer(kind: ValueKind): "choices" | "snapshots" | "folders" | "files" | "nothing" {
  if (kind === "choice") return "choices";
  if (kind === "snapshot") return "snapshots";
  if (kind === "folder") return "folders";
  return kind === "file" || kind === "socket" ? "files" : "nothing";
}

function spellings(option: OptionDefinition): string[] {
  return [`--${option.name}`, ...(option.short === undefined ? [] : [`-${option.short}`])];
}

function bash(): string {
  const reply = (kind: ValueKind, choices: readonly string[] = []): string =>
    ({
      choices: `_fixedram_words "${choices.join(" ")}"`,
      snapshots: "_fixedram_snapshots",
      folders: "_fixedram_folders",
      files: "_fixedram_files",
      nothing: ":",
    })[offer(kind)];
  const values: string[] = [];
  const words: string[] = [];
  const operands: string[] = [];
  for (const command of commands) {
    for (const option of command.options) {
      if (option.value === undefined) continue;
      values.push(`    ${command.name}:--${option.name}) ${reply(option.value.kind, option.value.choices)}; return ;;`);
    }
    words.push(`      ${command.name}) _fixedram_words "${command.options.flatMap(spellings).join(" ")}" ;;`);
    const [first] = command.arguments;
    if (first !== undefined) operands.push(`    ${command.name}) ${reply(first.kind, first.choices)} ;;`);
  }
  const names = commands.map((command) => command.name).join(" ");
  const tails = commands.filter((command) => command.tail !== undefined).map((command) => command.name);
  return `# bash completions for fixedram; made by \`fixedram completions bash\`
_fixedram_words() { mapfile -t COMPREPLY < <(compgen -W "$1" -- "$cur"); }
_fixedram_files() { compopt -o filenames 2>/dev/null; mapfile -t COMPREPLY < <(compgen -f -- "$cur"); }
_fixedram_folders() { compopt -o filenames 2>/dev/null; mapfile -t COMPREPLY < <(compgen -d -- "$cur"); }
_fixedram_snapshots() {
  compopt -o filenames 2>/dev/null
  mapfile -t COMPREPLY < <(compgen -d -- "$cur"; compgen -f -X '!*.fram' -- "$cur")
}

_fixedram() {
  local cur=\${COMP_WORDS[COMP_CWORD]} prev=\${COMP_WORDS[COMP_CWORD-1]} command= word i
  COMPREPLY=()
  # --option=value comes as three words.
  if [[ $cur == = ]]; then
    cur=
  elif [[ $prev == = && COMP_CWORD -ge 2 ]]; then
    prev=\${COMP_WORDS[COMP_CWORD-2]}
  fi
  for ((i = 1; i < COMP_CWORD; i++)); do
    word=\${COMP_WORDS[i]}
    case $command:$word in
${tails.map((name) => `      ${name}:--) _fixedram_tail $((i + 1)); return ;;`).join("\n")}
      :-*) ;;
      :*) command=$word ;;
    esac
  done
  case $command:$prev in
${values.join("\n")}
  esac
  if [[ $cur == -* ]]; then
    case $command in
${words.join("\n")}
      "") _fixedram_words "${programOptions.flatMap(spellings).join(" ")}" ;;
    esac
    return
  fi
  case $command in
${operands.join("\n")}
    help) _fixedram_words "${names}" ;;
    "") _fixedram_words "${names} help" ;;
  esac
}

# The words from $1 on are another command.
_fixedram_tail() {
  if declare -F _comp_command_offset >/dev/null; then
    _comp_command_offset "$1"
  elif declare -F _command_offset >/dev/null; then
    _command_offset "$1"
  elif ((COMP_CWORD == $1)); then
    mapfile -t COMPREPLY < <(compgen -c -- "$cur")
  else
    _fixedram_files
  fi
}

complete -F _fixedram fixedram
`;
}

function zsh(): string {
  const described = (text: string): string => text.replace(/[[\]:\\]/g, "\\$&").replaceAll("'", "'\\''");
  const action = (kind: ValueKind, choices: readonly string[] = []): string =>
    ({
      choices: `(${choices.join(" ")})`,
      snapshots: '_files -g "*.fram"',
      folders: "_files -/",
      files: "_files",
      nothing: " ",
    })[offer(kind)];
  const spec = (option: OptionDefinition): string[] => {
    const value = option.value;
    const after = value === undefined ? "" : `:${value.name}:${action(value.kind, value.choices)}`;
    const sign = value === undefined ? "" : "=";
    const all = spellings(option);
    const exclusive = `(${all.join(" ")})`;
    return all.map(
      (name) => `'${exclusive}${name}${name.startsWith("--") ? sign : ""}[${described(option.text)}]${after}'`,
    );
  };
  const cases = commands.map((command) => {
    const lines = command.options.flatMap(spec);
    for (const [index, argument] of command.arguments.entries()) {
      lines.push(`'${index + 1}:${argument.name}:${action(argument.kind, argument.choices)}'`);
    }
    if (command.tail !== undefined) lines.push(`'*:: :_normal'`);
    return `        ${command.name}) _arguments -s ${lines.join(" \\\n          ")} ;;`;
  });
  const lines = commands.map((command) => `'${command.name}:${described(command.summary)}'`);
  return `#compdef fixedram
# zsh completions for fixedram; made by \`fixedram completions zsh\`
_fixedram() {
  local context state state_descr line
  typeset -A opt_args
  local -a names=(${lines.join("\n    ")}
    'help:show help for a command')
  _arguments -C ${programOptions.flatMap(spec).join(" \\\n    ")} \\
    '1: :->command' '*:: :->rest'
  case $state in
    command) _describe -t commands 'fixedram command' names ;;
    rest)
      case $words[1] in
${cases.join("\n")}
        help) _describe -t commands 'fixedram command' names ;;
      esac ;;
  esac
}
if [[ $funcstack[1] == _fixedram ]]; then
  _fixedram "$@"
else
  compdef _fixedram fixedram
fi
`;
}

function fish(): string {
  const quote = (text: string): string => `'${text.replaceAll("\\", "\\\\").replaceAll("'", "\\'")}'`;
  const action = (kind: ValueKind, choices: readonly string[] = []): string =>
    ({
      choices: ` -x -a ${quote(choices.join(" "))}`,
      snapshots: ` -x -a '(__fish_complete_suffix .fram)'`,
      folders: ` -x -a '(__fish_complete_directories)'`,
      files: " -r -F",
      nothing: " -x",
    })[offer(kind)];
  const flags = (option: OptionDefinition): string =>
    `-l ${option.name}${option.short === undefined ? "" : ` -s ${option.short}`}`;
  const lines = [
    "# fish completions for fixedram; made by `fixedram completions fish`",
    "complete -c fixedram -f",
    ...programOptions.map(
      (option) => `complete -c fixedram -n __fish_use_subcommand ${flags(option)} -d ${quote(option.text)}`,
    ),
    ...commands.map((c) => `complete -c fixedram -n __fish_use_subcommand -a ${c.name} -d ${quote(c.summary)}`),
    "complete -c fixedram -n __fish_use_subcommand -a help -d 'show help for a command'",
    `complete -c fixedram -n '__fish_seen_subcommand_from help' -a ${quote(commands.map((c) => c.name).join(" "))}`,
  ];
  for (const command of commands) {
    const beforeTail = command.tail === undefined ? "" : "; and not contains -- -- (commandline -opc)";
    const seen = `-n ${quote(`__fish_seen_subcommand_from ${command.name}${beforeTail}`)}`;
    for (const option of command.options) {
      const value = option.value === undefined ? "" : action(option.value.kind, option.value.choices);
      lines.push(`complete -c fixedram ${seen} ${flags(option)}${value} -d ${quote(option.text)}`);
    }
    const [first] = command.arguments;
    if (first !== undefined) lines.push(`complete -c fixedram ${seen}${action(first.kind, first.choices)}`);
    if (command.tail !== undefined) {
      const after = `__fish_seen_subcommand_from ${command.name}; and contains -- -- (commandline -opc)`;
      lines.push(`complete -c fixedram -n ${quote(after)} -F`);
    }
  }
  return `${lines.join("\n")}\n`;
}

function powershell(): string {
  const quote = (text: string): string => `'${text.replaceAll("'", "''")}'`;
  const list = (texts: readonly string[]): string => `@(${texts.map(quote).join(", ")})`;
  const options = commands.map((c) => `    ${quote(c.name)} = ${list(c.options.flatMap(spellings))}`);
  const choices: string[] = [];
  for (const command of commands) {
    for (const option of command.options) {
      if (option.value?.choices === undefined) continue;
      choices.push(`    ${quote(`${command.name} --${option.name}`)} = ${list(option.value.choices)}`);
    }
    const [first] = command.arguments;
    if (first?.choices !== undefined) choices.push(`    ${quote(command.name)} = ${list(first.choices)}`);
  }
  return `# PowerShell completions for fixedram; made by \`fixedram completions powershell\`
Register-ArgumentCompleter -Native -CommandName fixedram -ScriptBlock {
  param($wordToComplete, $commandAst, $cursorPosition)
  $options = @{
${options.join("\n")}
  }
  $choices = @{
${choices.join("\n")}
  }
  $before = @($commandAst.CommandElements | Where-Object { $_.Extent.EndOffset -lt $cursorPosition } | ForEach-Object { "$_" })
  if ($before -contains '--') { return }
  $command = @($before | Select-Object -Skip 1 | Where-Object { $_ -notlike '-*' })[0]
  $offers = if (-not $command) { ${list([...commands.map((c) => c.name), "help", ...programOptions.flatMap(spellings)])} }
    elseif ($choices.ContainsKey("$command $($before[-1])")) { $choices["$command $($before[-1])"] }
    elseif ($wordToComplete -like '-*') { $options[$command] }
    else { $choices[$command] }
  $offers | Where-Object { $_ -like "$wordToComplete*" } | ForEach-Object {
    [System.Management.Automation.CompletionResult]::new($_, $_, 'ParameterValue', $_)
  }
}
`;
}
