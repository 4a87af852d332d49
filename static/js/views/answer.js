// One answer on the page: follows an `Answer` of the store, once a frame, without ever building it again.
//
// Open text is appended as text nodes; when a block closes, the text it covers gives way to the server's HTML. The
// open text lies in pieces of a few lines each, because a browser lays out a whole block anew for every letter in it.

import { clone, conversationUrl, fromServer, seconds, setText, slot } from "../dom.js";
import { settled } from "../references.js";
import { WorkflowView } from "./workflow.js";

const PIECE = 1500; // characters after which the next line begins a new piece
const LONGEST_PIECE = 6000; // … or the next space does
const GROUP = 16; // blocks
const EMBEDDED = "offline"; // the built-in desk is no model, and its speed says nothing
const KINDS = [[/^\s*(```|~~~)/, "code"], [/^\s*\|/, "table"]];

export class AnswerView {
  #article;
  #answer;
  #onPaint;
  #shown = []; // { block, element }
  #pending = [];
  #stale = false;
  #scheduled = 0;
  #piece = null;
  #held = ""; // the end of the open text, while it may be an evidence id
  #workflow = null;

  constructor(article, answer, { onPaint = () => {} } = {}) {
    this.#article = article;
    this.#answer = answer;
    this.#onPaint = onPaint;
    this.#adopt();
  }

  get article() {
    return this.#article;
  }

  // What one change of the store means here.
  apply({ type, event }) {
    if (type === "token" && event.channel !== "reasoning") this.#pending.push(event.content);
    else if (type === "block" || type === "provider_switch") this.#stale = true;
    else if (type === "chat_completed" || type === "error" || type === "chat_started") return this.#flush();
    this.#schedule();
  }

  #schedule() {
    if (this.#scheduled) return;
    // A hidden page paints no frames; it must not hold a long answer back for when it is looked at.
    this.#scheduled = document.hidden ? setTimeout(() => this.#flush(), 500) : requestAnimationFrame(() => this.#flush());
  }

  #flush() {
    cancelAnimationFrame(this.#scheduled);
    clearTimeout(this.#scheduled);
    this.#scheduled = 0;
    this.#paintText();
    this.#paintBeside();
    if (this.#answer.status !== "streaming") this.#paintEnd();
    this.#paintState();
    this.#onPaint(this.#answer.status !== "streaming");
  }

  #paintText() {
    if (this.#stale) this.#paintBlocks();
    else if (this.#pending.length) this.#append(this.#pending.join(""));
    this.#pending = [];
    this.#stale = false;
    this.#tail.classList.toggle("waiting", this.#answer.tail === "");
  }

  // Blocks are compared by identity from the end: a new one is the usual case, a replaced one the rare one.
  #paintBlocks() {
    const { blocks } = this.#answer;
    while (this.#shown.length && this.#shown.at(-1).block !== blocks[this.#shown.length - 1]) remove(this.#shown.pop().element);
    for (const block of blocks.slice(this.#shown.length)) {
      const element = document.createElement("div");
      element.className = "block";
      element.append(fromServer(block.html));
      this.#openGroup().append(element);
      this.#shown.push({ block, element });
    }
    this.#tail.replaceChildren();
    delete this.#tail.dataset.kind;
    this.#piece = null;
    this.#held = "";
    this.#append(this.#answer.tail);
  }

  // Blocks stand in groups, so that the browser has few boxes to ask whether they are in sight.
  #openGroup() {
    const last = this.#tail.previousElementSibling;
    if (last?.className === "group" && last.childElementCount < GROUP) return last;
    const group = document.createElement("div");
    group.className = "group";
    this.#tail.before(group);
    return group;
  }

  #append(arrived) {
    let text;
    [text, this.#held] = settled(this.#held + arrived);
    if (!this.#piece) {
      text = text.replace(/^\n+/, ""); // blank lines between blocks are space, not text
      if (text === "") return;
      const kind = KINDS.find(([pattern]) => pattern.test(text))?.[1];
      if (kind) this.#tail.dataset.kind = kind;
      this.#newPiece();
    }
    while (text !== "") {
      const room = this.#breakAfter(text);
      const part = text.slice(0, room);
      this.#piece.firstChild.appendData(part);
      text = text.slice(room);
      if (text !== "") this.#newPiece();
    }
  }

  // How much of `text` still belongs to the open piece.
  #breakAfter(text) {
    const length = this.#piece.firstChild.length;
    const line = text.indexOf("\n", Math.max(0, PIECE - length));
    if (line >= 0 && line < LONGEST_PIECE - length) return line + 1;
    const space = text.indexOf(" ", Math.max(0, LONGEST_PIECE - length));
    return space >= 0 ? space + 1 : text.length;
  }

  #newPiece() {
    this.#piece = document.createElement("div");
    this.#piece.className = "piece";
    this.#piece.append(document.createTextNode(""));
    this.#tail.append(this.#piece);
  }

  #paintBeside() {
    const { notes, reasoning, workflow } = this.#answer;
    const shownNotes = slot(this.#article, "notes");
    for (const text of notes.slice(shownNotes.childElementCount)) {
      const note = document.getElementById("note-template").content.firstElementChild.cloneNode();
      note.textContent = text;
      shownNotes.append(note);
    }
    this.#paintReasoning(reasoning);
    if (workflow) (this.#workflow ??= new WorkflowView(slot(this.#article, "flow"))).draw(workflow);
  }

  #paintReasoning(text) {
    const element = slot(this.#article, "reasoning-text");
    element.firstChild ?? element.append("");
    const shown = element.firstChild.length;
    slot(this.#article, "reasoning").hidden = text === "";
    if (text.length > shown) element.firstChild.appendData(text.slice(shown));
    else if (text.length < shown) element.textContent = text;
  }

  #paintEnd() {
    const { html, blocks, content } = this.#answer;
    const body = slot(this.#article, "body");
    // History's HTML is these blocks in a row; only marks made after the end (evidence) can differ.
    if (html !== null && html !== blocks.map((block) => block.html ?? "").join("") && blocks.every((block) => block.html !== null)) {
      body.replaceChildren(fromServer(html), this.#tail);
      this.#shown = [];
    }
    if (html !== null) this.#tail.replaceChildren();
    this.#keep("source", content);
    if (this.#answer.evidence) this.#paintSources(this.#answer.evidence);
    if (this.#answer.status !== "error") this.#workflow?.settle(this.#answer.id);
  }

  // For readers without a pointer, and on paper, the sources stand under the answer too.
  #paintSources(evidence) {
    this.#keep("evidence", JSON.stringify(evidence));
    const items = new Map((evidence.items ?? []).map((item) => [item.id, item]));
    const cited = (evidence.cited ?? []).map((id) => items.get(id)).filter(Boolean);
    slot(this.#article, "sources").hidden = cited.length === 0;
    setText(this.#article, "source-count", String(cited.length));
    slot(this.#article, "source-list").replaceChildren(...cited.map(sourceLine));
  }

  // Beside the answer for those who read it from the page: copying, the evidence card, the store after a reload.
  #keep(name, text) {
    let template = this.#article.querySelector(`template.${name}`);
    if (!template) {
      template = Object.assign(document.createElement("template"), { className: name });
      this.#article.append(template);
    }
    template.content.replaceChildren(text);
  }

  #paintState() {
    const { id, parentId, status, streamId, lastEventId, error } = this.#answer;
    const article = this.#article;
    Object.assign(article.dataset, { messageId: id ?? "", parentId: parentId ?? "", status, streamId: streamId ?? "", lastEventId });
    article.toggleAttribute("aria-busy", status === "streaming");
    slot(article, "made").hidden = status === "streaming";
    slot(article, "fault").hidden = status !== "error";
    if (error) setText(article, "fault-text", error.message);
    article.querySelectorAll("[name=again]").forEach((field) => (field.value = id ?? ""));
    if (status !== "streaming") this.#paintMade();
  }

  #paintMade() {
    const { provider, model, metrics, finishReason, status } = this.#answer;
    const article = this.#article;
    const ended = status === "stopped" ? "stopped" : finishReason;
    const embedded = provider === EMBEDDED && slot(article, "maker").dataset.embedded;
    setText(article, "maker", embedded || [provider, model].filter(Boolean).join(" · "));
    setText(article, "ttft", Number.isFinite(metrics?.ttftMs) ? `first word ${seconds(metrics.ttftMs)}` : "");
    setText(article, "speed", metrics?.tokensPerSecond && !embedded ? `${Math.round(metrics.tokensPerSecond)} tokens/s` : "");
    setText(article, "ended", slot(article, "ended").dataset[`when${ended}`.replace(/_/g, "").toLowerCase()] ?? "");
  }

  get #tail() {
    return slot(this.#article, "tail");
  }

  // What the server had already put on the page when it was made.
  #adopt() {
    const { blocks } = this.#answer;
    const elements = slot(this.#article, "body").querySelectorAll(".block");
    this.#shown = [...elements].map((element, index) => ({ block: blocks[index], element }));
    if (this.#answer.status !== "streaming") return;
    this.#stale = true;
    this.#paintText();
    this.#paintBeside();
  }
}

function sourceLine({ label, shown, symbol, source, asOf, formula }) {
  const line = clone("source-template");
  setText(line, "source-label", label);
  setText(line, "source-value", shown);
  setText(line, "source-from", [symbol, source, asOf && `as of ${asOf}`, formula].filter(Boolean).join("; "));
  return line;
}

function remove(element) {
  const group = element.parentElement;
  element.remove();
  if (group.childElementCount === 0) group.remove();
}

// ‹ 2/3 › beside a question or an answer that has other versions.
export function paintVersions(root, { id, siblings }, conversationId) {
  const nav = slot(root, "versions");
  const at = siblings.indexOf(id);
  nav.hidden = siblings.length < 2 || at < 0;
  nav.dataset.siblings = siblings.join(" ");
  setText(nav, "version", `${at + 1}/${siblings.length}`);
  for (const [name, other] of [["older", siblings[at - 1]], ["newer", siblings[at + 1]]]) {
    const link = slot(nav, name);
    if (other) link.href = conversationUrl(conversationId, other);
    else link.removeAttribute("href");
  }
}
