import { encodePacket, PacketReader } from "./packets.ts";
import { GdbSession, type GdbTarget, type Reply } from "./session.ts";

/** What gdb sends, until it leaves, and where answers go. */
export interface GdbWire {
  readonly input: AsyncIterable<Uint8Array>;
  write(bytes: Uint8Array): void | Promise<void>;
}

const ack = Uint8Array.of(0x2b);
const nak = Uint8Array.of(0x2d);

type Event =
  | { readonly kind: "packet"; readonly data: string }
  | { readonly kind: "broken" }
  | { readonly kind: "again" }
  | { readonly kind: "interrupt" };

/** gdb sends a packet again that was not acknowledged in 2 s, as while we start; answered twice, it would take one answer for another's. */
function isSame(event: Event, next: Event | undefined): boolean {
  return event.kind === "packet" && next?.kind === "packet" && event.data === next.data;
}

/**
 * Serves one gdb until it detaches, kills or goes away. Answers one packet after the other; a broken one is asked for again.
 *
 * @returns how many packets were answered
 */
export async function serveGdb(wire: GdbWire, target: GdbTarget): Promise<number> {
  const session = new GdbSession(target);
  const events: Event[] = [];
  const reader = new PacketReader({
    packet: (data) => events.push({ kind: "packet", data }),
    broken: () => events.push({ kind: "broken" }),
    again: () => events.push({ kind: "again" }),
    interrupt: () => events.push({ kind: "interrupt" }),
  });
  let answered = 0;
  let last: readonly Uint8Array[] = [];
  const send = async (reply: Reply) => {
    last = reply.data.map(encodePacket);
    for (const bytes of last) await wire.write(bytes);
    return reply.end === true;
  };
  for await (const bytes of wire.input) {
    reader.push(bytes);
    const came = events.splice(0);
    for (const [i, event] of came.entries()) {
      const acks = !session.noAck;
      if (acks && isSame(event, came[i + 1])) continue;
      if (event.kind === "broken") {
        if (acks) await wire.write(nak);
      } else if (event.kind === "again") {
        for (const each of acks ? last : []) await wire.write(each);
      } else if (event.kind === "interrupt") await send(session.interrupt());
      else {
        if (acks) await wire.write(ack);
        answered++;
        if (await send(await session.answer(event.data))) return answered;
      }
    }
  }
  return answered;
}
