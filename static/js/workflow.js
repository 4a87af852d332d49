// A workflow as it runs: values only. Each update returns a new object, so that snapshots stay as they were.

const STATES = {
  "agent.started": "running",
  "agent.progress": "running",
  "agent.token": "running",
  "agent.completed": "done",
  "agent.failed": "failed",
  "agent.skipped": "skipped",
};

export function newWorkflow(event) {
  const agents = (event.agents ?? []).map((agent) => ({ needs: [], ...agent, state: "waiting", text: "" }));
  return {
    id: event.workflowId,
    kind: event.workflow,
    name: event.name,
    message: event.message,
    reason: event.reason,
    estimatedTime: event.estimatedTime,
    state: "running",
    agents,
    stages: stages(agents),
  };
}

export function applyUpdate(workflow, event) {
  const { eventType } = event;
  if (eventType === "workflow.completed") return { ...workflow, state: "done", data: event.data ?? null };
  if (eventType === "workflow.failed") return { ...workflow, state: "failed", message: event.message ?? workflow.message };
  const state = STATES[eventType];
  const index = agentIndex(workflow.agents, event);
  if (!state || index < 0) return workflow;
  const agents = [...workflow.agents];
  agents[index] = updated(agents[index], state, event);
  return { ...workflow, agents };
}

function updated(agent, state, event) {
  const data = event.data ?? {};
  const next = { ...agent, state, progress: event.progress ?? agent.progress };
  if (event.eventType === "agent.token") next.text = agent.text + (data.content ?? event.message ?? "");
  else if (event.message) next.message = event.message;
  if (event.eventType === "agent.started") next.startedAt = event.timestamp;
  const verdict = data.verdict ?? data;
  for (const name of ["stance", "confidence", "abstained", "summary"]) if (verdict[name] !== undefined) next[name] = verdict[name];
  if (data.durationMs !== undefined) next.durationMs = data.durationMs;
  if (data.text !== undefined) next.text = data.text;
  return next;
}

// `stepIndex` names the node; an agent that works twice (a debate) has two.
function agentIndex(agents, event) {
  const byId = agents.findIndex((agent) => agent.id !== undefined && agent.id === event.data?.nodeId);
  if (byId >= 0) return byId;
  if (agents[event.stepIndex]?.agent === event.agent) return event.stepIndex;
  return agents.findIndex((agent) => agent.agent === event.agent);
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
