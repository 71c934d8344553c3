import { common } from "./common.ts";
import type { CommandDefinition } from "./types.ts";

export const completions: CommandDefinition = {
  name: "completions",
  summary: "print completions for a shell",
  description: ["Prints a script that teaches SHELL the commands, options and values of fixedram."],
  arguments: [
    {
      name: "SHELL",
      kind: "choice",
      required: true,
      text: "bash, zsh, fish or powershell",
      choices: ["bash", "zsh", "fish", "powershell"],
    },
  ],
  options: common,
  examples: [
    { command: "source <(fixedram completions bash)", text: "for this bash, or in ~/.bashrc for every one" },
    {
      command: "fixedram completions fish > ~/.config/fish/completions/fixedram.fish",
      text: "for fish, from the next one on",
    },
  ],
};
