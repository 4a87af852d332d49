// Tells the other tabs of this browser that a turn began. They follow its stream themselves; without BroadcastChannel
// they see it when they are loaded again.

export class Tabs {
  #channel = "BroadcastChannel" in globalThis ? new BroadcastChannel("tickertape") : null;

  constructor(onTurn) {
    this.#channel?.addEventListener("message", ({ data }) => data?.type === "turn" && onTurn(data));
  }

  announce(conversationId, streamId) {
    this.#channel?.postMessage({ type: "turn", conversationId, streamId });
  }
}
