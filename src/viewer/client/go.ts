import type { Address } from "../shared/address.ts";
import { showSpot } from "./map/camera.ts";
import { selected, showPane } from "./state.ts";

/** Shows an address on the map and in the page pane. Returns what stands in the way, or null. */
export async function goTo(address: Address): Promise<string | null> {
  if ("problem" in address) return address.problem;
  if ("virtual" in address) return "Virtual addresses are not known here.";
  selected.value = address.spot;
  showPane("page");
  showSpot(address.spot);
  return null;
}
