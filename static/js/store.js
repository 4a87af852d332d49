// The chat store: one conversation as plain values, for any view. See docs/client.md.
//
//   const store = createChatStore({ client: new ChatClient() });
//   store.subscribe(() => render(store.getSnapshot()));
//   store.sendMessage("What is beta?");
//
// Snapshots are immutable and made only when asked for: a view that applies the change it is given instead
// (`subscribe((change) => …)`) pays nothing per token for the length of the answer.

import { Answer } from "./answer.js";

const SETTLED = new Set(["complete", "stopped", "error"]);

export function createChatStore(options) {
  return new ChatStore(options);
}

function newQuestion({ message, assistantType = "general", context = {}, parentMessageId = null }) {
  const fields = { assistantType, context, parentId: parentMessageId, siblings: [] };
  return { id: null, role: "user", content: message, status: "sending", ...fields };
}

class ChatStore {
  #client;
  #messages; // question: plain object; answer: Answer
  #listeners = new Set();
  #snapshot = null;
  #runs = new Map(); // run -> Answer
  #before = new WeakMap(); // run -> the messages as they were before it
  #failedSend = null;
  #stopListening;
  conversationId;
  connection = { state: "idle", retryInMs: null };
  error = null; // of a question that could not be asked

  constructor({ client, conversationId = null, messages = [], render = "text" }) {
    this.#client = client;
    this.conversationId = conversationId;
    this.render = render;
    this.#messages = messages.map((message) => (message.role === "assistant" ? new Answer(message) : { ...message }));
    this.#stopListening = client.on("*", (event, run) => this.#take(event, run));
  }

  get messages() {
    return this.getSnapshot().messages;
  }

  get isStreaming() {
    return this.#runs.size > 0;
  }

  // `listener(change)`, change being { type, event?, message? }. Returns the function that ends it. Bound, so that it
  // can be handed to useSyncExternalStore as it is.
  subscribe = (listener) => {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  };

  getSnapshot = () => {
    this.#snapshot ??= Object.freeze({
      conversationId: this.conversationId,
      messages: Object.freeze(this.#messages.map((message) => message.snapshot?.() ?? message)),
      isStreaming: this.isStreaming,
      connection: this.connection,
      error: this.error,
    });
    return this.#snapshot;
  };

  // Ask below the last message, or below `parentMessageId`. Returns the run, whose `done` is the last event.
  sendMessage = (message, { key, ...fields } = {}) => {
    const request = { message, render: this.render, ...fields };
    const last = this.#messages.at(-1)?.id;
    if (this.conversationId) request.conversationId ??= this.conversationId;
    if (last) request.parentMessageId ??= last;
    return this.#begin(newQuestion(request), request, key);
  };

  // Ask an edited question in place of an old one, which stays as another version.
  edit = (questionId, message, fields = {}) => {
    const index = this.#messages.findIndex(({ id }) => id === questionId);
    if (index < 0) return null;
    const { assistantType, context, content, parentId, siblings } = this.#messages[index];
    const request = { message, assistantType, context, render: this.render, ...fields };
    Object.assign(request, { conversationId: this.conversationId, parentMessageId: questionId });
    if (message === content && this.#messages[index + 1]) return this.regenerate(this.#messages[index + 1].id, fields);
    const question = { ...newQuestion(request), parentId, siblings: siblings ?? [questionId] };
    return this.#begin(question, request, undefined, {}, this.#messages.slice(0, index));
  };

  // Ask the same question again for another answer beside the old one.
  regenerate = (answerId, fields = {}) => {
    const index = this.#messages.findIndex((message) => message.id === answerId);
    const question = this.#messages[index - 1];
    if (!question) return null;
    const { content, assistantType, context, id } = question;
    const request = { message: content, assistantType, context, render: this.render, ...fields };
    Object.assign(request, { conversationId: this.conversationId, parentMessageId: id });
    const { siblings } = this.#messages[index];
    return this.#begin(null, request, undefined, { parentId: id, siblings }, this.#messages.slice(0, index));
  };

  // Ask the question that failed again: the same run if the server had begun it.
  retry = () => {
    if (!this.#failedSend) return null;
    const { question, request, key, above } = this.#failedSend;
    return this.#begin(question, request, key, {}, above);
  };

  // Follow the answer that was still growing when the page was made.
  resume = (answerId) => {
    const answer = this.#messages.find((message) => message.id === answerId);
    if (!answer?.streamId) return null;
    const run = this.#client.resume(answer.streamId, { lastEventId: answer.lastEventId });
    this.#runs.set(run, answer);
    this.#changed({ type: "resumed", message: answer });
    return run;
  };

  stop = () => Promise.all([...this.#runs.keys()].map((run) => run.stop()));

  // Follow nothing and listen to nothing any more.
  close() {
    this.#stopListening();
    this.#runs.forEach((_, run) => run.close());
    this.#runs.clear();
  }

  #begin(question, request, key, fields = {}, above = this.#messages) {
    const answer = new Answer({ assistantType: request.assistantType, ...fields });
    const run = this.#client.send(request, key ? { key } : {});
    this.#before.set(run, this.#messages);
    this.#messages = question ? [...above, question, answer] : [...above, answer];
    this.#runs.set(run, answer);
    this.error = this.#failedSend = null;
    this.#changed({ type: "sent", message: answer, question, request, run });
    return run;
  }

  #take(event, run) {
    const answer = this.#runs.get(run);
    if (!answer) return;
    if (event.type === "connection") {
      this.connection = { state: event.state, retryInMs: event.retryInMs };
      return this.#changed({ type: "connection", event, message: answer });
    }
    if (event.type === "error" && event.started === false) return this.#notAsked(event, run, answer);
    if (event.type === "chat_started") this.#started(event, answer);
    answer.apply(event);
    if (SETTLED.has(answer.status) || event.type === "reload") this.#over(run);
    this.#changed({ type: event.type, event, message: answer });
  }

  #started(event, answer) {
    this.conversationId ??= event.conversationId ?? null;
    const index = this.#messages.indexOf(answer);
    const question = this.#messages[index - 1];
    if (question?.status === "sending") {
      const siblings = [...question.siblings, event.userMessageId];
      const asked = { ...question, id: event.userMessageId, siblings, status: "complete" };
      this.#messages = this.#messages.map((message) => (message === question ? asked : message));
    }
    if (answer.id === null) answer.siblings = [...answer.siblings, event.messageId];
  }

  // Nothing was begun: the question leaves the transcript and goes back to where it can be sent again.
  #notAsked(event, run, answer) {
    const above = this.#messages[this.#messages.indexOf(answer) - 1];
    const question = above?.status === "sending" ? above : null;
    this.#messages = this.#before.get(run);
    this.#failedSend = { question, request: run.request, key: run.key, above: this.#messages.slice(0, question ? undefined : -1) };
    this.error = event;
    this.#over(run);
    this.#changed({ type: "not_asked", event, message: answer, question });
  }

  #over(run) {
    this.#runs.delete(run);
    this.connection = { state: "idle", retryInMs: null };
  }

  #changed(change) {
    this.#snapshot = null;
    this.#listeners.forEach((listener) => listener(change));
  }
}
