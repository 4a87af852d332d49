// A real HTTP server on a free loopback port that plays one script per request, for the client's tests.

import { createServer } from "node:http";

export const frame = (id, event) => `id: ${id}\nevent: ${event.type}\ndata: ${JSON.stringify(event)}\n\n`;
export const started = { type: "chat_started", streamId: "s1", conversationId: "c1", userMessageId: "u1", messageId: "m1" };
export const completed = { type: "chat_completed", messageId: "m1", provider: "p", model: "m", finishReason: "stop" };
export const token = (content) => ({ type: "token", content });

export function stream(response, headers = {}) {
  response.writeHead(200, { "Content-Type": "text/event-stream", Location: "/api/chat/streams/s1", ...headers });
}

// `handler(request, response, n)` gets request.text and the number of the request, from 0.
export async function serve(handler) {
  const requests = [];
  const server = createServer((request, response) => {
    let text = "";
    request.on("data", (chunk) => (text += chunk));
    request.on("end", () => {
      request.text = text;
      requests.push(request);
      handler(request, response, requests.length - 1);
    });
  });
  await new Promise((resolve) => server.listen(0, "127.0.0.1", resolve));
  const base = `http://127.0.0.1:${server.address().port}`;
  const close = () => {
    server.closeAllConnections();
    return new Promise((resolve) => server.close(resolve));
  };
  return { base, requests, close, options: { endpoint: `${base}/api/chat/stream`, streams: `${base}/api/chat/streams`, retryMs: 10 } };
}
