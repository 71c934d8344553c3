import type { Address, Spot } from "../shared/address.ts";
import type { ViewTranslation } from "../shared/protocol.ts";
import { getJson } from "./api.ts";
import { showSpot } from "./map/camera.ts";
import { selected, showPane, side } from "./state.ts";

/** Shows an address on the map and in the page pane. Returns what stands in the way, or null. */
export async function goTo(address: Address): Promise<string | null> {
  if ("problem" in address) return address.problem;
  let spot: Spot;
  if ("virtual" in address) {
    try {
      spot = await getJson<ViewTranslation>(
        `api/translate?side=${side.peek()}&address=${encodeURIComponent(address.virtual.replaceAll("_", ""))}`,
      );
    } catch (error) {
      return error instanceof Error ? error.message : String(error);
    }
  } else spot = address.spot;
  selected.value = { block: spot.block, offset: spot.offset };
  showPane("page");
  showSpot(spot);
  return null;
}
