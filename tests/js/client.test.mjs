import assert from "node:assert/strict";
import { test } from "node:test";

import { ChatClient } from "../../static/js/client.js";
import { completed, frame, serve, started, stream, token } from "./server.mjs";

async function run(handler, { options = {}, act = (client) => client.send({ message: "hi" }) } = {}) {
  const server = await serve(handler);
  const client = new ChatClient({ ...server.options, ...options });
  const events = [];
  client.on("*", (event) => events.push(event));
  const followed = act(client);
  const last = await followed.done;
  await server.close();
  const text = events.filter((event) => event.type === "token").map((event) => event.content).join("");
  return { events, last, text, requests: server.requests, run: followed };
}

const types = (events) => events.map((event) => event.type).filter((type) => type !== "connection");

test("a stream arrives as events, in order, with its ids", async () => {
  const { events, last, text, requests } = await run((request, response) => {
    stream(response);
    response.end(": hi\nretry: 10\n\n" + frame("1-1", started) + frame("1-2", token("a")) + frame("1-3", token("b")) + frame("1-4", completed));
  });
  assert.deepEqual(types(events), ["chat_started", "token", "token", "chat_completed"]);
  assert.equal(text, "ab");
  assert.equal(last.id, "1-4");
  assert.match(requests[0].headers["idempotency-key"], /^[0-9a-f]{32}$/);
  assert.deepEqual(JSON.parse(requests[0].text), { message: "hi" });
});

test("a stream cut at every byte goes on without a lost or doubled character", async () => {
  const frames = [frame("1-1", started), frame("1-2", token("ä𝄞")), frame("1-3", token("b")), frame("1-4", token("c")), frame("1-5", completed)];
  const whole = Buffer.from(frames.join(""));
  for (let cut = 0; cut <= whole.length; cut += 1) {
    const { text, last, requests } = await run((request, response, n) => {
      stream(response);
      if (n === 0) {
        response.write(whole.subarray(0, cut));
        return setTimeout(() => response.destroy(), 2);
      }
      const after = Number((request.headers["last-event-id"] ?? "1-0").split("-")[1]);
      const overlap = Math.max(0, after - 1); // a server that repeats one event too many
      return response.end(frames.slice(overlap).join(""));
    });
    assert.equal(text, "ä𝄞bc", `cut at ${cut}`);
    assert.equal(last.type, "chat_completed");
    assert.equal(requests[1]?.method ?? "GET", "GET");
  }
});

test("a POST that gets no answer is sent again with the same key", async () => {
  const { requests, last } = await run((request, response, n) => {
    if (n < 2) return request.socket.destroy();
    stream(response);
    return response.end(frame("1-1", started) + frame("1-2", completed));
  });
  assert.equal(last.type, "chat_completed");
  assert.equal(new Set(requests.map((request) => request.headers["idempotency-key"])).size, 1);
  assert.deepEqual(requests.map((request) => request.method), ["POST", "POST", "POST"]);
});

test("a server that never answers ends with an error one can act on", async () => {
  const { last, requests } = await run((request) => request.socket.destroy());
  assert.equal(last.code, "network");
  assert.equal(last.retryable, true);
  assert.equal(last.started, false);
  assert.equal(requests.length, 5);
});

test("a hole in the ids makes it ask again from before the hole", async () => {
  const { text, requests } = await run((request, response, n) => {
    stream(response);
    if (n === 0) return response.write(frame("1-1", started) + frame("1-2", token("a")) + frame("1-4", token("c")));
    return response.end(frame("1-3", token("b")) + frame("1-4", token("c")) + frame("1-5", completed));
  });
  assert.equal(text, "abc");
  assert.equal(requests[1].headers["last-event-id"], "1-2");
});

test("a hole the server insists on does not hold it for ever", async () => {
  const { text, last } = await run((request, response, n) => {
    stream(response);
    if (n === 0) response.write(frame("1-1", started));
    response.end(frame("1-3", token("b")) + frame("1-4", completed));
  });
  assert.equal(text, "b");
  assert.equal(last.type, "chat_completed");
});

test("a frame that is no JSON is asked for again, then passed over", async () => {
  const { text, requests } = await run((request, response, n) => {
    stream(response);
    const rest = "id: 1-2\nevent: token\ndata: {oops\n\n" + frame("1-3", token("b")) + frame("1-4", completed);
    response.end(n === 0 ? frame("1-1", started) + rest : rest);
  });
  assert.equal(text, "b");
  assert.equal(requests.length, 2);
});

