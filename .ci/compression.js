// Exchanges messages as a page does, in Chromium and, by npm's ws, in Node, where it may also be the server.
// Each must come back as it was.

function* messages() {
  const records = Array.from({ length: 45_000 }, (_, id) => ({ id, name: `Grüße ${id} 你好 🙂`, price: Math.random() }));
  const text = JSON.stringify(records);
  for (const size of [0, 1, 255, 2_000, 300, 70_000, 2_000, 3_000_000]) {
    // Not inside a character: half of one becomes another.
    const cut = text.slice(0, size).replace(/[\ud800-\udbff]$/, "");
    yield cut;
    yield new TextEncoder().encode(cut);
    yield Uint8Array.from({ length: size }, () => 256 * Math.random());
  }
}

const same = (a, b) => typeof a === "string"
  ? a === b
  : typeof b !== "string" && a.length === b.byteLength && new Uint8Array(b).every((byte, at) => byte === a[at]);

// `ways` are the ways in which a message is sent.
async function talk(ws, ways) {
  const came = [];
  let wake = () => {};
  ws.onmessage = (event) => { came.push(event.data); wake(); };
  ws.onclose = (event) => { came.push(new Error(`closed: ${event.code} ${event.reason}`)); wake(); };
  for (const message of messages()) {
    for (const send of ways) {
      send(message);
      while (came.length === 0) await new Promise((resolve) => { wake = resolve; });
      const got = came.shift();
      if (got instanceof Error) return String(got);
      if (!same(message, got)) return `${message.length} of ${typeof message} came back as ${got.byteLength ?? got.length}`;
    }
  }
  ws.onclose = null;
  ws.close(1000);
  return "all";
}

async function exchange(WebSocket, url, options, waysOf = (ws) => [(message) => ws.send(message)]) {
  const ws = options ? new WebSocket(url, options) : new WebSocket(url);
  ws.binaryType = "arraybuffer";
  const failed = await new Promise((resolve) => {
    ws.onopen = () => resolve();
    ws.onerror = () => resolve("it did not open");
  });
  if (failed) return failed;
  return ws.extensions.startsWith("permessage-deflate") ? talk(ws, waysOf(ws)) : `extensions: ${ws.extensions}`;
}

// Whole, plain, and in fragments of which the middle one is empty.
const waysOfWs = (ws) => [
  (message) => ws.send(message),
  (message) => ws.send(message, { compress: false }),
  (message) => {
    const half = message.length >> 1;
    // A text is not to be cut inside a character.
    const [first, second] = typeof message === "string" && /[\ud800-\udbff]/.test(message[half - 1] ?? "")
      ? [message, ""]
      : [message.slice(0, half), message.slice(half)];
    ws.send(first, { fin: false });
    ws.send(message.slice(0, 0), { fin: false });
    ws.send(second, { fin: true });
  },
];

async function main([folder, role, url]) {
  const ws = require(`${folder}/node_modules/ws`);
  const options = { threshold: 0 };
  if (role === "server") {
    const server = new ws.WebSocketServer({ port: 0, host: "127.0.0.1", maxPayload: 0, perMessageDeflate: options }, () =>
      console.log(`listening on ws://127.0.0.1:${server.address().port}`));
    server.on("connection", async (socket) => {
      socket.binaryType = "arraybuffer";
      const outcome = await talk(socket, waysOfWs(socket));
      if (outcome !== "all") socket.close(4000, outcome.slice(0, 100));
    });
    return;
  }
  const flags = [true, false];
  for (const serverNoContextTakeover of flags) {
    for (const clientNoContextTakeover of flags) {
      for (const serverMaxWindowBits of [9, 15]) {
        const parameters = { ...options, serverNoContextTakeover, clientNoContextTakeover, serverMaxWindowBits };
        const outcome = await exchange(ws, url, { maxPayload: 0, perMessageDeflate: parameters }, waysOfWs);
        if (outcome !== "all") throw new Error(`${JSON.stringify(parameters)}: ${outcome}`);
      }
    }
  }
}

if (typeof require !== "undefined" && require.main === module) main(process.argv.slice(2));
