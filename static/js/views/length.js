// A question may be written longer than it can be asked. How much is too much is said below its field, and until that is
// gone the field is invalid, so that its form is not sent.

import { slot } from "../dom.js";
import { codePoints } from "../text.js";

const words = new Intl.NumberFormat("en").format;

// Returns whether the question fits.
export function checkLength(field, most) {
  const excess = codePoints(field.value) - most;
  const said = excess > 0 ? `${words(excess)} character${excess > 1 ? "s" : ""} too many: a question has at most ${words(most)}.` : "";
  field.setCustomValidity(said);
  field.setAttribute("aria-invalid", String(excess > 0));
  slot(field.form, "excess").textContent = said;
  return excess <= 0;
}
