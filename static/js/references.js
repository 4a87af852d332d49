// Evidence ids that a model wrote into its prose, such as [AAPL:cagr]: never shown as they are. The server turns them
// into notes once it knows the evidence (services/market/references.py, the same rules); until then they are left out.

const SYMBOL = "\\^?[A-Z0-9][A-Z0-9.=^-]{0,15}";
const OWNER = `(?:${SYMBOL}(?:~${SYMBOL})?|portfolio|verdict|limits|plan|macro|stress)`;
const ID = `(?=[0-9.^=~-]{0,16}[A-Za-z])${OWNER}:[a-z][a-z0-9]+(?:_[a-z0-9]+)*(?![\\w:])`;
const IDS = `${ID}(?:[ \\t]{0,3}(?:[,;/|]|and|&)?[ \\t]{0,3}${ID})*`;
const LABEL = "(?:(?:[Ee]vidence|[Ss]ources?|[Rr]ef|[Ss]ee|[Ii]ds?)[ \\t]{0,3}:?[ \\t]{0,3})?";
const FOUND = new RegExp(`[ \\t]{0,3}(?:\`?\\[${LABEL}${IDS}\\]\`?|【${LABEL}${IDS}】|\\(${LABEL}${IDS}\\)|\`${IDS}\`|(?<![\\w.:/^~-])(${IDS})(?![\\w/]))`, "g");
const PLAIN_WORDS = new Set(
  ("agreement alpha beta cagr capital close confidence correlation drawdown eps equity inflation macd market pe position rest sharpe" +
    " size sortino stop unemployment vix volatility weight").split(" "),
);
const BEGUN = /[ \t]{0,3}(?:`?[[(【](?:[\w^~.=-]{0,24}:\w{0,40}[,; ]{0,2}){0,8}[\w^~.=-]{0,24}|`[\w^~.:=-]{0,60}`?|[\w^~.:=-]{0,60})$/;
const LONGEST = 600; // characters at the end of a text in which a reference may have begun

export function hidden(text) {
  return text.includes(":") ? text.replace(FOUND, (whole, bare) => (bare && !isReference(bare) ? whole : "")) : text;
}

// C:windows and 12:am are none.
function isReference(ids) {
  return [...ids.matchAll(/:([a-z][a-z0-9_]*)/g)].every(([, word]) => PLAIN_WORDS.has(word) || /[^a-z]/.test(word));
}

// A text that grows: what may be shown of it, and what may yet turn out to be a reference.
export function settled(text) {
  const end = text.slice(-LONGEST);
  const begun = BEGUN.exec(end);
  const at = begun ? text.length - end.length + begun.index : text.length;
  return [hidden(text.slice(0, at)), text.slice(at)];
}
