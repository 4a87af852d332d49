// One growing answer: what each event does to it. No page, no network.
//
// `content` is the text so far, `blocks` its finished part as HTML from the server, `tail` the text after the last
// block. Appending is O(1) whatever the length (strings grow as ropes), so a token costs the same first and last.

import { unitIndex } from "./text.js";
import { applyUpdate, ended, newWorkflow, workflowFromState } from "./workflow.js";

export class Answer {
  content = "";
  reasoning = "";
  blocks = [];
  tail = "";
  notes = [];
  workflow = null;
  error = null;
  html = null;

  constructor(fields = {}) {
    const plain = { id: null, parentId: null, role: "assistant", status: "streaming", streamId: null, lastEventId: "" };
    Object.assign(this, plain, { provider: null, model: null, metrics: null, evidence: null, siblings: [] }, fields);
    if (this.workflow?.nodes) this.workflow = workflowFromState(this.workflow);
    if (this.tail === "" && this.blocks.length === 0) this.tail = this.content;
  }

  // Applies one event of the contract; unknown ones change nothing.
  apply(event) {
    if (event.id) this.lastEventId = event.id;
    ACTIONS[event.type]?.(this, event);
  }

  append(text) {
    this.content += text;
    this.tail += text;
  }

  // Forget the text from code point `offset` on.
  truncate(offset) {
    this.content = this.content.slice(0, unitIndex(this.content, offset));
    this.blocks = this.blocks.filter((block) => block.end <= offset);
    this.tail = this.content.slice(unitIndex(this.content, this.end));
  }

  // A block closed. One that comes with an old index replaces what it and those after it were.
  close({ index, html, end }) {
    if (index < this.blocks.length) {
      this.blocks = this.blocks.slice(0, index);
      this.tail = this.content.slice(unitIndex(this.content, this.end));
    }
    this.tail = this.tail.slice(unitIndex(this.tail, end - this.end));
    this.blocks = [...this.blocks, { index, html, end }];
  }

  // Code points that finished blocks cover.
  get end() {
    return this.blocks.at(-1)?.end ?? 0;
  }

  snapshot() {
    return Object.freeze({ ...this });
  }
}

const ACTIONS = {
  chat_started(answer, event) {
    answer.streamId = event.streamId ?? answer.streamId;
    answer.id = event.messageId ?? answer.id;
    answer.parentId = event.userMessageId ?? answer.parentId;
    answer.assistantType = event.assistantType ?? answer.assistantType;
  },
  token(answer, event) {
    if (event.channel === "reasoning") answer.reasoning += event.content;
    else answer.append(event.content);
    if (event.metadata) Object.assign(answer, { provider: event.metadata.provider, model: event.metadata.model });
  },
  block(answer, event) {
    answer.close(event);
  },
  provider_switch(answer, event) {
    answer.truncate(event.discardFrom ?? 0);
    if (event.mode !== "before_first_token") answer.reasoning = "";
    answer.notes = [...answer.notes, event.message];
  },
  workflow_detected(answer, event) {
    answer.workflow = newWorkflow(event);
  },
  workflow_update(answer, event) {
    if (answer.workflow) answer.workflow = applyUpdate(answer.workflow, event);
  },
  chat_completed(answer, event) {
    const { provider, model, metrics, usage, tokensUsed, evidence, finishReason, html } = event;
    answer.status = finishReason === "stopped" ? "stopped" : "complete";
    if (answer.workflow) answer.workflow = ended(answer.workflow, "stopped");
    Object.assign(answer, { finishReason, usage, tokensUsed, evidence, html: html ?? null, metrics: metrics ?? null });
    answer.provider = provider ?? answer.provider;
    answer.model = model ?? answer.model;
  },
  error(answer, event) {
    answer.status = "error";
    if (answer.workflow) answer.workflow = ended(answer.workflow, "failed");
    answer.error = { code: event.code, message: event.message, retryable: event.retryable, partial: event.partial };
  },
};
