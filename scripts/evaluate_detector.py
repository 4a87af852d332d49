"""Measure the workflow detector on messages it was not trained on: `make eval`, or `python -m scripts.evaluate_detector`.

Prints macro-F1 (eight classes, none included), the share of messages of the class none that started a workflow, symbol
F1, the F1 of each class, and the time a message takes. Fails when a limit is missed. It shows no message of the test
part: who tunes on them measures nothing any more.
"""

import sys
import time
from collections import Counter
from collections.abc import Callable, Sequence

from scripts.train_detector import CLASSES, Labelled, load
from services.workflows.detector import detect
from services.workflows.features import window

LIMITS = {"macro-F1": 0.90, "false triggers": 0.05, "symbol F1": 0.92, "slowest message, ms CPU": 5.0}


def symbols_of(text: str) -> list[str]:
    """The symbols the application would find."""
    from services.market.symbols import resolve

    return [instrument.symbol for instrument in resolve(window(text)).instruments]


def f1(truth: Sequence[str], guess: Sequence[str], name: str) -> float:
    """The F1 of one class."""
    pairs = Counter(zip(truth, guess))
    hit = pairs[name, name]
    return 2 * hit / max(1, sum(n for (t, _), n in pairs.items() if t == name) + sum(n for (_, g), n in pairs.items() if g == name))


def symbol_f1(messages: Sequence[Labelled], find: Callable[[str], list[str]]) -> float:
    """Micro-averaged over all messages: each symbol named is one, each symbol found is one."""
    hit = found = named = 0
    for message in messages:
        truth, guess = set(message.symbols), set(find(message.text))
        hit, found, named = hit + len(truth & guess), found + len(guess), named + len(truth)
    return 2 * hit / max(1, found + named)


def measure(messages: Sequence[Labelled]) -> dict[str, float]:
    """The figures LIMITS speaks of."""
    detect("warm up", symbols_of("warm up AAPL"))
    guesses, slowest = [], 0.0
    for message in messages:
        started = time.thread_time()
        guesses.append(detect(message.text, symbols_of(message.text)).workflow or "none")
        slowest = max(slowest, time.thread_time() - started)
    truth = [message.workflow for message in messages]
    calm = [guess for label, guess in zip(truth, guesses) if label == "none"]
    figures = {
        "macro-F1": sum(f1(truth, guesses, name) for name in CLASSES) / len(CLASSES),
        "false triggers": sum(guess != "none" for guess in calm) / len(calm),
        "symbol F1": symbol_f1(messages, symbols_of),
        "slowest message, ms CPU": slowest * 1000,
    }
    return figures | {f"F1 {name}": f1(truth, guesses, name) for name in CLASSES}


def main() -> int:
    missed = 0
    for part in ("train", "test"):
        messages = load(part)
        print(f"{part}: {len(messages)} messages, {dict(Counter(message.language for message in messages))}")
        for name, value in measure(messages).items():
            limit = LIMITS.get(name) if part == "test" else None
            good = limit is None or (value >= limit if name.endswith("F1") else value <= limit)
            missed += not good
            print(f"  {name:<24} {value:6.3f}" + (f"   limit {limit}{'' if good else '  MISSED'}" if limit is not None else ""))
    return 1 if missed else 0


if __name__ == "__main__":
    sys.exit(main())
