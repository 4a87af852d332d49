// The page's controller: connects the client, the store and the views. What they do is theirs.

import { ChatClient } from "./client.js";
import { conversationUrl, slot } from "./dom.js";
import { hidden } from "./references.js";
import { createChatStore } from "./store.js";
import { Tabs } from "./tabs.js";
import { Answerers } from "./views/answerers.js";
import { Composer } from "./views/composer.js";
import { Draft } from "./views/draft.js";
import { watchEditors } from "./views/editor.js";
import { EvidenceCard } from "./views/evidence.js";
import { Palette } from "./views/palette.js";
import { Rail, toggleTheme } from "./views/rail.js";
import { readMessages, refresh, stored } from "./views/refresh.js";
import { Follow } from "./views/scroll.js";
import { StatusLine } from "./views/status.js";
import { Transcript } from "./views/transcript.js";
import { assistantName } from "./views/workflow.js";

const MENUS = "details:is(.menu, .person)[open]";

class Page {
  #client = new ChatClient({
    endpoint: document.body.dataset.endpoint,
    streams: document.body.dataset.streams,
    heartbeatMs: Number(document.body.dataset.heartbeatMs),
  });
  #store = null;
  #transcript = null;
  #follow = new Follow(document.querySelector(".latest"));
  #status = new StatusLine(slot(document, "status"), slot(document, "connection"));
  #answerers = new Answerers(document.querySelector('#composer [name="answerer"]'), slot(document, "answerers"));
  #draft = new Draft(document.getElementById("composer").dataset.account, document.body.dataset.conversationId);
  #composer = new Composer(document.getElementById("composer"), {
    ask: (message, fields) => this.#ask(message, fields),
    answerers: this.#answerers,
    draft: this.#draft,
  });
  #palette = new Palette(document.getElementById("palette"), () => this.#commands());
  #tabs = new Tabs((turn) => this.#otherTab(turn));
  #waiting = false; // for a rate limit to pass
  #directly = null; // the answer that is being stopped to be given without agents

  constructor() {
    new Rail(document.getElementById("rail"));
    new EvidenceCard(document.getElementById("evidence-card"), document.getElementById("transcript"), (article) => stored(article, "evidence"));
    document.addEventListener("click", (event) => this.#click(event));
    document.addEventListener("submit", (event) => this.#submit(event));
    document.addEventListener("keydown", (event) => this.#key(event));
    watchEditors(document.getElementById("transcript"), this.#composer.most);
    addEventListener("popstate", () => location.pathname === this.#path || location.reload());
    this.#open(document.body.dataset.conversationId || null);
  }

  #path = location.pathname;

  // Take over what the server has drawn, and follow what was still growing.
  #open(conversationId) {
    this.#store?.close();
    const column = slot(document, "transcript");
    const messages = readMessages(column);
    this.#store = createChatStore({ client: this.#client, conversationId, messages, render: "html" });
    this.#transcript = new Transcript(column, this.#store, { labels, follow: this.#follow });
    this.#store.subscribe((change) => this.#changed(change));
    for (const message of messages) if (message.status === "streaming") this.#store.resume(message.id);
    this.#showStreaming();
    if (messages.length > 2) this.#follow.begin(...[...column.querySelectorAll(":scope > .turn")].slice(-2));
  }

  #changed(change) {
    this.#transcript.apply(change);
    this.#status.apply(change);
    this.#answerers.apply(change);
    if (change.type !== "token" && change.type !== "block") this.#showStreaming();
    if (change.type === "chat_started") this.#started(change.event);
    else if (change.type === "not_asked") this.#notAsked(change);
    else if (change.type === "reload") this.#reload();
    else if (change.type === "chat_completed" && change.event.html === undefined) this.#reload();
    if (this.#directly && this.#directly === change.message && !this.#store.isStreaming) this.#answerDirectly();
  }

  #showStreaming() {
    this.#composer.streaming = this.#follow.streaming = this.#store.isStreaming;
  }

  #started({ conversationId, streamId }) {
    const path = conversationUrl(conversationId);
    if (location.pathname !== path) history.pushState(null, "", path);
    else if (location.search) history.replaceState(null, "", path); // the newest branch is this one now
    this.#path = location.pathname;
    this.#draft.conversation = conversationId;
    this.#tabs.announce(conversationId, streamId);
    this.#refreshRail(conversationId);
  }

  #notAsked({ event, question, message }) {
    if (question) this.#composer.restore(question.content);
    if (event.retryAfter) {
      this.#waiting = this.#composer.blocked = true;
      this.#status.countdown(event.retryAfter, () => (this.#waiting = this.#composer.blocked = false));
    }
    if (message.parentId || !question) this.#reload(); // a version had to make room for it
  }

  async #reload() {
    if (!this.#store.conversationId) return location.reload();
    const said = slot(document, "status").textContent;
    try {
      await refresh(this.#store.conversationId, ["transcript", "days"]);
      this.#open(this.#store.conversationId);
      this.#status.say(said);
    } catch {
      this.#status.say("This conversation could not be loaded again. Load the page to see it.");
    }
  }

  #refreshRail(conversationId) {
    refresh(conversationId, ["days", "title", "menu"]).catch(() => {}); // the next page has it
  }

  #otherTab({ conversationId }) {
    const mine = conversationId === this.#store.conversationId;
    if (mine && !this.#store.isStreaming && !location.search) this.#reload();
    else if (this.#store.conversationId) this.#refreshRail(this.#store.conversationId);
  }

  #ask(message, fields) {
    if (this.#waiting) return false;
    if (this.#store.isStreaming) {
      this.#status.say("The answer is still being written. Stop it first, or wait for its end.");
      return false;
    }
    this.#store.sendMessage(message, fields);
    return true;
  }

  #submit(event) {
    const form = event.target;
    const values = new FormData(form, event.submitter);
    if (form.matches("[data-starter]")) {
      const symbols = values.get("symbols").split(/[\s,]+/).filter(Boolean);
      this.#composer.assistant = values.get("assistantType");
      this.#composer.symbols = symbols;
      this.#ask(values.get("message"), this.#composer.fields);
    } else if (form.matches("[data-again]")) {
      if (!this.#store.isStreaming && !this.#waiting) this.#store.regenerate(values.get("again"), this.#answerers.choice);
    } else if (form.matches("[data-edit]")) {
      const message = values.get("message").trim();
      if (message !== "" && !this.#store.isStreaming && !this.#waiting) {
        this.#store.edit(values.get("edit"), message, this.#answerers.choice);
        this.#composer.text.focus(); // what had it is gone
      }
    } else return;
    event.preventDefault();
  }

  #click(event) {
    const action = event.target.closest("[data-action]");
    if (action?.dataset.action === "stop") this.#stop();
    else if (action?.dataset.action === "direct") this.#stopAgents(action.closest(".answer"));
    else if (action?.dataset.action === "palette") this.#palette.open();
    else if (action?.dataset.action === "print") print();
    else if (action?.dataset.action === "copy") this.#copy(action);
    for (const menu of document.querySelectorAll(MENUS)) if (!menu.contains(event.target)) menu.open = false;
  }

  #key(event) {
    if ((event.ctrlKey || event.metaKey) && event.key.toLowerCase() === "k" && !event.shiftKey && !event.altKey) {
      event.preventDefault();
      this.#palette.open();
    } else if (event.key === "Escape" && !event.isComposing) this.#escape();
  }

  #escape() {
    const menu = document.querySelector(MENUS);
    if (menu) {
      menu.open = false;
      menu.querySelector("summary").focus();
    } else if (!document.querySelector("dialog[open], [popover]:popover-open") && this.#store.isStreaming) this.#stop();
  }

  #stop() {
    this.#status.say("Stopping");
    this.#store.stop();
  }

  // Stop the run; when it has ended, the same question is asked again without agents, beside it.
  #stopAgents(article) {
    this.#directly = this.#transcript.answerOf(article);
    this.#stop();
  }

  #answerDirectly() {
    const { id } = this.#directly;
    this.#directly = null;
    this.#store.regenerate(id, { ...this.#answerers.choice, workflow: "off" });
  }

  async #copy(button) {
    const text = hidden(button.closest(".answer").querySelector("template.source").content.textContent);
    const label = slot(button, "copy-label");
    label.textContent = (await toClipboard(text)) ? "Copied" : "Cannot copy";
    setTimeout(() => (label.textContent = "Copy"), 1600);
  }

  #commands() {
    const go = (address) => () => location.assign(address);
    const links = [...document.querySelectorAll("#rail .days a")];
    const assistants = [...document.querySelectorAll('select[name="assistantType"] option')];
    return [
      { label: "New question", kind: "command", run: go(document.querySelector("#rail .new").href) },
      ...links.map((link) => ({ label: link.textContent, kind: "conversation", run: go(link.href) })),
      ...assistants.map(({ value, textContent }) => ({ label: `Switch to ${textContent}`, kind: "assistant", run: () => this.#choose(value) })),
      { label: "Dark or light", kind: "command", run: toggleTheme },
      { label: "Print this conversation", kind: "command", run: () => print() },
    ];
  }

  #choose(assistant) {
    this.#composer.assistant = assistant;
    this.#composer.text.focus();
  }
}

// What the chips under a question say: the words of the composer's own options.
function labels({ assistantType, context = {} }) {
  const word = (name, value) => document.querySelector(`#composer select[name="${name}"] option[value="${CSS.escape(value)}"]`)?.textContent ?? value;
  const chips = [assistantName(assistantType ?? "general"), ...(context.symbols ?? [])];
  if (context.timeframe) chips.push(word("timeframe", context.timeframe));
  if (context.riskTolerance) chips.push(`${word("riskTolerance", context.riskTolerance)} risk`);
  return chips;
}

// The clipboard API exists only in secure contexts; a page on the local network has none.
async function toClipboard(text) {
  try {
    await navigator.clipboard.writeText(text);
    return true;
  } catch {
    const field = Object.assign(document.createElement("textarea"), { value: text, className: "offscreen" });
    document.body.append(field);
    field.select();
    const copied = document.execCommand("copy");
    field.remove();
    return copied;
  }
}

if (document.getElementById("composer")) new Page();
