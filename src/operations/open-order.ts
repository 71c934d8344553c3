import { FixedramError } from "../errors.ts";
import { fitsOtherOrder } from "../fixedram/order-check.ts";
import type { FixedRamFile } from "../fixedram/reader.ts";
import type { Seal } from "../fixedram/seal.ts";
import type { OpenSnapshotOptions } from "./open.ts";

const orders = { true: "big-endian", false: "little-endian" } as const;

/**
 * The words of the bitmaps must stand in the order they were read in: as the seal says, or, without one, so that the pages do not
 * contradict it. Who insists on the usual order (`bigEndian: false`) is believed.
 *
 * @throws `usage.byte-order`: another order was asked for than the seal tells; `file.byte-order`: the pages fit the other order
 */
export async function requireOrder(
  opened: FixedRamFile,
  { bigEndian: wanted, anyOrder, signal }: OpenSnapshotOptions,
): Promise<void> {
  const { bigEndian, seal } = opened;
  if (seal.state === "sealed") return requireSealedOrder(seal.seal, wanted, opened.store.name);
  if (wanted === false || anyOrder === true || !(await fitsOtherOrder(opened, signal))) return;
  throw new FixedramError(
    "file.byte-order",
    `the file's bitmaps do not stand ${orders[`${bigEndian}`]}: read ${orders[`${!bigEndian}`]} they fit its pages`,
    {
      path: opened.store.name,
      found:
        "pages that are said to be there and are zero, or bits behind a block's end; none of either when read the other way",
      hint: hintFor(opened),
    },
  );
}

function hintFor({ bigEndian, seal }: FixedRamFile): string {
  if (bigEndian) return "Leave --big-endian out; if the file is a libvirt image, give --little-endian.";
  const asItIs = "To take it as it is all the same, give --little-endian.";
  // What the seal said of the order is lost with it.
  if (seal.reason !== null)
    return `The file's seal cannot be relied on: ${seal.reason.message} [${seal.reason.code}]. Look at fixedram verify FILE; if a big-endian host (s390x) wrote the file, give --big-endian. ${asItIs}`;
  return `If a big-endian host (s390x) wrote it, give --big-endian, or seal it so once: fixedram seal --big-endian FILE. ${asItIs}`;
}

/** @throws `usage.byte-order`: another order was asked for than the seal tells */
export function requireSealedOrder({ bigEndian }: Seal, wanted: boolean | undefined, path: string): void {
  if (wanted === undefined || wanted === bigEndian) return;
  const [here, there] = [orders[`${bigEndian}`], orders[`${!bigEndian}`]];
  throw new FixedramError("usage.byte-order", `the file's seal says that its bitmaps stand ${here}`, {
    path,
    expected: `--${here}, or neither of the two options`,
    found: `--${there}`,
    hint: "A sealed file tells by itself how it is to be read. Of two files that are compared, seal the one without a seal first.",
  });
}
