// A workflow as it runs: values only. Each update returns a new object, so that snapshots stay as they were.

import { unitIndex } from "./text.js";

const STATES = {
  "agent.started": "running",
  "agent.completed": "done",
  "agent.failed": "failed",
  "agent.skipped": "skipped",
};
const ENDS = { "workflow.completed": "done", "workflow.failed": "failed" };

export function newWorkflow(event) {
  const agents = (event.agents ?? []).map((agent) => ({ needs: [], ...agent, state: "waiting", text: "" }));
  return { id: event.workflowId, ...about(event), state: "running", result: null, agents, stages: stages(agents) };
}

// From the state the server keeps of a run, to go on with its events.
export function workflowFromState(run) {
  const agents = run.nodes.map(({ result, ...node }) => ({ needs: [], ...node, ...outcome(result ?? {}), text: node.text ?? "" }));
  return { id: run.workflowId, ...about(run), state: run.state, result: run.result ?? null, agents, stages: stages(agents) };
}

export function applyUpdate(workflow, event) {
  const { eventType, message, data } = event;
  if (ENDS[eventType]) return { ...settled(workflow), state: ENDS[eventType], result: { message, ...data } };
  const index = agentIndex(workflow.agents, event);
  if (index < 0) return workflow;
  const agents = [...workflow.agents];
  agents[index] = updated(agents[index], event);
  return { ...workflow, agents };
}

// The turn is over, and with it a run that had not ended by itself.
export function ended(workflow, state) {
  return workflow.state === "running" || workflow.state === "waiting" ? { ...settled(workflow), state } : workflow;
}

function about({ workflow: kind, name, message, reason, estimatedTime }) {
  return { kind, name, message, reason, estimatedTime };
}

function settled(workflow) {
  return { ...workflow, agents: workflow.agents.map((agent) => (agent.state === "running" ? { ...agent, state: "stopped" } : agent)) };
}

function updated(agent, { eventType, message, data = {}, timestamp }) {
  if (eventType === "agent.token") return { ...agent, text: agent.text + (data.content ?? message ?? "") };
  const next = { ...agent, ...outcome(data), message: message || agent.message, state: STATES[eventType] ?? agent.state };
  if (eventType === "agent.started") Object.assign(next, { startedAt: timestamp, text: "" });
  if (data.text !== undefined) next.text = data.text;
  else if (data.discardFrom !== undefined) next.text = agent.text.slice(0, unitIndex(agent.text, data.discardFrom));
  return next;
}

function outcome({ verdict, durationMs, provider, model }) {
  const known = Object.entries({ verdict, durationMs, provider, model }).filter(([, value]) => value !== undefined);
  return Object.fromEntries(known);
}

// An agent that works twice (a debate) has two nodes: the node's id decides, then the step.
function agentIndex(agents, { stepIndex, agent, data }) {
  const byId = agents.findIndex(({ id }) => id !== undefined && id === data?.nodeId);
  if (byId >= 0) return byId;
  return agents[stepIndex] ? stepIndex : agents.findIndex((other) => other.agent === agent);
}

// Columns of agents that can work together: each stands one after the last of those it needs.
export function stages(agents) {
  const byId = new Map(agents.map((agent, index) => [agent.id, index]));
  const depth = agents.map(() => null);
  const place = (index, path) => {
    if (depth[index] !== null || path.has(index)) return depth[index] ?? 0;
    const needs = agents[index].needs.map((id) => byId.get(id)).filter((need) => need !== undefined);
    const before = needs.map((need) => place(need, new Set(path).add(index)));
    return (depth[index] = before.length ? Math.max(...before) + 1 : 0);
  };
  const columns = [];
  agents.forEach((_, index) => (columns[place(index, new Set())] ??= []).push(index));
  return columns.filter(Boolean);
}
