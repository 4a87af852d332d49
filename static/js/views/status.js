// What the page says of itself: start, finish and errors in the status line (announced), the connection beside it.

const FINISHED = { stopped: "Stopped. What had arrived is kept.", length: "The answer ends here: the model's length limit." };

export class StatusLine {
  #status;
  #connection;
  #timer = null;

  constructor(status, connection) {
    this.#status = status;
    this.#connection = connection;
  }

  apply({ type, event }) {
    if (type === "sent") this.#say("Asking");
    else if (type === "resumed") this.#say("The answer goes on");
    else if (type === "chat_started") this.#say("Answering");
    else if (type === "workflow_detected") this.#say(event.message ?? `Several agents are at work: ${event.name}`);
    else if (type === "provider_switch") this.#say(event.message);
    else if (type === "chat_completed") this.#say(FINISHED[event.finishReason] ?? "Answer complete");
    else if (type === "error") this.#say(event.message, "fault");
    else if (type === "not_asked") this.#notAsked(event);
    if (type === "connection") this.#network(event);
    else if (type !== "not_asked") this.#still();
  }

  say(text) {
    this.#say(text);
  }

  // Seconds until the next question may be asked, counted down beside the status: an announcement a second helps nobody.
  countdown(seconds, done) {
    const until = Date.now() + seconds * 1000;
    const tick = () => {
      const left = Math.ceil((until - Date.now()) / 1000);
      if (left > 0) return this.#show(`You can ask again in ${left} s`);
      this.#still();
      done();
    };
    this.#every(1000, tick);
  }

  #say(text, tone = "") {
    this.#status.dataset.tone = tone;
    this.#status.textContent = text;
  }

  #notAsked(event) {
    const where = event.field && event.field !== "message" ? `${event.field}: ` : "";
    this.#say(where + event.message, "fault");
  }

  #network({ state, retryInMs, failures }) {
    if (state === "open" || (state === "connecting" && failures === 0)) return this.#still();
    if (state === "connecting") return this.#show("Connecting again");
    if (state === "offline") return this.#show("You are offline. The answer is kept at the server and goes on here when you are back");
    const until = Date.now() + retryInMs;
    this.#every(1000, () => {
      const left = Math.max(0, Math.ceil((until - Date.now()) / 1000));
      this.#show(`Connection lost, trying again${left > 1 ? ` in ${left} s` : ""}. The answer goes on at the server`);
    });
  }

  #every(milliseconds, tick) {
    clearInterval(this.#timer);
    this.#timer = setInterval(tick, milliseconds);
    tick();
  }

  #show(text) {
    this.#connection.hidden = false;
    this.#connection.textContent = text;
  }

  #still() {
    clearInterval(this.#timer);
    this.#connection.hidden = true;
  }
}
