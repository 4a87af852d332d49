// The page's parts as the server would draw them now: fetched, and put in the place of the old ones.

import { conversationUrl, slot } from "../dom.js";

// Replaces the named slots by those of a conversation's page. Throws when it cannot be had.
export async function refresh(conversationId, names) {
  const fetched = await page(conversationUrl(conversationId));
  document.title = fetched.title;
  for (const name of names) {
    const fresh = slot(fetched, name);
    const old = slot(document, name);
    if (fresh && old) old.replaceWith(document.adoptNode(fresh));
  }
}

// The texts of an answer's agents as the server renders them: agent's node id -> nodes.
export async function agentTexts(messageId) {
  const fetched = await page(location.href);
  const cards = fetched.querySelectorAll(`.answer[data-message-id="${CSS.escape(messageId)}"] .agent`);
  return new Map([...cards].map((card) => [card.dataset.agentId, [...document.adoptNode(slot(card, "agent-text")).childNodes]]));
}

async function page(address) {
  const response = await fetch(address, { headers: { Accept: "text/html" }, cache: "no-store" });
  if (!response.ok) throw new Error(`the conversation's page answered ${response.status}`);
  return new DOMParser().parseFromString(await response.text(), "text/html");
}

// The messages that the server drew, as the store knows them.
export function readMessages(column) {
  return [...column.querySelectorAll(":scope > .turn")].map((turn) => {
    const { role, messageId: id, parentId } = turn.dataset;
    const siblings = (slot(turn, "versions")?.dataset.siblings ?? "").split(" ").filter(Boolean);
    const message = { id, parentId: parentId || null, role, siblings };
    return role === "user" ? readQuestion(turn, message) : readAnswer(turn, message);
  });
}

function readQuestion(turn, message) {
  const { assistant, context } = turn.dataset;
  return { ...message, content: slot(turn, "content").textContent, assistantType: assistant, context: JSON.parse(context || "{}"), status: "complete" };
}

function readAnswer(turn, message) {
  const { status, streamId, lastEventId } = turn.dataset;
  const content = turn.querySelector("template.source").content.textContent;
  const blocks = [...turn.querySelectorAll(".block[data-end]")].map((element, index) => ({ index, html: null, end: Number(element.dataset.end) }));
  const notes = [...slot(turn, "notes").children].map((note) => note.textContent);
  const reasoning = slot(turn, "reasoning-text").textContent;
  const answer = { ...message, status, streamId: streamId || null, lastEventId, content, blocks, notes, reasoning };
  return { ...answer, tail: slot(turn, "tail").textContent, workflow: stored(turn, "workflow"), evidence: stored(turn, "evidence") };
}

// A value the server put beside what it drew, as JSON in a template.
export function stored(turn, name) {
  const text = turn?.querySelector(`template.${name}`)?.content.textContent;
  return text ? JSON.parse(text) : null;
}
