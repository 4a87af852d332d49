// Where the page stands while an answer grows: at the question, until the reader goes to the end of an answer that is
// longer than the window. From then on it follows the end, until they leave it.

import { slot } from "../dom.js";

const NEAR = 96;
const GAP = 20; // between the bar and the question
const MOST_AT_THE_END = 240;
const A_MOMENT = 1000; // ms; a busy page hears of a scroll late
const ARRIVING = 3000; // ms
const SETTLING = 4; // frames
const SPARE = 32; // so that a dock that becomes lower does not pull the page down

export class Follow {
  #button;
  #following = false;
  #streaming = false;
  #height = 0;
  #before = 0; // the height one to two moments ago
  #recent = 0; // and less than one ago
  #since = 0;
  #at = 0;
  #arrivedAt = 0; // where following began
  #arrived = -Infinity; // and when
  #room = 0;
  #roomy = null; // the answer that has room below it, so that its question can stand at the top
  #settling = 0; // frames in which the question still finds its place

  constructor(button) {
    this.#button = button;
    addEventListener("scroll", () => this.#look(), { passive: true });
    addEventListener("keydown", () => this.#endArriving());
    addEventListener("touchstart", () => this.#goesElsewhere(), { passive: true });
    addEventListener("wheel", ({ deltaY }) => this.#goesElsewhere(deltaY < 0), { passive: true });
    button.addEventListener("click", () => this.#jump());
  }

  set streaming(value) {
    this.#streaming = value;
    this.#show();
  }

  // Put the question at the top of the window; the answer grows below it.
  begin(question, answer) {
    this.#following = false;
    this.#roomy?.classList.remove("roomy");
    this.#roomy = answer;
    this.#make(0);
    answer.classList.add("roomy");
    requestAnimationFrame(() => { // by then the field below is empty and low again
      this.#settling = SETTLING;
      this.#toQuestion(question, answer);
    });
  }

  // Called after the page grew. What comes with the end of an answer (pictures, sources) may be a page long: then the
  // reader stays with the text.
  grew(ended = false) {
    const { scrollHeight } = document.scrollingElement;
    const tooMuch = ended && scrollHeight - this.#height > MOST_AT_THE_END;
    if (performance.now() - this.#since > A_MOMENT) [this.#before, this.#recent, this.#since] = [this.#recent, this.#height, performance.now()];
    this.#height = scrollHeight;
    if (this.#following && !tooMuch) this.#toEnd();
    else this.#show();
  }

  // Blocks that were never in sight have a size only by estimate; coming near them corrects it, and the place with it.
  // A reader who goes elsewhere meanwhile is not pulled back.
  #toQuestion(question, answer) {
    const page = document.scrollingElement;
    const bar = document.querySelector(".bar");
    const covered = getComputedStyle(bar).position === "sticky" ? bar.offsetHeight : 0;
    const top = Math.max(0, page.scrollTop + slot(question, "content").getBoundingClientRect().top - covered - GAP);
    const lacking = top + SPARE - (page.scrollHeight - page.clientHeight);
    if (lacking > 0) this.#make(Math.ceil(answer.offsetHeight + lacking));
    this.#scroll(top);
    this.#show();
    requestAnimationFrame(() => this.#settling-- > 0 && this.#toQuestion(question, answer));
  }

  // A property of the page, not a style of the answer: nothing in the transcript has one.
  #make(room) {
    this.#room = room;
    document.documentElement.style.setProperty("--room", `${room}px`);
  }

  #jump() {
    this.#following = true;
    this.#height = document.scrollingElement.scrollHeight;
    this.#toEnd();
    this.#show();
  }

  #toEnd() {
    this.#scroll(document.scrollingElement.scrollHeight);
  }

  #scroll(top) {
    document.scrollingElement.scrollTop = top;
    this.#at = document.scrollingElement.scrollTop;
  }

  // Only the reader's own way down to the end begins following, and their way up ends it; the page moves by itself too.
  // The end they went to is the one they saw: by the time we hear of it the page may have grown.
  #look() {
    const { scrollTop, clientHeight } = document.scrollingElement;
    const moved = scrollTop - this.#at;
    this.#at = scrollTop;
    const wentToEnd = scrollTop + clientHeight > Math.min(this.#before, this.#height) - NEAR;
    if (moved < 0 && !this.#isNearEnd() && !this.#isArriving()) this.#leave();
    else if (moved > 0 && wentToEnd && this.#isLong()) this.#arrive();
    this.#show();
  }

  #arrive() {
    if (!this.#following) [this.#arrivedAt, this.#arrived] = [this.#at, performance.now()];
    this.#following = true;
  }

  // A browser that scrolls smoothly is for a while still under way to the end it knew, and comes back to it when we have
  // gone further: no way up of the reader's, unless they do something else.
  #isArriving() {
    return this.#following && this.#at > this.#arrivedAt - NEAR && performance.now() - this.#arrived < ARRIVING;
  }

  #goesElsewhere(up = true) {
    this.#settling = 0;
    if (up) this.#endArriving();
  }

  #endArriving() {
    this.#arrived = -Infinity;
  }

  // They saw the end as they left: what lies before it is no way back to it.
  #leave() {
    this.#following = false;
    this.#height = this.#before = this.#recent = document.scrollingElement.scrollHeight;
    this.#since = performance.now();
  }

  #isNearEnd() {
    const { scrollHeight, scrollTop, clientHeight } = document.scrollingElement;
    return scrollHeight - scrollTop - clientHeight < NEAR;
  }

  // Whether the answer has outgrown the room that was made for it.
  #isLong() {
    return !this.#roomy || this.#roomy.offsetHeight > this.#room + 1;
  }

  #show() {
    this.#button.hidden = !this.#streaming || this.#following || this.#isNearEnd();
  }
}
