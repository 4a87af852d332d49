import assert from "node:assert/strict";
import { test } from "node:test";

import { Answer } from "../../static/js/answer.js";
import { ChatClient } from "../../static/js/client.js";
import { createChatStore } from "../../static/js/store.js";
import { applyUpdate, newWorkflow, stages } from "../../static/js/workflow.js";
import { completed, frame, serve, started, stream, token } from "./server.mjs";

async function withStore(handler, act, fields = {}) {
  const server = await serve(handler);
  const store = createChatStore({ client: new ChatClient(server.options), ...fields });
  const changes = [];
  store.subscribe((change) => changes.push(change));
  const last = await act(store);
  await server.close();
  return { store, changes, last, requests: server.requests };
}

const answering = (...events) => (request, response) => {
  stream(response);
  response.end(events.map((event, index) => frame(`1-${index + 1}`, event)).join(""));
};

test("a question and its answer become two messages of one conversation", async () => {
  const { store, requests } = await withStore(
    answering(started, { ...token("He"), metadata: { provider: "groq", model: "x" } }, token("llo"), completed),
    (store) => store.sendMessage("Hi", { assistantType: "trader" }).done,
  );
  const { messages, conversationId, isStreaming } = store.getSnapshot();
  assert.deepEqual(messages.map(({ id, role, content, status }) => [id, role, content, status]), [
    ["u1", "user", "Hi", "complete"],
    ["m1", "assistant", "Hello", "complete"],
  ]);
  assert.equal(conversationId, "c1");
  assert.equal(isStreaming, false);
  assert.deepEqual(JSON.parse(requests[0].text), { message: "Hi", render: "text", assistantType: "trader" });
});

test("snapshots are immutable, stable between changes and new after one", async () => {
  const seen = [];
  const { store } = await withStore(answering(started, token("a"), token("b"), completed), (store) => {
    store.subscribe(() => seen.push(store.getSnapshot()));
    assert.equal(store.getSnapshot(), store.getSnapshot());
    return store.sendMessage("Hi").done;
  });
  assert.equal(store.getSnapshot(), store.getSnapshot());
  const contents = [...new Set(seen)].map((snapshot) => snapshot.messages[1].content);
  assert.deepEqual([...new Set(contents)], ["", "a", "ab"]);
  assert.ok(Object.isFrozen(seen[0]) && Object.isFrozen(seen[0].messages) && Object.isFrozen(seen[0].messages[1]));
  assert.equal(seen[0].isStreaming, true);
});

test("a switch truncates to the offset in code points, and its sentence is kept", async () => {
  const change = { type: "provider_switch", from: "a", to: "b", mode: "restart", discardFrom: 3, message: "b began again." };
  const { store } = await withStore(answering(started, token("a𝄞𝄞lost"), change, token("found"), completed), (store) => store.sendMessage("Hi").done);
  assert.equal(store.messages[1].content, "a𝄞𝄞found");
  assert.deepEqual(store.messages[1].notes, ["b began again."]);
});

test("reasoning is kept apart", async () => {
  const { store } = await withStore(
    answering(started, { ...token("hm"), channel: "reasoning" }, token("yes"), completed),
    (store) => store.sendMessage("Hi").done,
  );
  assert.equal(store.messages[1].reasoning, "hm");
  assert.equal(store.messages[1].content, "yes");
});

test("an error at the end keeps the text", async () => {
  const fault = { type: "error", code: "upstream", message: "It broke.", retryable: true, partial: true };
  const { store } = await withStore(answering(started, token("part"), fault), (store) => store.sendMessage("Hi").done);
  const answer = store.messages[1];
  assert.deepEqual([answer.status, answer.content, answer.error.code], ["error", "part", "upstream"]);
  assert.equal(store.error, null);
});

test("a question that was not taken leaves the transcript, and retry sends it with the same key", async () => {
  let limited = true;
  const { store, requests } = await withStore(
    (request, response) => {
      if (!limited) return answering(started, token("ok"), completed)(request, response);
      limited = false;
      return response.writeHead(429, { "Retry-After": "2" }).end('{"error":{"code":"rate_limited","message":"Slow."}}');
    },
    async (store) => {
      await store.sendMessage("Hi").done;
      assert.equal(store.messages.length, 0);
      assert.deepEqual([store.error.code, store.error.retryAfter], ["rate_limited", 2]);
      return store.retry().done;
    },
  );
  assert.equal(store.error, null);
  assert.deepEqual(store.messages.map((message) => message.content), ["Hi", "ok"]);
  assert.equal(requests[0].headers["idempotency-key"], requests[1].headers["idempotency-key"]);
});

const HISTORY = [
  { id: "u1", role: "user", content: "Q", assistantType: "trader", context: { symbols: ["KO"] } },
  { id: "m1", role: "assistant", content: "A", status: "complete", siblings: ["m1"] },
];

