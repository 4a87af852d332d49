"""The words and the lists the page is made of. Data."""

ASSISTANTS = {
    "general": "General",
    "analyst": "Analyst",
    "trader": "Trader",
    "advisor": "Advisor",
    "riskManager": "Risk manager",
    "economist": "Economist",
}
TIMEFRAMES = {"": "Any time", "1m": "1 month", "3m": "3 months", "6m": "6 months", "1y": "1 year", "3y": "3 years",
              "5y": "5 years", "10y": "10 years"}
RISKS = {"": "Any risk", "conservative": "Conservative", "moderate": "Moderate", "aggressive": "Aggressive"}

ENDINGS = {
    "stopped": "stopped by you",
    "length": "cut at the model's length limit",
    "content_filter": "held back in part by the provider's filter",
}

STARTERS = [
    {"assistant": "general", "symbols": "", "question": "What is a drawdown?"},
    {"assistant": "riskManager", "symbols": "AAPL, KO", "question": "How risky is Apple compared with Coca-Cola?"},
    {"assistant": "advisor", "symbols": "AAPL", "question": "Should I invest in Apple for the next three years?"},
]

GROUP = 16
"""Blocks of a live answer that the browser skips together when they are out of sight; views/answer.js has the same."""

STYLES = ["global", "base", "layout", "rail", "composer", "transcript", "prose", "workflow", "evidence", "market", "palette", "account",
          "print"]
MODULES = ["main", "dom", "client", "run", "backoff", "event-id", "sse-parser", "store", "answer", "text", "references", "workflow", "tabs",
           "views/answer", "views/answerers", "views/composer", "views/draft", "views/editor", "views/evidence", "views/length", "views/palette", "views/plan", "views/rail", "views/refresh", "views/scroll",
           "views/status", "views/transcript", "views/workflow"]
