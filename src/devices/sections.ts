import { printable } from "../bytes/text.ts";
import { FixedramError } from "../errors.ts";
import type { DeviceRecord } from "../stream/records.ts";
import { parseVmdesc, type VmdescDevice } from "../stream/vmdesc.ts";
import { decodeDevice, mostValues } from "./decode.ts";
import type { DeviceTree } from "./tree.ts";

/** What {@link DeviceSections} needs of a snapshot. */
export interface WithDevices {
  readonly devices: readonly DeviceRecord[];
  readonly vmdesc: Uint8Array | null;
}

/** The device sections of a snapshot with their descriptions; each is decoded when it is asked for. */
export class DeviceSections {
  readonly records: readonly DeviceRecord[];
  /** Target page size that the vmdesc names, bytes. */
  readonly pageSize: number | null;
  readonly #descriptions = new Map<string, VmdescDevice>();
  /** Values that each section took when it was last decoded, and all of them: callers hold the trees of many. */
  readonly #taken = new Map<DeviceRecord, number>();
  #takenInAll = 0;
  readonly #most: number;

  /**
   * @param most values and subsections that the file's trees may have together
   * @throws `stream.no-vmdesc`, `stream.vmdesc-invalid`
   */
  constructor(snapshot: WithDevices, most = mostValues) {
    const { devices, vmdesc } = snapshot;
    if (vmdesc === null) {
      throw new FixedramError("stream.no-vmdesc", "the snapshot does not describe its device sections", {
        hint: "Machines that write no vmdesc (suppress-vmdesc, and types up to 2.2) can be resumed, but not looked into.",
      });
    }
    const parsed = parseVmdesc(vmdesc);
    this.records = devices;
    this.#most = most;
    this.pageSize = parsed.page_size ?? null;
    for (const device of parsed.devices) this.#descriptions.set(keyOf(device.name, device.instance_id), device);
  }

  /** @throws `stream.device-fields` */
  decode(record: DeviceRecord): DeviceTree {
    const description = this.#descriptions.get(keyOf(record.name, record.instance));
    if (description === undefined) {
      throw new FixedramError("stream.device-fields", "a device section has no description", {
        found: `"${printable(record.name)}" instance ${record.instance}`,
      });
    }
    this.#takenInAll -= this.#taken.get(record) ?? 0;
    const before = this.#most - this.#takenInAll;
    const budget = { left: before, most: this.#most };
    try {
      return decodeDevice(record, description, budget);
    } finally {
      const taken = before - budget.left;
      this.#taken.set(record, taken);
      this.#takenInAll += taken;
    }
  }

  /** The section of this name and instance, decoded; null when there is none. @throws `stream.device-fields` */
  find(name: string, instance = 0): DeviceTree | null {
    const record = this.records.find((each) => each.name === name && each.instance === instance);
    return record === undefined ? null : this.decode(record);
  }
}

/** QEMU's instance is u32 in the stream; JSON may show the top half as negative. */
function keyOf(name: string, instance: number): string {
  return `${instance < 0 ? instance + 2 ** 32 : instance}:${name}`;
}