test("again asks below the same question and shows one more sibling", async () => {
  const { store, requests } = await withStore(
    answering({ ...started, messageId: "m2" }, token("B"), { ...completed, messageId: "m2" }),
    (store) => store.regenerate("m1").done,
    { conversationId: "c1", messages: HISTORY },
  );
  assert.deepEqual(store.messages.map(({ id, content }) => [id, content]), [["u1", "Q"], ["m2", "B"]]);
  assert.deepEqual(store.messages[1].siblings, ["m1", "m2"]);
  const body = JSON.parse(requests[0].text);
  assert.deepEqual([body.parentMessageId, body.conversationId, body.assistantType], ["u1", "c1", "trader"]);
});

test("again that is not taken leaves the old answer", async () => {
  const { store } = await withStore(
    (request, response) => response.writeHead(429).end(),
    (store) => store.regenerate("m1").done,
    { conversationId: "c1", messages: HISTORY },
  );
  assert.deepEqual(store.messages.map(({ id }) => id), ["u1", "m1"]);
});

test("a page made in the middle of an answer goes on from its last event", async () => {
  const growing = { id: "m1", role: "assistant", content: "one ", streamId: "s1", lastEventId: "1-2", status: "streaming" };
  const { store, requests } = await withStore(
    (request, response) => (stream(response), response.end(frame("1-3", token("two")) + frame("1-4", completed))),
    (store) => store.resume("m1").done,
    { conversationId: "c1", messages: [HISTORY[0], growing] },
  );
  assert.equal(store.messages[1].content, "one two");
  assert.equal(requests[0].headers["last-event-id"], "1-2");
});

test("a block takes its text from the tail, one with an old index replaces", () => {
  const answer = new Answer();
  answer.append("𝄞a\n\nb\n\nc");
  answer.apply({ type: "block", index: 0, html: "<p>𝄞a</p>", end: 4 });
  assert.equal(answer.tail, "b\n\nc");
  answer.apply({ type: "block", index: 1, html: "<p>b</p>", end: 7 });
  assert.equal(answer.tail, "c");
  answer.apply({ type: "provider_switch", discardFrom: 5, mode: "restart", message: "" });
  assert.deepEqual([answer.content, answer.tail, answer.blocks.length], ["𝄞a\n\nb", "b", 1]);
  answer.append("B\n\n");
  answer.apply({ type: "block", index: 0, html: "<p>whole</p>", end: 8 });
  assert.deepEqual([answer.blocks.length, answer.tail], [1, ""]);
});

test("a token costs the same at the end of a long answer", () => {
  const spend = (from, to, answer) => {
    const start = process.hrtime.bigint();
    for (let i = from; i < to; i += 1) answer.apply({ type: "token", content: "word ", id: `1-${i}` });
    return Number(process.hrtime.bigint() - start);
  };
  spend(0, 50_000, new Answer());
  const answer = new Answer();
  const first = spend(0, 20_000, answer);
  spend(20_000, 180_000, answer);
  const last = spend(180_000, 200_000, answer);
  assert.ok(last < first * 5, `${first} then ${last}`);
});

const AGENTS = [
  { id: "a", agent: "analyst", task: "trend", needs: [] },
  { id: "t", agent: "trader", task: "levels", needs: [] },
  { id: "r", agent: "riskManager", task: "risk", needs: ["a", "t"] },
  { id: "v", agent: "advisor", task: "weigh", needs: ["r", "a"] },
];
const detected = { type: "workflow_detected", workflowId: "w", workflow: "x", name: "Research", agents: AGENTS };

test("agents that can work together stand together", () => {
  assert.deepEqual(newWorkflow(detected).stages, [[0, 1], [2], [3]]);
  const circle = [{ id: "a", needs: ["b"] }, { id: "b", needs: ["a"] }, { id: "c", needs: ["nobody"] }];
  assert.equal(stages(circle).flat().length, 3);
});

test("a workflow's updates move its agents and leave the old values alone", () => {
  const first = newWorkflow(detected);
  const update = (workflow, eventType, stepIndex, rest = {}) =>
    applyUpdate(workflow, { eventType, stepIndex, agent: AGENTS[stepIndex]?.agent, ...rest });
  let now = update(first, "agent.started", 0, { timestamp: "t0" });
  now = update(now, "agent.token", 0, { data: { content: "Up" } });
  now = update(now, "agent.token", 0, { data: { content: "ward" } });
  now = update(now, "agent.completed", 0, { message: "Trend intact", data: { verdict: { stance: 0.3, confidence: 58 }, durationMs: 4100 } });
  now = update(now, "agent.failed", 1, { message: "No answer" });
  now = update(now, "workflow.completed", undefined);
  assert.deepEqual(now.agents.map((agent) => agent.state), ["done", "failed", "waiting", "waiting"]);
  assert.deepEqual([now.agents[0].text, now.agents[0].verdict.stance, now.agents[0].durationMs], ["Upward", 0.3, 4100]);
  assert.equal(now.state, "done");
  assert.ok(first.agents.every((agent) => agent.state === "waiting" && agent.text === ""));
});
