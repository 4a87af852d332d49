// The panel of a workflow: drawn once, then each agent's card follows its state.

import { clone, seconds, setText, slot } from "../dom.js";

const STATES = { waiting: "", running: "working", done: "", failed: "failed", skipped: "skipped" };

export class WorkflowView {
  #container;
  #panel = null;
  #drawn = null;
  #cards = [];

  constructor(container) {
    this.#container = container;
  }

  draw(workflow) {
    if (workflow === this.#drawn) return;
    if (this.#drawn?.id !== workflow.id) this.#build(workflow);
    this.#panel.dataset.state = workflow.state;
    setText(this.#panel, "flow-summary", workflow.message ?? summary(workflow));
    workflow.agents.forEach((agent, index) => {
      if (agent !== this.#drawn?.agents[index]) drawAgent(this.#cards[index], agent);
    });
    this.#drawn = workflow;
  }

  #build(workflow) {
    this.#panel = clone("workflow-template");
    this.#panel.setAttribute("aria-label", workflow.name);
    setText(this.#panel, "flow-name", workflow.name);
    this.#cards = workflow.agents.map(() => clone("agent-template"));
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

function drawAgent(card, agent) {
  card.dataset.state = agent.state;
  card.dataset.agentId = agent.id ?? "";
  setText(card, "agent-name", assistantName(agent.agent));
  setText(card, "agent-time", agent.durationMs ? seconds(agent.durationMs) : STATES[agent.state]);
  setText(card, "agent-view", agent.summary ?? agent.message ?? agent.task);
  setText(card, "agent-text", agent.text);
  const stance = slot(card, "stance");
  const known = typeof agent.stance === "number" && !agent.abstained;
  stance.toggleAttribute("hidden", !known);
  if (!known) return;
  slot(card, "stance-mark").setAttribute("x", `${Math.min(1, Math.max(-1, agent.stance)) * 48 + 49}%`);
  stance.setAttribute("aria-label", `Stance: ${words(agent.stance)}${agent.confidence === undefined ? "" : `, confidence ${agent.confidence}`}`);
}

function words(stance) {
  const strength = Math.abs(stance);
  if (strength < 0.1) return "neutral";
  return `${strength < 0.4 ? "mildly " : strength > 0.75 ? "strongly " : ""}${stance > 0 ? "positive" : "negative"}`;
}

function summary({ agents, stages }) {
  const together = Math.max(...stages.map((stage) => stage.length));
  return `${agents.length} agents${together > 1 ? `, ${together} at once` : ""}`;
}

// The names are the composer's, so that they are written once.
export function assistantName(id) {
  const option = document.querySelector(`select[name="assistantType"] option[value="${CSS.escape(id ?? "")}"]`);
  return option?.textContent ?? id ?? "";
}
