import { spawn } from "node:child_process";
import { FixedramError } from "../../errors.ts";

/** Program that makes kdump files of ELF cores. */
const program = "makedumpfile";
/** What of its words is kept: the last lines say what went wrong. */
const mostSaid = 2000;

/**
 * Has makedumpfile write `core` (an ELF core of ours) as a compressed kdump into `output`, a file that is there. Zero pages are
 * left out, nothing else is.
 *
 * @throws `system.no-makedumpfile`, `system.makedumpfile-failed`; the signal's reason, when the program has ended
 */
export async function makeKdump(core: string, output: string, signal?: AbortSignal): Promise<void> {
  signal?.throwIfAborted();
  const arguments_ = ["-f", "-c", "-d", "1", "--message-level", "4", core, output];
  const child = spawn(program, arguments_, { stdio: ["ignore", "pipe", "pipe"], env: { ...process.env, LC_ALL: "C" } });
  const kill = () => void child.kill("SIGTERM");
  process.once("exit", kill);
  signal?.addEventListener("abort", kill, { once: true });
  let said = "";
  const hear = (text: string) => {
    said = (said + text).slice(-mostSaid);
  };
  child.stdout.setEncoding("utf8").on("data", hear);
  child.stderr.setEncoding("utf8").on("data", hear);
  try {
    const code = await new Promise<number | string>((resolve, reject) => {
      child.once("error", (error: NodeJS.ErrnoException) => reject(missing(error)));
      child.once("close", (status, name) => resolve(status ?? name ?? "unknown"));
    });
    signal?.throwIfAborted();
    if (code !== 0) throw failed(code, said);
  } finally {
    process.removeListener("exit", kill);
    signal?.removeEventListener("abort", kill);
  }
}

function missing(error: NodeJS.ErrnoException): FixedramError {
  return new FixedramError("system.no-makedumpfile", "makedumpfile, which writes kdump files, could not be started", {
    said: error.message,
    hint: "Install it (Debian, Ubuntu: apt install makedumpfile), or write an ELF core: --format elf.",
  });
}

function failed(code: number | string, said: string): FixedramError {
  return new FixedramError("system.makedumpfile-failed", "makedumpfile did not make a kdump file of the guest", {
    found: `it ended with ${code}`,
    said: said.trim().split("\n").slice(-4).join("\n"),
    hint: "It wants a Linux guest with VMCOREINFO. --format elf needs neither.",
  });
}
