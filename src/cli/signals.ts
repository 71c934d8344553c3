import { FixedramError } from "../errors.ts";
import { type Signals, signalExitCode } from "./terminal.ts";

const names: readonly NodeJS.Signals[] = ["SIGINT", "SIGTERM", "SIGHUP"];

/**
 * Turns SIGINT, SIGTERM and SIGHUP into one AbortSignal. A second one ends this process at once: the operations leave the
 * guest safe even then, only a temporary file may stay.
 */
export function watchSignals(onFirst: (name: NodeJS.Signals) => void): Signals & { readonly release: () => void } {
  const controller = new AbortController();
  let received: NodeJS.Signals | null = null;
  let heir: number | null = null;
  let heirHearsTerminal = true;
  let explain: (() => void) | null = null;

  const listener = (name: NodeJS.Signals): void => {
    if (heir !== null) {
      // The terminal sends Ctrl-C to the whole foreground group: QEMU has it already.
      if (name === "SIGINT" && heirHearsTerminal) return;
      // Meant for both: who was told to end does not stay behind for a page that is open.
      received = name;
      passOn(heir, name);
      return;
    }
    if (explain !== null && name === "SIGINT") {
      explain();
      explain = null;
      return;
    }
    if (received !== null) process.exit(signalExitCode(name));
    received = name;
    onFirst(name);
    controller.abort(new FixedramError("interrupted.signal", `ended by ${name}`));
  };
  for (const name of names) process.on(name, listener);

  return {
    abort: controller.signal,
    received: () => received,
    handOver: (pid, ownSession = false) => {
      heir = pid;
      heirHearsTerminal = !ownSession;
      // One that came between the end of the loading and now would be lost.
      if (received !== null) passOn(pid, received);
    },
    takeBack: () => {
      heir = null;
    },
    hold: (text) => {
      explain = text;
      return () => {
        explain = null;
      };
    },
    release: () => {
      for (const name of names) process.removeListener(name, listener);
    },
  };
}

function passOn(pid: number, name: NodeJS.Signals): void {
  try {
    process.kill(pid, name);
  } catch {
    // It has ended already.
  }
}
