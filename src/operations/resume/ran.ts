import type { Snapshot } from "../../containers/snapshot.ts";
import type { QmpClient } from "../../qmp/client.ts";
import { cont, queryStatus } from "../../qmp/commands.ts";
import { recordedImage } from "../convert/meta.ts";
import type { Notice } from "../progress.ts";

/**
 * libvirt stops a guest before it saves it, so its streams say "paused" of every guest; whether it ran stands in the image's head
 * (and in the record of a file converted from it), and `virsh restore` goes by that. So do we.
 *
 * @param paused the caller wants it paused
 * @param asIs the QEMU was told not to let a guest run (-S)
 */
export async function runAsLibvirtWould(
  client: QmpClient,
  { libvirt, meta }: Pick<Snapshot, "libvirt" | "meta">,
  { paused, asIs }: { readonly paused: boolean; readonly asIs: boolean },
  notice: (notice: Notice) => void,
): Promise<void> {
  const image = libvirt ?? recordedImage(meta);
  if (image === null || (await queryStatus(client)).status !== "paused") return;
  const tell = (message: string) => notice({ level: "note", code: "libvirt-run-state", message });
  if (!image.wasRunning) tell("the guest was paused when libvirt saved it, and stays so");
  else if (paused || asIs) tell("the guest ran when libvirt saved it; it is left paused, as asked for");
  else {
    await cont(client);
    tell("the guest ran when libvirt saved it, so it runs on");
  }
}
