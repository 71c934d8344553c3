import { spawn } from "node:child_process";
import { ExitCode } from "../../errors.ts";
import type { Invocation } from "../command.ts";
import { orderOf } from "../order.ts";
import { safe } from "../render/safe.ts";
import { signalExitCode } from "../terminal.ts";

export async function run(invocation: Invocation): Promise<number> {
  const { operations, signals, env } = invocation.around;
  const file = invocation.word(0);
  const other = invocation.wordIf(1);
  const listen = invocation.text("listen");
  const viewer = await operations.view({
    file,
    ...(other === undefined ? {} : { other }),
    ...(listen === undefined ? {} : { listen }),
    ...orderOf(invocation),
    signal: signals.abort,
  });
  invocation.answer({ file, other: other ?? null, url: viewer.url }, (colors) =>
    [`${colors.bold(viewer.url)}`, colors.dim(`shows ${safe(file)} until Ctrl-C`), ""].join("\n"),
  );
  if (!invocation.flag("no-open")) openBrowser(viewer.ticket(), env);
  await Promise.race([aborted(signals.abort), viewer.ended]);
  await viewer.close();
  const signal = signals.received();
  return signal === null ? ExitCode.ok : signalExitCode(signal);
}

export function aborted(signal: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    if (signal.aborted) resolve();
    else signal.addEventListener("abort", () => resolve(), { once: true });
  });
}

/** @param url on a command line, for all to read. Where there is a screen, its browser; that there is none is no failure, the address is printed. */
export function openBrowser(url: string, env: Readonly<Record<string, string | undefined>>): void {
  const screen = [env.DISPLAY, env.WAYLAND_DISPLAY].some((name) => (name ?? "") !== "");
  if (!screen) return;
  const child = spawn("xdg-open", [url], { stdio: "ignore", detached: true });
  child.on("error", () => undefined);
  child.unref();
}
