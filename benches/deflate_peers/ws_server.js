// The echo server with ws: ws_server.js LEVEL FOLDER

const [level, folder] = process.argv.slice(2);
const { WebSocketServer } = require(`${folder}/node_modules/ws`);
const perMessageDeflate = { threshold: 0, zlibDeflateOptions: { level: Number(level), memLevel: 8 } };

const server = new WebSocketServer({ port: 0, host: "127.0.0.1", perMessageDeflate }, () => {
  console.log(`127.0.0.1:${server.address().port}`);
});
server.on("connection", (socket) => {
  socket.on("message", (data, isBinary) => socket.send(data, { binary: isBinary }));
  socket.on("error", () => {});
});

// Ends with the load.
process.stdin.resume().on("end", () => process.exit());
