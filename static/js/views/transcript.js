// The transcript: gives every message of the store its place, and hands changes to the answer they belong to.

import { clone, slot } from "../dom.js";
import { AnswerView, paintVersions } from "./answer.js";

const LONG_QUESTION = 160;

export class Transcript {
  #column;
  #store;
  #labels;
  #follow;
  #empty = null; // what stands here before the first question
  #views = new Map(); // Answer -> { view, question }

  // `labels(request)` gives what the chips under a question say.
  constructor(column, store, { labels, follow }) {
    this.#column = column;
    this.#store = store;
    this.#labels = labels;
    this.#follow = follow;
  }

  apply(change) {
    if (change.type === "sent") return this.#add(change);
    if (change.type === "resumed") return this.#resume(change.message);
    if (change.type === "not_asked") return this.#remove(change.message);
    this.#views.get(change.message)?.view.apply(change);
    if (change.type === "chat_started") this.#name(change.message);
  }

  // The growing answer that stands in this article.
  answerOf(article) {
    return [...this.#views].find(([, { view }]) => view.article === article)?.[0] ?? null;
  }

  #add({ message, question, request }) {
    this.#empty ??= this.#column.querySelector(".empty");
    this.#empty?.remove();
    this.#column.querySelectorAll(":scope > .note").forEach((note) => note.remove());
    this.#cutBelow(request.parentMessageId, Boolean(question));
    const added = question ? this.#question(question, request) : null;
    const article = clone("answer-template");
    if (added) this.#column.append(added);
    this.#column.append(article);
    this.#views.set(message, { view: this.#view(article, message), question: added });
    this.#follow.begin(added ?? article.previousElementSibling, article);
  }

  // An edited question, and an answer asked again, take the place of what was there; it stays as another version.
  #cutBelow(parentId, asksAnew) {
    const turns = [...this.#column.querySelectorAll(":scope > .turn")];
    const at = turns.findIndex((turn) => parentId && turn.dataset.messageId === parentId);
    if (at < 0) return;
    const first = turns[at].dataset.role === "user" && asksAnew ? at : at + 1;
    turns.slice(first).forEach((turn) => turn.remove());
  }

  #question(question, request) {
    const element = clone("question-template");
    const headline = slot(element, "content");
    headline.textContent = question.content;
    if (question.content.length > LONG_QUESTION) headline.dataset.size = "long";
    element.dataset.assistant = request.assistantType ?? "general";
    element.dataset.context = JSON.stringify(request.context ?? {});
    slot(element, "editor").defaultValue = question.content;
    const chips = this.#labels(request).map((label) => {
      const chip = document.createElement("li");
      chip.className = "chip";
      chip.textContent = label;
      return chip;
    });
    slot(element, "chips").replaceChildren(...chips);
    return element;
  }

  #view(article, message) {
    return new AnswerView(article, message, { onPaint: (ended) => this.#follow.grew(ended) });
  }

  #resume(message) {
    const article = [...this.#column.querySelectorAll(":scope > .answer")].find((one) => one.dataset.messageId === message.id);
    if (article) this.#views.set(message, { view: this.#view(article, message), question: null });
  }

  // Now that the server has named them, the messages can be edited, asked again and linked to.
  #name(message) {
    const { view, question } = this.#views.get(message) ?? {};
    const { conversationId, messages } = this.#store;
    if (!view) return;
    for (const field of this.#column.querySelectorAll("[name=conversationId]")) field.value = conversationId;
    paintVersions(view.article, message, conversationId);
    if (!question) return;
    const asked = messages.find((other) => other.id === message.parentId);
    question.dataset.messageId = message.parentId;
    question.dataset.parentId = asked?.parentId ?? "";
    question.querySelector("[name=edit]").value = message.parentId;
    paintVersions(question, { id: message.parentId, siblings: asked?.siblings ?? [] }, conversationId);
  }

  #remove(message) {
    const { view, question } = this.#views.get(message) ?? {};
    view?.article.remove();
    question?.remove();
    this.#views.delete(message);
    if (this.#empty && !this.#column.querySelector(".turn")) this.#column.append(this.#empty);
  }
}
