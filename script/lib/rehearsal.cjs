/**
 * What the build plays through so that the code cache holds all that a lazy resume calls: a small guest, and a QEMU that is none.
 *
 *     node script/lib/rehearsal.cjs stream FILE     writes the guest as a migration stream (docs/format.md)
 *     node script/lib/rehearsal.cjs QEMU-ARGUMENTS  speaks QMP at its -qmp socket, takes a lazily loaded guest, asks for pages, and ends
 */
const { writeFileSync } = require("node:fs");
const { createServer } = require("node:net");

const block = "pc.ram";
const page = 4096;
const pages = 1024;
const section = 2;

const numbers = (...values) => Buffer.concat(values.map(([size, value]) => number(size, value)));
const number = (size, value) => {
  const bytes = Buffer.alloc(size);
  if (size === 8) bytes.writeBigUInt64BE(BigInt(value));
  else bytes.writeUIntBE(value, 0, size);
  return bytes;
};
const named = (size, text) => Buffer.concat([number(size, text.length), Buffer.from(text)]);
const footer = (id) => numbers([1, 0x7e], [4, id]);

function stream() {
  const end = Buffer.concat([number(8, 0x10), footer(section)]);
  const data = [];
  for (let i = 0; i < pages; i += 2) {
    // Every other page, and runs of them: holes and extents of both kinds.
    if (i % 64 >= 48) continue;
    const first = data.length === 0;
    data.push(
      number(8, i * page + (first ? 0x08 : 0x28)),
      ...(first ? [named(1, block)] : []),
      Buffer.alloc(page, 1 + (i % 200)),
    );
  }
  const device = Buffer.alloc(64, 7);
  const vmdesc = JSON.stringify({
    page_size: page,
    devices: [{ name: "timer", instance_id: 0, fields: [{ name: "data", type: "buffer", size: device.length }] }],
  });
  return Buffer.concat([
    ...[Buffer.from("QEVM"), number(4, 3), number(1, 0x07), named(4, "rehearsal")],
    ...[numbers([1, 0x01], [4, section]), named(1, "ram"), numbers([4, 0], [4, 4], [8, pages * page + 4])],
    ...[named(1, block), number(8, pages * page), end],
    ...[numbers([1, 0x02], [4, section]), ...data, end, numbers([1, 0x03], [4, section]), end],
    ...[numbers([1, 0x04], [4, 30]), named(1, "timer"), numbers([4, 0], [4, 1]), device, footer(30)],
    ...[number(1, 0), number(1, 0x06), named(4, vmdesc)],
  ]);
}

const capabilities = { events: false, "postcopy-ram": false, "postcopy-blocktime": false, multifd: false };
let migration = "none";
let tell = () => {};

/** REQ_PAGES_ID of one page. */
const request = (index) =>
  Buffer.concat([numbers([2, 3], [2, 13 + block.length], [8, index * page], [4, page]), named(1, block)]);

/** Takes in all that comes; what it means is known beforehand. */
function destination(socket) {
  let last = Buffer.alloc(0);
  let shut = false;
  // Answered from when the package is on its way: a scan, pages here and there, zeros among them.
  for (const index of [0, 1, 32, 64, 65, 700, 50, 900]) socket.write(request(index));
  setTimeout(() => {
    socket.write(numbers([2, 2], [2, 4], [4, 2]));
    tell("RESUME");
  }, 20);
  socket.on("data", (bytes) => {
    last = Buffer.concat([last, bytes]).subarray(-19);
    // RAM END, its footer, the end of the stream.
    if (shut || last.length < 19 || last[0] !== 3 || last[13] !== 0x7e || last[18] !== 0) return;
    shut = true;
    // Until then the page server lives, and is looked at (code-cache.cjs).
    setTimeout(() => {
      migration = "completed";
      socket.end(numbers([2, 1], [2, 4], [4, 0]));
    }, 500);
  });
  socket.on("error", () => {});
}

const answers = {
  "query-memdev": () => [{ id: block, size: pages * page, share: false }],
  "query-status": () => ({ status: migration === "none" ? "inmigrate" : "running", running: migration !== "none" }),
  "query-block": () => [],
  "query-migrate": () => (migration === "none" ? {} : { status: migration }),
  "query-migrate-capabilities": () =>
    Object.entries(capabilities).map(([capability, state]) => ({ capability, state })),
  "query-migrate-parameters": () => ({ "max-bandwidth": 1 }),
  "qom-get": ({ path, property }) =>
    property === "mem-path" ? undefined : path === "/machine" ? `/objects/${block}` : "memory-backend-ram",
  "human-monitor-command": () =>
    `${block}    4 KiB  0x0000000000000000 0x${(pages * page).toString(16)} 0x${(pages * page).toString(16)} 0x0\r\n`,
  "migrate-set-capabilities": ({ capabilities: list }) => {
    for (const { capability, state } of list) capabilities[capability] = state;
    return {};
  },
  "migrate-incoming": ({ uri }) => {
    createServer((socket) => {
      migration = "postcopy-active";
      destination(socket);
    }).listen(uri.replace(/^unix:/, ""));
    return {};
  },
};

function qemu(words) {
  const path = /^unix:(.*?),server/.exec(words[words.indexOf("-qmp") + 1])[1];
  createServer((socket) => {
    const send = (message) => socket.write(`${JSON.stringify(message)}\r\n`);
    tell = (event) => send({ event, data: {}, timestamp: { seconds: 1, microseconds: 0 } });
    send({ QMP: { version: { qemu: { major: 7, minor: 2, micro: 0 }, package: "" }, capabilities: ["oob"] } });
    let text = "";
    socket.on("data", (bytes) => {
      const lines = (text + bytes).split("\n");
      text = lines.pop();
      for (const line of lines) {
        const { execute, arguments: args, id } = JSON.parse(line);
        const answer = (answers[execute] ?? (() => ({})))(args);
        send(answer === undefined ? { error: { class: "GenericError", desc: "no" }, id } : { return: answer, id });
      }
    });
    socket.on("close", () => process.exit(0));
    socket.on("error", () => {});
  }).listen(path);
}

const [word, file] = process.argv.slice(2);
if (word === "stream") writeFileSync(file, stream());
else qemu(process.argv.slice(2));
// Whoever rehearses is gone, or something does not go as it should.
setTimeout(() => process.exit(1), 60_000).unref();