test("silence of two heartbeats is a dead connection", async () => {
  const { text, requests } = await run(
    (request, response, n) => {
      stream(response);
      if (n === 0) return response.write(frame("1-1", started) + frame("1-2", token("a"))); // and never again
      return response.end(frame("1-3", token("b")) + frame("1-4", completed));
    },
    { options: { heartbeatMs: 60 } },
  );
  assert.equal(text, "ab");
  assert.equal(requests.length, 2);
});

for (const [what, deaf] of [
  ["request", () => new Promise(() => {})],
  ["body", async (url, { signal, ...rest }) => fetch(url, rest)],
]) {
  test(`a browser that does not pass on the end of a silent ${what} holds nobody up`, { timeout: 5_000 }, async () => {
    let asked = 0;
    const options = { heartbeatMs: 60, fetch: (...request) => ((asked += 1) === 1 ? deaf(...request) : fetch(...request)) };
    const { text } = await run(
      (request, response) => {
        stream(response);
        response.write(frame("1-1", started) + frame("1-2", token("a")));
        if (what === "body" && asked === 1) return undefined; // and never again
        return response.end(frame("1-3", token("b")) + frame("1-4", completed));
      },
      { options },
    );
    assert.equal(text, "ab");
    assert.ok(asked > 1);
  });
}

test("comments keep a quiet connection alive", async () => {
  const { requests, text } = await run(
    (request, response) => {
      stream(response);
      response.write(frame("1-1", started));
      let beats = 0;
      const timer = setInterval(() => {
        response.write(":\n\n");
        if ((beats += 1) === 10) {
          clearInterval(timer);
          response.end(frame("1-2", token("a")) + frame("1-3", completed));
        }
      }, 40);
    },
    { options: { heartbeatMs: 60 } },
  );
  assert.equal(text, "a");
  assert.equal(requests.length, 1);
});

test("waking cuts a pause short", async () => {
  const begun = Date.now();
  const { last } = await run(
    (request, response, n) => {
      stream(response);
      if (n === 0) return response.end(frame("1-1", started));
      return response.end(frame("1-2", completed));
    },
    {
      options: { retryMs: 25_000, random: () => 1 },
      act: (client) => {
        const followed = client.send({ message: "hi" });
        client.on("connection", ({ state }) => state === "waiting" && setTimeout(() => followed.wake(), 5));
        return followed;
      },
    },
  );
  assert.equal(last.type, "chat_completed");
  assert.ok(Date.now() - begun < 5000);
});

test("the server's retry sets the wait, and waiting is announced", async () => {
  const { events } = await run(
    (request, response, n) => {
      stream(response);
      if (n === 0) return response.end("retry: 123\n\n" + frame("1-1", started));
      return response.end(frame("1-2", completed));
    },
    { options: { random: () => 1 } },
  );
  assert.deepEqual(
    events.filter((event) => event.type === "connection").map((event) => [event.state, event.retryInMs]),
    [["open", null], ["waiting", 123], ["connecting", null], ["open", null]],
  );
});

test("an offline browser says so", async () => {
  const { events } = await run(
    (request, response, n) => (n === 0 ? request.socket.destroy() : (stream(response), response.end(frame("1-1", started) + frame("1-2", completed)))),
    { options: { offline: () => true } },
  );
  assert.ok(events.some((event) => event.type === "connection" && event.state === "offline"));
});

test("a JSON answer is shown all the same", async () => {
  const { events, text, last } = await run((request, response) => {
    response.writeHead(200, { "Content-Type": "application/json" });
    response.end(JSON.stringify({ streamId: "s1", conversationId: "c1", messageId: "m1", userMessageId: "u1", content: "whole", provider: "p" }));
  });
  assert.deepEqual(types(events), ["chat_started", "token", "chat_completed"]);
  assert.equal(text, "whole");
  assert.equal(last.provider, "p");
});

test("a refusal names its field and is not retried", async () => {
  const { last, requests } = await run((request, response) => {
    response.writeHead(400, { "Content-Type": "application/json" });
    response.end(JSON.stringify({ error: { code: "invalid_request", message: "Too long.", field: "message" } }));
  });
  assert.deepEqual([last.code, last.field, last.retryable, last.started], ["invalid_request", "message", false, false]);
  assert.equal(requests.length, 1);
});

