// Where a figure comes from, or that it has no source: a card beside it on hover, focus or tap. The figures are spans of the server's HTML.

import { slot } from "../dom.js";

const FIGURES = "[data-evidence], .n.open";
const ROWS = [["Symbol", "symbol"], ["Days", "days"], ["Source", "source"], ["As of", "asOf"], ["Formula", "formula"]];

export class EvidenceCard {
  #card;
  #find;
  #figure = null;
  #pointed = null; // the figure the pointer was moved to
  #at = ""; // where the pointer is

  // `find(article)` returns its evidence or null: { items: [{ id, label, shown, symbol, from, to, source, asOf, formula }],
  // marks: [{ text, evidenceId, reason }] }.
  constructor(card, root, find) {
    this.#card = card;
    this.#find = find;
    for (const name of ["focusin", "click"]) root.addEventListener(name, (event) => this.#look(event.target));
    root.addEventListener("pointermove", (event) => this.#point(event));
    addEventListener("keydown", (event) => event.key === "Escape" && this.#hide());
    addEventListener("scroll", () => this.#figure && this.#place(), { capture: true, passive: true }); // a wide table's too
  }

  // Text that moves under a pointer asks for nothing, whatever a browser tells of it.
  #point({ target, pointerType, screenX, screenY }) {
    const at = `${screenX} ${screenY}`;
    if (pointerType === "touch" || at === this.#at) return;
    this.#at = at;
    const figure = target.closest(FIGURES);
    if (figure === this.#pointed) return;
    this.#pointed = figure;
    this.#look(target);
  }

  #look(target) {
    this.#hide();
    const figure = target.closest?.(FIGURES);
    const rows = figure && rowsOf(figure, this.#find(figure.closest(".answer")) ?? {});
    if (!rows) return;
    this.#figure = figure;
    this.#fill(rows);
    this.#card.showPopover();
    this.#place();
    figure.setAttribute("aria-describedby", this.#card.id);
  }

  #fill(rows) {
    const cells = rows.flatMap(([name, value]) => {
      const [term, detail] = [document.createElement("dt"), document.createElement("dd")];
      term.textContent = name;
      detail.textContent = value;
      if (name === "Formula") detail.className = "formula";
      return [term, detail];
    });
    slot(this.#card, "evidence").replaceChildren(...cells);
  }

  // Below the figure, above it where there is no room, never over the edge nor over the dock. It goes where the figure goes.
  #place() {
    const figure = this.#figure.getBoundingClientRect();
    const card = this.#card.getBoundingClientRect();
    const floor = Math.min(innerHeight, document.querySelector(".dock").getBoundingClientRect().top);
    const below = figure.bottom + 8;
    const top = below + card.height > floor ? Math.max(8, figure.top - card.height - 8) : below;
    this.#card.style.visibility = figure.bottom <= 0 || figure.top > floor ? "hidden" : "visible";
    this.#card.style.top = `${top + scrollY}px`;
    this.#card.style.left = `${Math.max(8, Math.min(figure.left, innerWidth - card.width - 8))}px`;
  }

  #hide() {
    this.#figure?.removeAttribute("aria-describedby");
    this.#figure = null;
    if (this.#card.matches(":popover-open")) this.#card.hidePopover();
  }
}

function rowsOf(figure, { items = [], marks = [] }) {
  if (figure.matches(".open")) return unsourced(marks.find(({ text, evidenceId }) => evidenceId === null && text === figure.textContent));
  const item = items.find(({ id }) => id === figure.dataset.evidence);
  return item && sourced(item);
}

function sourced(item) {
  const said = { ...item, days: item.from && item.to ? `${item.from} to ${item.to}` : "" };
  if (said.days.endsWith(item.asOf)) said.asOf = ""; // the last of those days
  const rows = ROWS.map(([name, key]) => [name, said[key]]).filter(([, value]) => value);
  return [[item.label, item.shown ?? String(item.value)], ...rows];
}

function unsourced(mark) {
  return mark && [[mark.text, "No source for this figure. Check it before you rely on it."], ["Why", mark.reason]];
}
