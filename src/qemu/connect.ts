import type { QmpAddress } from "../qmp/address.ts";
import { type ConnectOptions, QmpClient } from "../qmp/client.ts";
import { whoHolds } from "./sockets.ts";

/** QmpClient.connect that can name who keeps a busy socket busy. */
export function connectQmp(
  address: string | QmpAddress,
  options: Omit<ConnectOptions, "whoHolds"> = {},
): Promise<QmpClient> {
  return QmpClient.connect(address, { ...options, whoHolds });
}
