/**
 * Messages on the return path, from the side that loads to the side that saves: u16 type, u16 length, data, big-endian
 * (docs/format.md, "Return path"; QEMU docs/devel/migration).
 *
 * A source that was told to open a return path commits to nothing before SHUT: 0 says "the other side has the guest",
 * anything else, or a closed socket, says "go on running yourself".
 */

const SHUT = 1;
const PONG = 2;

/** Verdict on the whole stream. `accepted` false: the source keeps its guest and goes on. */
export function shutMessage(accepted: boolean): Uint8Array {
  return message(SHUT, accepted ? 0 : 1);
}

/** Answer to command 2 (PING), with its value. */
export function pongMessage(value: number): Uint8Array {
  return message(PONG, value);
}

function message(type: number, value: number): Uint8Array {
  const bytes = new Uint8Array(8);
  const view = new DataView(bytes.buffer);
  view.setUint16(0, type);
  view.setUint16(2, 4);
  view.setUint32(4, value);
  return bytes;
}
