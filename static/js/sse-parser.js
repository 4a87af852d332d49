// Server-sent events from text, by the WHATWG rules (HTML, "Parsing an event stream"). No I/O: text in, events out.
//
// A line ends at LF, CR or CRLF and nowhere else (U+2028 is text). A CR ends its line at once; an LF that follows in
// the next chunk belongs to it. Work is linear in the text, however it is cut.

const LINE_END = /\r\n|\n|\r/g;
const DIGITS = /^[0-9]+$/;

export class SSEParser {
  #onEvent;
  #onRetry;
  #onComment;
  #started = false;
  #afterCR = false;
  #line = "";
  #event = "";
  #data = null;
  #id = "";

  // onEvent({ event, data, id }), onRetry(milliseconds), onComment(text)
  constructor({ onEvent, onRetry = () => {}, onComment = () => {} }) {
    this.#onEvent = onEvent;
    this.#onRetry = onRetry;
    this.#onComment = onComment;
  }

  // The id of the last event that was dispatched or skipped by an empty one; what a reconnect sends.
  lastEventId = "";

  feed(text) {
    if (text === "") return;
    let start = 0;
    if (!this.#started) {
      this.#started = true;
      if (text.charCodeAt(0) === 0xfeff) start = 1;
    }
    if (this.#afterCR && start < text.length) {
      this.#afterCR = false;
      if (text[start] === "\n") start += 1;
    }
    LINE_END.lastIndex = start;
    for (let end; (end = LINE_END.exec(text)); start = LINE_END.lastIndex) {
      const line = this.#line + text.slice(start, end.index);
      this.#line = "";
      const next = LINE_END.lastIndex;
      if (end[0] === "\r" && next === text.length) this.#afterCR = true;
      this.#takeLine(line);
      LINE_END.lastIndex = next; // a handler may have fed another parser
    }
    this.#line += text.slice(start);
  }

  // The connection ended: an event without its blank line is not an event. The last id stays.
  end() {
    this.#started = this.#afterCR = false;
    this.#line = this.#event = "";
    this.#data = null;
    this.#id = this.lastEventId;
  }

  #takeLine(line) {
    if (line === "") return this.#dispatch();
    const colon = line.indexOf(":");
    if (colon === 0) return this.#onComment(line.slice(line[1] === " " ? 2 : 1));
    if (colon < 0) return this.#takeField(line, "");
    this.#takeField(line.slice(0, colon), line.slice(colon + (line[colon + 1] === " " ? 2 : 1)));
  }

  #takeField(name, value) {
    if (name === "data") this.#data = this.#data === null ? value : `${this.#data}\n${value}`;
    else if (name === "event") this.#event = value;
    else if (name === "id" && !value.includes("\0")) this.#id = value;
    else if (name === "retry" && DIGITS.test(value)) this.#onRetry(Number(value));
  }

  #dispatch() {
    this.lastEventId = this.#id;
    const data = this.#data;
    const event = this.#event || "message";
    this.#data = null;
    this.#event = "";
    if (data !== null) this.#onEvent({ event, data, id: this.#id });
  }
}
