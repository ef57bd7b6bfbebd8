// A WebSocket and an EventSource, as programs listen with them. Prints what it heard as JSON. Arguments: global|undici (Node's
// own classes, or undici's with its proxy agent), URL of the WebSocket, URL of the events
import * as undici from "undici";

const [kind, socketUrl, eventsUrl] = process.argv.slice(2);
const dispatcher = kind === "undici" ? new undici.EnvHttpProxyAgent() : undefined;
const WebSocket = kind === "undici" ? undici.WebSocket : globalThis.WebSocket;
const EventSource = kind === "undici" ? undici.EventSource : globalThis.EventSource;
const heard = { messages: [], events: [] };

const socket = new WebSocket(socketUrl, { protocols: ["chat"], ...(dispatcher === undefined ? {} : { dispatcher }) });
socket.binaryType = "arraybuffer";
const over = new Promise((resolve, reject) => {
  socket.addEventListener("error", ({ error, message }) => reject(error ?? new Error(message)));
  socket.addEventListener("close", ({ code, reason }) => resolve({ code, reason }));
});
socket.addEventListener("open", () => {
  heard.protocol = socket.protocol;
  heard.extensions = socket.extensions;
  socket.send("text");
  socket.send(new Uint8Array(1 << 20).fill(7));
});
socket.addEventListener("message", ({ data }) => {
  heard.messages.push(typeof data === "string" ? data : data.byteLength);
  if (heard.messages.length === 2) socket.send("close 4321");
});
heard.close = await over;

const source = new EventSource(eventsUrl, dispatcher === undefined ? {} : { dispatcher });
await new Promise((resolve, reject) => {
  source.addEventListener("error", ({ message }) => reject(new Error(message)));
  source.addEventListener("message", ({ data, lastEventId }) => {
    heard.events.push(`${lastEventId} ${data}`);
    if (heard.events.length === 3) resolve();
  });
});
source.close();
process.stdout.write(JSON.stringify(heard));
process.exit();
