// The composer: one form, whose fields become the body of a request. Enter asks, Shift+Enter is a new line.

import { asks, slot } from "../dom.js";
import { checkLength } from "./length.js";
import { Plan } from "./plan.js";

const SEPARATORS = /[\s,;]+/;

export class Composer {
  #form;
  #ask;
  #symbols;
  #answerers;
  #plan;
  #blocked = false;
  #draft;

  // `ask(message, fields)` returns whether the question was taken.
  constructor(form, { ask, answerers, draft }) {
    this.#form = form;
    this.#ask = ask;
    this.#symbols = new SymbolChips(form.querySelector("[data-symbols]"));
    this.#answerers = answerers;
    this.#draft = draft;
    this.#plan = new Plan(slot(form, "plan"), () => ({ message: this.text.value, ...this.fields }));
    form.addEventListener("input", () => this.#look());
    this.text.addEventListener("keydown", (event) => this.#key(event));
    form.addEventListener("submit", (event) => this.#submit(event));
    if (!CSS.supports("field-sizing", "content")) this.text.addEventListener("input", () => this.#grow());
    if (draft.text !== "") this.#write(draft.text);
  }

  get text() {
    return this.#form.elements.message;
  }

  // How many characters a question has.
  get most() {
    return Number(this.#form.dataset.most);
  }

  // What the request says beside the message.
  get fields() {
    const { assistantType, timeframe, riskTolerance, workflow } = this.#form.elements;
    const context = { symbols: this.#symbols.values, timeframe: timeframe.value, riskTolerance: riskTolerance.value };
    const given = Object.entries(context).filter(([, value]) => value.length > 0);
    const fields = { assistantType: assistantType.value, context: Object.fromEntries(given), ...this.#answerers.choice };
    return workflow ? { ...fields, workflow: workflow.value } : fields;
  }

  set assistant(id) {
    this.#form.elements.assistantType.value = id;
  }

  set symbols(values) {
    this.#symbols.values = values;
  }

  set streaming(value) {
    const [send, stop] = this.#form.querySelectorAll(".go > button");
    const hadFocus = document.activeElement === stop || document.activeElement === send;
    send.hidden = value;
    stop.hidden = !value;
    if (hadFocus) (value ? stop : this.text).focus();
  }

  set blocked(value) {
    this.#blocked = value;
    this.#paintSend(checkLength(this.text, this.most));
  }

  // Put back what could not be asked, unless something else has been typed since.
  restore(message) {
    this.#write(message);
    this.text.focus();
  }

  #write(text) {
    if (this.text.value === "") this.text.value = text;
    this.#look();
    this.#grow();
  }

  // At what is written now.
  #look() {
    this.#draft.text = this.text.value;
    const fits = checkLength(this.text, this.most);
    this.#paintSend(fits);
    if (fits) this.#plan.soon();
    else this.#plan.clear();
  }

  #paintSend(fits) {
    this.#form.querySelector(".send").disabled = this.#blocked || !fits;
  }

  #key(event) {
    if (!asks(event)) return;
    event.preventDefault();
    this.#form.requestSubmit(this.#form.querySelector(".send"));
  }

  #submit(event) {
    event.preventDefault();
    this.#symbols.commit();
    const message = this.text.value;
    const directly = event.submitter?.hasAttribute("data-direct") ? { workflow: "off" } : {};
    if (message.trim() === "" || !this.#ask(message, { ...this.fields, ...directly })) return;
    this.text.value = this.#draft.text = "";
    this.#plan.clear();
    this.#grow();
  }

  #grow() {
    if (CSS.supports("field-sizing", "content")) return;
    this.text.rows = Math.min(8, this.text.value.split("\n").length + Math.floor(this.text.value.length / 80));
  }
}

// Symbols as chips in front of a field; without scripts the field alone holds them.
class SymbolChips {
  #box;
  #field;

  constructor(box) {
    this.#box = box;
    this.#field = box.querySelector("input");
    this.commit();
    this.#field.addEventListener("keydown", (event) => this.#key(event));
    this.#field.addEventListener("blur", () => this.commit());
    box.addEventListener("click", (event) => this.#remove(event.target.closest("button")));
  }

  get values() {
    return [...this.#box.querySelectorAll("button")].map((chip) => chip.value);
  }

  set values(symbols) {
    for (const chip of this.#box.querySelectorAll("button")) chip.remove();
    for (const symbol of symbols) this.#add(symbol);
  }

  commit() {
    for (const text of this.#field.value.split(SEPARATORS)) this.#add(text.toUpperCase());
    this.#field.value = "";
  }

  #add(symbol) {
    if (symbol === "" || this.values.includes(symbol)) return;
    const chip = document.createElement("button");
    chip.type = "button";
    chip.value = symbol;
    chip.textContent = `${symbol} ×`;
    chip.setAttribute("aria-label", `Remove ${symbol}`);
    this.#field.before(chip);
  }

  #remove(chip) {
    if (!chip) return;
    chip.remove();
    this.#field.focus();
  }

  #key(event) {
    if (event.isComposing) return;
    if ((event.key === "Enter" || event.key === ",") && this.#field.value !== "") {
      event.preventDefault();
      this.commit();
    } else if (event.key === "Backspace" && this.#field.value === "") {
      this.#remove([...this.#box.querySelectorAll("button")].at(-1));
    }
  }
}
