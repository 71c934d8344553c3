/** libvirt's header, against a plain model of it. */
import { libvirtHead } from "../../sound.ts";
import type { Target } from "../engine.ts";
import type { FuzzLib } from "../fuzz-lib.ts";
import { bytesOfHex, bytesOfText, codeOf } from "./shared.ts";

/** An image without the room that libvirt leaves behind its XML. */
function seeds(): Uint8Array[] {
  return [libvirtHead(), libvirtHead({ big: true }), libvirtHead({ cookie: false, format: 6 })].map(
    ({ bytes }) => bytes,
  );
}

export function libvirtTarget(lib: FuzzLib): Target {
  return {
    name: "libvirt",
    meant: /^libvirt\/(header|name)/,
    seeds: seeds(),
    words: [
      ...["LibvirtQemudSave", "LibvirtQemudPart", "</name>", "<name>"].map(bytesOfText),
      ...["00000002", "02000000", "00"].map(bytesOfHex),
    ],
    most: 1024,
    run: (input) => {
      const model = plainImage(input);
      const found = parsed(lib, input);
      if (found !== model) throw new Error(`${found}, the plain model: ${model}`);
    },
  };
}

function parsed(lib: FuzzLib, input: Uint8Array): string {
  try {
    const fields = lib.parseLibvirtFields(input.subarray(0, 92), input.length);
    const header = lib.parseLibvirtData(fields, input.subarray(92, 92 + fields.dataLength));
    const { xml, cookie, byteOrder } = header;
    lib.libvirtName(xml);
    writtenAgain(lib, input, header);
    return `${byteOrder} ${xml.length} ${cookie?.length ?? -1} ${header.streamBase}`;
  } catch (error) {
    codeOf(error);
    return "refused";
  }
}

function writtenAgain(lib: FuzzLib, input: Uint8Array, header: ReturnType<FuzzLib["parseLibvirtData"]>): void {
  const { xml, cookie, wasRunning, format, byteOrder, version, dataLength, cookieOffset } = header;
  const cookieFits = cookieOffset === 0 || cookieOffset === xml.length + 1;
  if (!cookieFits || cookie?.length === 0) return;
  const again = lib.encodeLibvirtHeader({ xml, cookie, wasRunning, format, byteOrder, version, dataLength });
  const start = Uint8Array.from([...input.subarray(0, 16), ...again.subarray(16, 92)]);
  const parsedAgain = lib.parseLibvirtFields(start, input.length);
  if (
    parsedAgain.dataLength !== dataLength ||
    parsedAgain.format !== format ||
    parsedAgain.cookieOffset !== cookieOffset
  )
    throw new Error("written again, it says something else");
}

function plainImage(bytes: Uint8Array): string {
  if (bytes.length < 92 || Buffer.from(bytes.subarray(0, 16)).toString("latin1") !== "LibvirtQemudSave")
    return "refused";
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const little = view.getUint32(16, true) <= 2;
  const [version = 0, length = 0, , format = 0, cookie = 0] = [16, 20, 24, 28, 32].map((at) =>
    view.getUint32(at, little),
  );
  if (version < 1 || version > 2 || format > 6 || length < 2 || length > 2 ** 24) return "refused";
  if (92 + length > bytes.length || cookie >= length) return "refused";
  const data = Buffer.from(bytes.buffer, bytes.byteOffset + 92, length);
  const xml = data.subarray(0, cookie === 0 ? length : cookie).indexOf(0);
  const end = cookie === 0 ? -1 : data.subarray(cookie).indexOf(0);
  if (xml <= 0 || (cookie !== 0 && end < 0)) return "refused";
  return `${little ? "little" : "big"} ${xml} ${end} ${92 + length}`;
}
