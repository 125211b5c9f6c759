// Opens a WebSocket with the placeholder as a bearer's token, and prints what it is told: `websocket.mjs MODULE`.
const { WebSocket } = await import(process.argv[2]);
const headers = { Authorization: `Bearer ${process.env.TOKEN}` };
const socket = new WebSocket("wss://api.test/websocket", { headers });
socket.on("message", (told) => {
  console.log(String(told));
  socket.close();
});
socket.on("error", (fault) => console.log(String(fault)));
socket.on("close", () => process.exit(0));
