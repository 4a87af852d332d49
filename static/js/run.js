// One run, followed to its last event whatever the network does. `ChatClient` makes these; nobody else needs to.
//
// The first connection of a question is the POST, sent again with the same Idempotency-Key while nothing is known of
// the stream; every later one is a GET with Last-Event-ID. An event is delivered once: ids that do not come after the
// last are dropped, and a gap makes the run reconnect at the last id instead of showing text with a hole.

import { delay, retryAfter } from "./backoff.js";
import { follows, isAfter, parseId } from "./event-id.js";
import { SSEParser } from "./sse-parser.js";

const TERMINAL = new Set(["chat_completed", "error"]);
const RETRIED_STATUS = new Set([408, 425, 500, 502, 503, 504]);
const POSTS_BEFORE_GIVING_UP = 5;

export class Run {
  streamId;
  key;
  lastEventId;
  state = "connecting"; // then open, waiting, offline, over
  #options;
  #emit;
  request;
  #last;
  #retry;
  #failures = 0;
  #doubted = null;
  #lastByte = 0;
  #abort = null;
  #wake = null;
  #stopping = false;
  #finish;

  constructor({ request = null, key = null, streamId = null, lastEventId = "", options, emit }) {
    this.request = request;
    this.key = key;
    this.streamId = streamId;
    this.lastEventId = lastEventId;
    this.#last = parseId(lastEventId);
    this.#options = options;
    this.#retry = options.retryMs;
    this.#emit = emit;
    // Resolves with the last event, or with null when the run was closed or has to be loaded as a conversation.
    this.done = new Promise((resolve) => (this.#finish = resolve));
  }

  get over() {
    return this.state === "over";
  }

  async start() {
    const watchdog = setInterval(() => this.#checkSilence(), this.#options.heartbeatMs / 3);
    try {
      while (!this.over) {
        const wait = await this.#connectOnce();
        if (!this.over) await this.#pause(wait);
      }
    } finally {
      clearInterval(watchdog);
    }
  }

  // Stop following; the run itself goes on at the server.
  close() {
    this.#end(null);
    this.#abort?.abort();
    this.#wake?.();
  }

  // End the run itself. Before its id is known the wish is kept until it is.
  async stop() {
    this.#stopping = true;
    if (!this.streamId) return;
    for (let tries = 1; tries <= 4 && !this.over; tries += 1) {
      try {
        const response = await this.#fetch(`${this.#streamUrl()}/stop`, { method: "POST" });
        if (response.status < 500) return;
      } catch {
        // the network: tried again below
      }
      await new Promise((resolve) => setTimeout(resolve, delay(tries, this.#retry)));
    }
  }

  // The network is back, or the page is looked at again: do not sit out a pause, and trust no old silence.
  wake() {
    this.#wake?.();
    this.#checkSilence();
  }

  async #connectOnce() {
    const controller = new AbortController();
    this.#abort = controller;
    this.#setState("connecting");
    this.#lastByte = Date.now();
    try {
      const response = this.streamId ? await this.#follow(controller.signal) : await this.#post(controller.signal);
      return await this.#answer(response, controller.signal);
    } catch (error) {
      if (this.over) return 0;
      if (error instanceof Broken) return this.#failed();
      this.#fail({ code: "client", message: "This page could not read the answer.", retryable: true });
      throw error;
    } finally {
      controller.abort();
    }
  }

  #post(signal) {
    return this.#fetch(this.#options.endpoint, {
      method: "POST",
      headers: { "Content-Type": "application/json", "Idempotency-Key": this.key },
      body: JSON.stringify(this.request),
      signal,
    });
  }

  #follow(signal) {
    const headers = this.lastEventId ? { "Last-Event-ID": this.lastEventId } : {};
    return this.#fetch(this.#streamUrl(), { headers, signal });
  }

  #fetch(url, { headers = {}, ...rest }) {
    const accept = { Accept: "text/event-stream, application/json;q=0.5" };
    const request = { ...rest, headers: { ...accept, ...this.#options.headers, ...headers } };
    return network(this.#options.fetch(url, { ...request, credentials: this.#options.credentials, cache: "no-store" }), rest.signal);
  }

  #streamUrl() {
    return `${this.#options.streams}/${encodeURIComponent(this.streamId)}`;
  }

  // What a response means; returns how long to wait before the next connection, if there is to be one.
  async #answer(response, signal) {
    const type = response.headers.get("Content-Type") ?? "";
    if (response.status === 204) return this.#reload("ended");
    if (response.ok && type.startsWith("text/event-stream")) return this.#read(response, signal);
    if (response.ok) return this.#takeJSON(await json(response));
    const wait = retryAfter(response.headers.get("Retry-After"));
    const body = await json(response);
    if (body?.streamId) return this.#takeJSON(body); // a whole answer that ended in an error
    if (response.status === 410) return this.#reload("retired", body?.error);
    if (this.streamId && response.status === 404) return this.#reload("not_found");
    if (RETRIED_STATUS.has(response.status) || (this.streamId && response.status === 429)) return this.#failed(wait, body);
    return this.#refused(response.status, body, wait);
  }

  async #read(response, signal) {
    this.#learnId(response.headers.get("Location"));
    this.#setState("open");
    const parser = new SSEParser({
      onEvent: (frame) => this.#take(frame),
      onRetry: (milliseconds) => (this.#retry = Math.max(100, milliseconds)),
    });
    const decoder = new TextDecoder("utf-8", { ignoreBOM: true }); // the parser decides about a BOM
    const reader = response.body.getReader();
    signal.addEventListener("abort", () => reader.cancel().catch(() => {})); // a browser may leave a read of a whole body pending
    while (!this.over) {
      const { value, done } = await network(reader.read());
      if (done) return this.#failed();
      this.#lastByte = Date.now();
      parser.feed(decoder.decode(value, { stream: true }));
    }
    return 0;
  }

  #take({ event, data, id }) {
    if (this.over) return;
    const pair = parseId(id);
    if (pair && !isAfter(pair, this.#last)) return;
    const payload = object(data);
    const sound = payload !== null && (!pair || follows(pair, this.#last));
    if (!sound && this.#doubted !== id) {
      this.#doubted = id; // once: a server that really has a hole there must not hold us for ever
      throw new Broken();
    }
    if (pair) {
      this.#last = pair;
      this.lastEventId = id;
    }
    this.#failures = 0;
    if (payload) this.#deliver({ type: event, ...payload, id });
  }

  #deliver(event) {
    if (event.type === "chat_started") this.#learnId(event.streamId);
    const terminal = TERMINAL.has(event.type);
    if (terminal) this.state = "over";
    this.#emit({ streamId: this.streamId, ...event }, this);
    if (terminal) this.#end(event);
  }

  #learnId(name) {
    if (!name || this.streamId) return;
    this.streamId = decodeURIComponent(name.split("?")[0].replace(/\/+$/, "").split("/").pop());
    if (this.#stopping) this.stop();
  }

  // A server, or something between, that answers at once instead of streaming: shown all the same.
  #takeJSON(body) {
    if (!body) return this.#failed();
    if (body.error && !body.streamId) return this.#refused(200, body, null);
    const { content, text, message, error, ...rest } = body;
    const answer = content ?? text ?? (typeof message === "string" ? message : message?.content) ?? "";
    this.#deliver({ ...rest, type: "chat_started" });
    if (answer) this.#deliver({ type: "token", content: answer });
    if (error) this.#deliver({ ...error, type: "error" });
    else this.#deliver({ finishReason: "stop", ...rest, type: "chat_completed" });
    return 0;
  }

  #refused(status, body, wait) {
    const error = body?.error ?? {};
    const seconds = wait === null ? (error.retryAfter ?? null) : wait / 1000;
    this.#fail({
      code: error.code ?? `http_${status}`,
      message: error.message ?? `The server answered ${status}.`,
      field: error.field,
      retryAfter: seconds,
      retryable: status === 429 || status >= 500,
      status,
    });
    return 0;
  }

  // The connection failed: how long to wait, or the end when a question could not even be asked.
  #failed(wait = null, body = null) {
    if (this.over) return 0;
    this.#failures += 1;
    if (!this.streamId && this.#failures >= POSTS_BEFORE_GIVING_UP) {
      const message = body?.error?.message ?? "The server cannot be reached. Nothing has been lost: try again.";
      this.#fail({ code: body?.error?.code ?? "network", message, retryable: true });
      return 0;
    }
    return Math.max(wait ?? 0, delay(this.#failures, this.#retry, this.#options.random));
  }

  #fail(error) {
    this.#deliver({ type: "error", partial: this.#last !== null, started: this.#last !== null, ...error, id: "" });
  }

  #reload(reason, details = {}) {
    this.#emit({ type: "reload", streamId: this.streamId, reason, conversationId: details?.conversationId ?? null }, this);
    this.#end(null);
    return 0;
  }

  #end(event) {
    this.state = "over";
    this.#finish(event);
  }

  async #pause(milliseconds) {
    const offline = this.#options.offline();
    this.#setState(offline ? "offline" : "waiting", Math.round(milliseconds));
    await new Promise((resolve) => {
      const timer = setTimeout(resolve, milliseconds);
      this.#wake = () => {
        clearTimeout(timer);
        resolve();
      };
    });
    this.#wake = null;
  }

  // Two heartbeats missed: the connection only looks alive.
  #checkSilence() {
    if (this.state !== "open" && this.state !== "connecting") return;
    if (Date.now() - this.#lastByte > 2 * this.#options.heartbeatMs) this.#abort?.abort();
  }

  #setState(state, retryInMs = null) {
    if (this.over || (state === this.state && retryInMs === null)) return;
    this.state = state;
    const { streamId, lastEventId } = this;
    this.#emit({ type: "connection", state, retryInMs, failures: this.#failures, streamId, lastEventId }, this);
  }
}

// The connection did not do what it should; the next one may.
class Broken extends Error {}

// Whatever makes the network's promise fail (unreachable, reset, aborted by the watchdog) means one thing here.
// So does an abort that a browser does not pass on.
async function network(promise, signal = null) {
  try {
    return await (signal ? Promise.race([promise, aborted(signal)]) : promise);
  } catch {
    throw new Broken();
  }
}

function aborted(signal) {
  return new Promise((_, reject) => signal.addEventListener("abort", () => reject(signal.reason), { once: true }));
}

async function json(response) {
  try {
    return object(await response.text());
  } catch {
    return null;
  }
}

function object(text) {
  try {
    const value = JSON.parse(text);
    return typeof value === "object" ? value : null;
  } catch {
    return null;
  }
}
