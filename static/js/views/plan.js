// What the question will start, told before it is asked: the server's detector decides, one line says it.

const PAUSE = 400; // ms without typing
const SHORTEST = 8; // characters a question that needs several agents has at least
const NUMBERS = "no one two three four five six seven eight nine ten".split(" ");

export class Plan {
  #line;
  #body;
  #timer = null;
  #asked = "";
  #request = null;

  // `body()` returns the request as it would be sent now.
  constructor(line, body) {
    this.#line = line;
    this.#body = body;
  }

  // The question has changed.
  soon() {
    clearTimeout(this.#timer);
    this.#timer = setTimeout(() => this.#look(), PAUSE);
  }

  // The question was asked, or is no more.
  clear() {
    clearTimeout(this.#timer);
    this.#request?.abort();
    this.#asked = "";
    this.#line.hidden = true;
  }

  async #look() {
    const body = this.#body();
    if (body.message.trim().length < SHORTEST || (body.workflow ?? "auto") !== "auto") return this.clear();
    const json = JSON.stringify(body);
    if (json === this.#asked) return;
    this.#asked = json;
    this.#request?.abort();
    this.#request = new AbortController();
    const found = await detect(this.#line.dataset.detect, json, this.#request.signal);
    if (json === this.#asked) this.#show(found);
  }

  #show(found) {
    this.#line.hidden = !found?.workflow;
    if (found?.workflow) this.#line.firstElementChild.textContent = words(found);
  }
}

async function detect(address, body, signal) {
  try {
    const response = await fetch(address, { method: "POST", headers: { "Content-Type": "application/json" }, body, signal });
    return response.ok ? await response.json() : null;
  } catch {
    return null; // it will be told after asking
  }
}

// How many agents there will be: some workflows have one of a kind for each symbol.
function words({ workflow, name, symbols }) {
  const option = document.querySelector(`#composer select[name="workflow"] option[value="${CSS.escape(workflow)}"]`);
  const { agents, perSymbol, mostSymbols } = option?.dataset ?? {};
  if (!agents) return `${name} will run`;
  const copies = Math.max(1, Math.min(symbols?.length ?? 0, Number(mostSymbols))) - 1;
  const count = Number(agents) + Number(perSymbol) * copies;
  return `${name} will run: ${NUMBERS[count] ?? count} agents`;
}
