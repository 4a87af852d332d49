// The chat client: events in, from any server that speaks the contract. No page, no framework. See docs/client.md.
//
//   const client = new ChatClient();
//   client.on("token", (event) => …);
//   const run = client.send({ message: "What is beta?" });
//   await run.done;

import { Run } from "./run.js";

const DEFAULTS = {
  endpoint: "/api/chat/stream",
  streams: "/api/chat/streams",
  headers: {},
  credentials: "same-origin",
  heartbeatMs: 15_000,
  retryMs: 1_000,
  random: Math.random,
  fetch: (...request) => globalThis.fetch(...request),
  offline: () => globalThis.navigator?.onLine === false,
};

export class ChatClient {
  #options;
  #listeners = new Map();
  #runs = new Set();
  #wake = () => {
    if (globalThis.document?.visibilityState !== "hidden") this.#runs.forEach((run) => run.wake());
  };

  constructor(options = {}) {
    this.#options = { ...DEFAULTS, ...options };
  }

  // `name` is an event of the contract, `connection` ({ state, retryInMs }), `reload` ({ reason, conversationId }: the
  // log is over or retired, load the conversation) or `*`. Returns a function that undoes it.
  on(name, listener) {
    if (!this.#listeners.has(name)) this.#listeners.set(name, new Set());
    this.#listeners.get(name).add(listener);
    return () => this.off(name, listener);
  }

  off(name, listener) {
    this.#listeners.get(name)?.delete(listener);
  }

  // Ask. `request` is the body of the contract. The same `key` attaches to the run it started, never starts a second.
  // Returns the run: { streamId, key, lastEventId, done, stop(), close() }.
  send(request, { key = newKey() } = {}) {
    return this.#start({ request, key });
  }

  // Follow a run that was started elsewhere, from after `lastEventId`.
  resume(streamId, { lastEventId = "" } = {}) {
    return this.#start({ streamId, lastEventId });
  }

  // End one run at the server, or every run this client follows.
  stop(streamId = null) {
    const runs = [...this.#runs].filter((run) => streamId === null || run.streamId === streamId);
    return Promise.all(runs.map((run) => run.stop()));
  }

  // Follow nothing any more. The runs go on at the server.
  close() {
    this.#runs.forEach((run) => run.close());
  }

  #start(what) {
    const run = new Run({ ...what, options: this.#options, emit: (event, from) => this.#emit(event, from) });
    if (this.#runs.size === 0) this.#listen();
    this.#runs.add(run);
    run.done.then(() => {
      this.#runs.delete(run);
      if (this.#runs.size === 0) this.#unlisten();
    });
    queueMicrotask(() => run.start());
    return run;
  }

  #listen() {
    globalThis.addEventListener?.("online", this.#wake);
    globalThis.document?.addEventListener("visibilitychange", this.#wake);
  }

  #unlisten() {
    globalThis.removeEventListener?.("online", this.#wake);
    globalThis.document?.removeEventListener("visibilitychange", this.#wake);
  }

  // A listener that throws must not cut the stream for the others.
  #emit(event, run) {
    for (const name of [event.type, "*"]) {
      for (const listener of [...(this.#listeners.get(name) ?? [])]) {
        try {
          listener(event, run);
        } catch (error) {
          (globalThis.reportError ?? console.error)(error);
        }
      }
    }
  }
}

// crypto.randomUUID exists only in secure contexts; a page on the local network has none.
export function newKey() {
  const bytes = crypto.getRandomValues(new Uint8Array(16));
  return Array.from(bytes, (byte) => byte.toString(16).padStart(2, "0")).join("");
}
