/** Writes man/ and completions/ from the command line's definitions: `node --import tsx script/cli-files.ts`. */
import { mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { completionScript, shells } from "../src/cli/generate/completions.ts";
import { manPage } from "../src/cli/generate/man.ts";

const { version } = JSON.parse(readFileSync(new URL("../package.json", import.meta.url), "utf8")) as {
  version: string;
};
const names = { bash: "fixedram.bash", zsh: "_fixedram", fish: "fixedram.fish", powershell: "fixedram.ps1" };
const root = new URL("../", import.meta.url);
for (const folder of ["man", "completions"]) mkdirSync(new URL(folder, root), { recursive: true });
writeFileSync(new URL("man/fixedram.1", root), manPage(version));
for (const shell of shells) writeFileSync(new URL(`completions/${names[shell]}`, root), completionScript(shell));
