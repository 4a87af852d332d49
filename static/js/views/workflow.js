// The panel of a workflow: drawn once, then each agent's card follows its state. blueprints/panel.py says the same
// words of a run that is over.

import { hidden, settled } from "../references.js";
import { clone, seconds, setText, slot } from "../dom.js";
import { agentTexts } from "./refresh.js";

const STATES = { waiting: "", running: "working", done: "", failed: "failed", skipped: "skipped", stopped: "stopped" };
const NUMBERS = "no one two three four five six seven eight nine ten".split(" ");
const DEBATE = "marketDebate"; // its speakers' words stand open, in turns, and it does not fold
const SPEAKERS = ["bull", "bear"];
const GLIMPSE = 90; // characters of what an agent is writing

export class WorkflowView {
  #container;
  #panel = null;
  #drawn = null;
  #cards = [];
  #settled = false;

  constructor(container) {
    this.#container = container;
  }

  draw(workflow) {
    if (workflow === this.#drawn) return;
    if (!this.#drawn || workflow.agents.length !== this.#cards.length || this.#drawn.id !== workflow.id) this.#build(workflow);
    const panel = this.#panel;
    panel.dataset.state = workflow.state;
    setText(panel, "flow-total", total(workflow));
    setText(panel, "flow-verdict", together(workflow.result?.verdict));
    workflow.agents.forEach((agent, index) => {
      if (agent !== this.#drawn?.agents[index]) drawAgent(this.#cards[index], agent);
    });
    if (workflow.state === "done" && this.#drawn?.state !== "done") this.#fold(workflow);
    this.#drawn = workflow;
  }

  // Done: the answer comes first now, unless the reader is at work in here, or it is a debate, which is half the answer.
  #fold({ kind }) {
    if (kind === DEBATE) return;
    const reading = this.#panel.contains(document.activeElement) || this.#panel.querySelector(".agent details[open]");
    if (!reading) slot(this.#panel, "flow-fold").open = false;
  }

  // The run is over and stored: who reads on gets each agent's text as the server renders it, once they open one.
  settle(messageId) {
    const show = async () => {
      if (this.#settled || !this.#panel.querySelector(".agent details[open]")) return;
      this.#settled = true;
      const texts = await agentTexts(messageId).catch(() => new Map()); // the plain text stays
      for (const card of this.#cards) if (texts.has(card.dataset.agentId)) slot(card, "agent-text").replaceChildren(...texts.get(card.dataset.agentId));
    };
    this.#panel.addEventListener("toggle", show, { capture: true });
    show();
  }

  #build(workflow) {
    this.#drawn = null;
    this.#panel = clone("workflow-template");
    this.#panel.setAttribute("aria-label", workflow.name);
    this.#panel.dataset.kind = workflow.kind === DEBATE ? "debate" : "";
    setText(this.#panel, "flow-name", workflow.name);
    setText(this.#panel, "flow-summary", summary(workflow));
    setText(this.#panel, "flow-why", workflow.reason);
    this.#cards = workflow.agents.map(cardOf);
    const stages = workflow.stages.map((indexes) => {
      const stage = document.createElement("li");
      stage.className = "stage";
      const list = document.createElement("ul");
      list.append(...indexes.map((index) => this.#cards[index]));
      stage.append(list);
      return stage;
    });
    slot(this.#panel, "stages").replaceChildren(...stages);
    this.#container.replaceChildren(this.#panel);
  }
}

function cardOf({ id, agent }) {
  const card = clone("agent-template");
  card.dataset.agentId = id ?? "";
  card.dataset.speaker = SPEAKERS.includes(agent) ? agent : "";
  card.querySelector("details").open = SPEAKERS.includes(agent);
  return card;
}

function drawAgent(card, agent) {
  const { verdict, state } = agent;
  card.dataset.state = state;
  setText(card, "agent-name", agent.name ?? assistantName(agent.agent));
  setText(card, "agent-time", agent.durationMs === undefined ? STATES[state] : seconds(agent.durationMs));
  setText(card, "agent-view", view(agent));
  drawText(slot(card, "agent-text"), plain(state === "running" ? settled(agent.text)[0] : hidden(agent.text)));
  const known = verdict && !verdict.abstained;
  const words = verdictWords(verdict);
  setText(card, "agent-verdict", words);
  const stance = slot(card, "stance");
  stance.toggleAttribute("hidden", !known);
  if (!known) return;
  slot(card, "stance-mark").setAttribute("x", `${Math.min(1, Math.max(-1, verdict.stance)) * 48 + 49}%`);
  stance.setAttribute("aria-label", `Stance: ${words}`);
}

// One line: what it concluded, what went wrong, what it is writing just now, or its task.
function view({ agent, verdict, state, message, text, task }) {
  if (SPEAKERS.includes(agent)) return state === "failed" || state === "skipped" ? (message ?? task) : task;
  if (verdict?.summary) return hidden(verdict.summary).replace(/(\d) %/g, "$1\u00a0%");
  if (state === "failed" || state === "skipped") return message ?? task;
  if (state === "running" && text) return glimpse(plain(settled(text)[0]));
  return task ?? message;
}

function drawText(element, text) {
  if (element.firstElementChild) return; // the server's HTML is there already
  element.firstChild ?? element.append("");
  const node = element.firstChild;
  if (text.startsWith(node.data)) node.appendData(text.slice(node.length));
  else node.data = text;
}

// The last words of a growing text, in a line.
function glimpse(text) {
  const line = text.replace(/\s*(?:•|\n[-*#]*)\s*/g, " ").replace(/\s+/g, " ").trim();
  return line.length > GLIMPSE ? `… ${line.slice(-GLIMPSE).replace(/^\S*\s/, "")}` : line;
}

// Without the signs of Markdown: until the server has rendered it.
function plain(text) {
  return text.replace(/^#{1,6} +/gm, "").replace(/^([ \t]*)[-*] +/gm, "$1• ").replace(/(\*\*|__)(?=\S)(.+?)\1/g, "$2");
}

function verdictWords(verdict) {
  if (!verdict) return "";
  if (verdict.abstained) return "no view";
  return [verdict.label, `confidence ${verdict.confidence ?? 0}`].filter(Boolean).join(", ");
}

function together(verdict) {
  if (!verdict || verdict.abstained) return "";
  const because = verdict.because?.length ? ` (${verdict.because.join(", ")})` : "";
  return `Together: ${verdictWords(verdict)}${because}`;
}

function summary({ agents, stages }) {
  const number = (count) => NUMBERS[count] ?? String(count);
  const most = Math.max(...stages.map((stage) => stage.length));
  return `${number(agents.length)} agents${most > 1 ? `, ${number(most)} at once` : ""}`;
}

// How far it is; when it is over, what it took.
function total({ agents, result }) {
  if (result?.durationMs === undefined) return result?.message ?? `${agents.filter(({ state }) => state === "done").length} of ${agents.length} done`;
  const parts = [seconds(result.durationMs)];
  if (result.tokens) parts.push(`${result.tokens.toLocaleString("en")} tokens`);
  if (result.cost) parts.push(`$${result.cost.toFixed(3)}`);
  return parts.join(" · ");
}

// The names are the composer's, so that they are written once.
export function assistantName(id) {
  const option = document.querySelector(`select[name="assistantType"] option[value="${CSS.escape(id ?? "")}"]`);
  return option?.textContent ?? id ?? "";
}
