import { ExitCode } from "../../errors.ts";
import { badChoice, type Invocation } from "../command.ts";
import { completionScript, shells } from "../generate/completions.ts";

export async function run(invocation: Invocation): Promise<number> {
  const given = invocation.word(0);
  const shell = shells.find((known) => known === given);
  if (shell === undefined) throw badChoice("SHELL", given, shells);
  const script = completionScript(shell);
  invocation.answer({ shell, script }, () => script);
  return ExitCode.ok;
}
