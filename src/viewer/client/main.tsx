import { render } from "preact";
import type { ViewComparison } from "../shared/protocol.ts";
import { App } from "./App.tsx";
import { ApiError, follow, getSnapshot } from "./api.ts";
import { forgetBytes } from "./bytes-cache.ts";
import { keepHash } from "./hash.ts";
import { listenToKeys } from "./keys.ts";
import { followLive } from "./live/follow.ts";
import { pictures, tiles } from "./map/MapView.tsx";
import { comparing, failure, notice, showMode, snapshot } from "./state.ts";
import { startTheme } from "./theme.ts";

startTheme();
listenToKeys();

async function start(): Promise<void> {
  try {
    snapshot.value = await getSnapshot();
  } catch (error) {
    const text = error instanceof Error ? error.message : String(error);
    failure.value =
      error instanceof ApiError ? error : new ApiError({ code: "viewer.failed", message: text, hint: null });
    return;
  }
  const { file, other, live } = snapshot.value;
  document.title = `${file.path.split("/").at(-1) ?? "snapshot"} · fixedram`;
  if (live === "resume") showMode("live");
  else if (live === "save") showMode("rewrites");
  else if (other !== null) showMode("changes");
  if (live !== null) void followLive();
  keepHash();
  follow("api/events", {
    snapshot: () => void renew(),
    compare: (now: ViewComparison) => {
      comparing.value = now;
      tiles.renew("changes");
    },
  });
}

/** A file that was being saved has got blocks, or is there. */
async function renew(): Promise<void> {
  try {
    const next = await getSnapshot();
    if (JSON.stringify(next) === JSON.stringify(snapshot.value)) return;
    forgetBytes();
    pictures.forget();
    snapshot.value = next;
    tiles.renew("state");
  } catch (error) {
    notice.value = error instanceof Error ? error.message : String(error);
  }
}

const root = document.getElementById("app");
if (root !== null) render(<App />, root);
void start();
