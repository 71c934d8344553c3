import { FixedramError } from "../errors.ts";
import type { Viewer } from "../viewer/view.ts";
import type { Invocation } from "./command.ts";
import { aborted, openBrowser } from "./commands/view.ts";

/**
 * What `--view` does for save and resume: serves the page, says where on standard error, and opens the browser.
 *
 * @param open serves it; gets what `--listen` says
 * @returns null without --view
 * @throws `usage.conflict`
 */
export async function beginView<V extends Viewer>(
  invocation: Invocation,
  open: (listen: { readonly listen?: string }) => Promise<V>,
): Promise<V | null> {
  const listen = invocation.text("listen");
  const closed = invocation.flag("no-open");
  if (!invocation.flag("view")) {
    const given = [...(listen === undefined ? [] : ["--listen"]), ...(closed ? ["--no-open"] : [])];
    if (given.length === 0) return null;
    throw new FixedramError("usage.conflict", "that goes together with --view only", {
      found: given.join(" and "),
      expected: "--view",
    });
  }
  const viewer = await open(listen === undefined ? {} : { listen });
  // With --quiet, too: there is no other way to know it.
  invocation.notice({ level: invocation.quiet ? "warning" : "note", code: "view", message: viewer.url });
  if (!closed) openBrowser(viewer.ticket(), invocation.around.env);
  return viewer;
}

/** The work is done: the page stays until Ctrl-C. */
export async function keepView(invocation: Invocation, viewer: Viewer): Promise<void> {
  const { signals } = invocation.around;
  if (signals.received() === null) {
    invocation.notice({ level: "note", code: "view-stays", message: `${viewer.url} stays until Ctrl-C` });
    await Promise.race([aborted(signals.abort), viewer.ended]);
  }
  await viewer.close();
}
