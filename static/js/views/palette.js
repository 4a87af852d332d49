// The command palette: every conversation and command behind one field. A combobox with a listbox, by the ARIA pattern.

import { slot } from "../dom.js";

const SHOWN = 60;

export class Palette {
  #dialog;
  #field;
  #list;
  #commands;
  #found = [];
  #at = 0;

  // `commands()` returns [{ label, kind, run }], made anew at each opening.
  constructor(dialog, commands) {
    this.#dialog = dialog;
    this.#field = dialog.querySelector("input");
    this.#list = dialog.querySelector("ul");
    this.#commands = commands;
    this.#field.addEventListener("input", () => this.#search());
    this.#field.addEventListener("keydown", (event) => this.#key(event));
    dialog.addEventListener("click", (event) => this.#click(event));
  }

  open() {
    if (this.#dialog.open) return this.#dialog.close();
    this.#field.value = "";
    this.#dialog.showModal();
    this.#search();
  }

  #search() {
    const words = plain(this.#field.value).split(/\s+/).filter(Boolean);
    const fits = ({ label, kind }) => words.every((word) => plain(`${label} ${kind}`).includes(word));
    this.#found = this.#commands().filter(fits).slice(0, SHOWN);
    this.#list.replaceChildren(...this.#found.map((command, index) => this.#option(command, index)));
    this.#dialog.querySelector(".palette-none").hidden = this.#found.length > 0;
    this.#select(0);
  }

  #option({ label, kind }, index) {
    const option = slot(this.#dialog, "option").content.firstElementChild.cloneNode(true);
    option.id = `palette-${index}`;
    slot(option, "label").textContent = label;
    slot(option, "kind").textContent = kind;
    return option;
  }

  #select(index) {
    const options = this.#list.children;
    if (options.length === 0) return this.#field.removeAttribute("aria-activedescendant");
    this.#at = (index + options.length) % options.length;
    [...options].forEach((option, each) => option.setAttribute("aria-selected", String(each === this.#at)));
    options[this.#at].scrollIntoView({ block: "nearest" });
    this.#field.setAttribute("aria-activedescendant", options[this.#at].id);
  }

  #key(event) {
    if (event.isComposing) return;
    const step = { ArrowDown: 1, ArrowUp: -1 }[event.key];
    if (step) this.#select(this.#at + step);
    else if (event.key === "Enter") this.#run(this.#at);
    else return;
    event.preventDefault();
  }

  #click(event) {
    if (event.target === this.#dialog) return this.#dialog.close(); // the backdrop
    const option = event.target.closest("[role=option]");
    if (option) this.#run([...this.#list.children].indexOf(option));
  }

  #run(index) {
    const command = this.#found[index];
    if (!command) return;
    this.#dialog.close();
    command.run();
  }
}

function plain(text) {
  return text.normalize("NFD").replace(/\p{M}/gu, "").toLowerCase();
}