test("429 says when to come back", async () => {
  const { last, requests } = await run((request, response) => {
    response.writeHead(429, { "Content-Type": "application/json", "Retry-After": "7" });
    response.end(JSON.stringify({ error: { code: "rate_limited", message: "Slow down." } }));
  });
  assert.deepEqual([last.code, last.retryAfter, last.retryable], ["rate_limited", 7, true]);
  assert.equal(requests.length, 1);
});

test("an HTML error page becomes a plain sentence", async () => {
  const { last } = await run((request, response) => {
    response.writeHead(403, { "Content-Type": "text/html" });
    response.end("<h1>Forbidden</h1>");
  });
  assert.equal(last.code, "http_403");
  assert.ok(!last.message.includes("<"));
});

for (const [status, reason] of [[204, "ended"], [410, "retired"], [404, "not_found"]]) {
  test(`${status} on a resume means: load the conversation`, async () => {
    const { events, last, requests } = await run(
      (request, response) => {
        response.writeHead(status, { "Content-Type": "application/json" });
        response.end(status === 204 ? undefined : JSON.stringify({ error: { code: "x", message: "x", conversationId: "c9" } }));
      },
      { act: (client) => client.resume("s/1", { lastEventId: "1-7" }) },
    );
    assert.equal(last, null);
    const reload = events.find((event) => event.type === "reload");
    assert.equal(reload.reason, reason);
    if (status === 410) assert.equal(reload.conversationId, "c9");
    assert.equal(requests[0].url, "/api/chat/streams/s%2F1");
    assert.equal(requests[0].headers["last-event-id"], "1-7");
  });
}

test("a resume outlives a server that restarts", async () => {
  const { last, requests } = await run(
    (request, response, n) => {
      if (n < 7) return response.writeHead(503).end();
      stream(response);
      return response.end(frame("2-1", token("x")) + frame("2-2", completed));
    },
    { act: (client) => client.resume("s1", { lastEventId: "1-7" }), options: { random: () => 0 } },
  );
  assert.equal(last.type, "chat_completed");
  assert.equal(requests.length, 8);
});

test("stop asked before the stream is known reaches the server when it is", async () => {
  let open;
  const { last, requests } = await run(
    (request, response) => {
      if (request.url.endsWith("/stop")) {
        response.writeHead(202).end();
        return open.end(frame("1-2", { ...completed, finishReason: "stopped" }));
      }
      open = response;
      return setTimeout(() => (stream(response), response.write(frame("1-1", started))), 20);
    },
    {
      act: (client) => {
        const followed = client.send({ message: "hi" });
        client.stop();
        return followed;
      },
    },
  );
  assert.equal(last.finishReason, "stopped");
  assert.equal(requests.at(-1).method, "POST");
  assert.equal(requests.at(-1).url, "/api/chat/streams/s1/stop");
});

test("closing follows no more and leaves the run alone", async () => {
  const { last, requests } = await run(
    (request, response) => {
      stream(response);
      response.write(frame("1-1", started));
    },
    {
      act: (client) => {
        const followed = client.send({ message: "hi" });
        client.on("chat_started", () => followed.close());
        return followed;
      },
    },
  );
  assert.equal(last, null);
  assert.equal(requests.length, 1);
});

test("nothing is delivered after the last event", async () => {
  const { events } = await run((request, response) => {
    stream(response);
    response.end(frame("1-1", started) + frame("1-2", completed) + frame("1-3", token("late")));
  });
  assert.deepEqual(types(events), ["chat_started", "chat_completed"]);
});

test("a listener that throws does not cut the stream, and off is off", async () => {
  const heard = [];
  const report = globalThis.reportError;
  globalThis.reportError = () => {};
  const { last } = await run(
    (request, response) => {
      stream(response);
      response.end(frame("1-1", started) + frame("1-2", token("a")) + frame("1-3", completed));
    },
    {
      act: (client) => {
        client.on("token", () => {
          throw new Error("mine");
        });
        const off = client.on("token", () => heard.push("off"));
        client.on("token", () => heard.push("on"));
        off();
        return client.send({ message: "hi" });
      },
    },
  );
  globalThis.reportError = report;
  assert.equal(last.type, "chat_completed");
  assert.deepEqual(heard, ["on"]);
});
