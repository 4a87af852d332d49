"""Train the workflow detector's linear model: `python -m scripts.train_detector`.

Reads the training part of tests/data/workflow_messages.tsv, chooses penalty and threshold by cross-validation within
that part, and writes services/workflows/detector.json. The test part is never read here.
"""

import csv
import json
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from services.workflows.catalogue import WORKFLOWS
from services.workflows.detector import PHRASES, WEIGHTS_FILE, certain
from services.workflows.features import Reading, read

MESSAGES = Path(__file__).parents[1] / "tests" / "data" / "workflow_messages.tsv"
CLASSES = ["none", *WORKFLOWS]
PENALTIES = (0.002, 0.004, 0.006, 0.01, 0.015)
FALSE_TRIGGERS = 0.03  # what the threshold may let through in cross-validation


@dataclass(frozen=True)
class Labelled:
    """One labelled message of the data file."""

    part: str
    workflow: str
    kind: str
    language: str
    symbols: list[str]
    text: str


def load(part: str) -> list[Labelled]:
    """The labelled messages of one part, `train` or `test`."""
    with MESSAGES.open(encoding="utf-8", newline="") as file:
        rows = csv.DictReader(file, delimiter="\t", quoting=csv.QUOTE_NONE)
        return [
            Labelled(row["part"], row["workflow"], row["kind"], row["language"], [s for s in row["symbols"].split(",") if s], row["text"])
            for row in rows
            if row["part"] == part
        ]


def reading_of(message: Labelled) -> Reading:
    return read(message.text, len(message.symbols), PHRASES)


def vocabulary(samples: list[frozenset[str]]) -> dict[str, int]:
    """Features seen at least twice: one seen once says more about its message than about its class."""
    counts: dict[str, int] = {}
    for sample in samples:
        for feature in sample:
            counts[feature] = counts.get(feature, 0) + 1
    return {feature: index for index, feature in enumerate(sorted(f for f, n in counts.items() if n > 1))}


def matrix(samples: list[frozenset[str]], columns: dict[str, int]) -> np.ndarray:
    """Samples × features; the last column is the bias."""
    x = np.zeros((len(samples), len(columns) + 1))
    for row, sample in enumerate(samples):
        known = [columns[feature] for feature in sample if feature in columns]
        x[row, known] = 1
        x[row, -1] = 1
    return x


def fit(x: np.ndarray, y: np.ndarray, penalty: float, steps: int = 600) -> np.ndarray:
    """Multinomial logistic regression by Adam on the whole set; the same data give the same weights."""
    w = np.zeros((x.shape[1], y.shape[1]))
    m, v = np.zeros_like(w), np.zeros_like(w)
    shrink = np.full((x.shape[1], 1), penalty)
    shrink[-1] = 0
    for step in range(1, steps + 1):
        gradient = x.T @ (softmax(x @ w) - y) / len(x) + shrink * w
        m = 0.9 * m + 0.1 * gradient
        v = 0.999 * v + 0.001 * gradient**2
        w -= 0.1 * (m / (1 - 0.9**step)) / (np.sqrt(v / (1 - 0.999**step)) + 1e-8)
    return w


def softmax(z: np.ndarray) -> np.ndarray:
    e = np.exp(z - z.max(axis=1, keepdims=True))
    return e / e.sum(axis=1, keepdims=True)


def cross_validated(samples: list[frozenset[str]], labels: np.ndarray, penalty: float, folds: int = 6) -> np.ndarray:
    """Each message's class probabilities from a model that has not seen it."""
    out = np.zeros((len(samples), len(CLASSES)))
    for fold in range(folds):
        held = np.arange(len(samples)) % folds == fold
        columns = vocabulary([s for s, h in zip(samples, held) if not h])
        x = matrix(samples, columns)
        w = fit(x[~held], np.eye(len(CLASSES))[labels[~held]], penalty)
        out[held] = softmax(x[held] @ w)
    return out


def decide(messages: list[Labelled], probabilities: np.ndarray, threshold: float) -> np.ndarray:
    """The classes decided by rules where they are certain, by the model elsewhere."""
    best = probabilities[:, 1:].argmax(axis=1) + 1
    guess = np.where(probabilities[np.arange(len(best)), best] >= threshold, best, 0)
    for index, message in enumerate(messages):
        if (rule := certain(reading_of(message))) is not None:
            guess[index] = CLASSES.index(rule.workflow or "none")
    return guess


def threshold_for(messages: list[Labelled], probabilities: np.ndarray, labels: np.ndarray) -> tuple[float, float]:
    """The score and threshold of the best macro-F1 that keeps false triggers within FALSE_TRIGGERS."""
    results = []
    for threshold in np.arange(0.36, 0.80, 0.02):
        guess = decide(messages, probabilities, threshold)
        if np.mean(guess[labels == 0] != 0) <= FALSE_TRIGGERS:
            results.append((macro_f1(labels, guess), float(threshold)))
    return max(results)


def macro_f1(truth: np.ndarray, guess: np.ndarray) -> float:
    """The mean of the classes' F1, the class none included."""
    scores = []
    for c in range(len(CLASSES)):
        hit = np.sum((truth == c) & (guess == c))
        scores.append(2 * hit / max(1, np.sum(truth == c) + np.sum(guess == c)))
    return float(np.mean(scores))


def main() -> None:
    messages = load("train")
    messages = [message for message in messages if certain(reading_of(message)) is None]  # the model never sees the others
    samples = [reading_of(message).features for message in messages]
    labels = np.array([CLASSES.index(message.workflow) for message in messages])
    best: tuple[float, float, float] | None = None
    for penalty in PENALTIES:
        probabilities = cross_validated(samples, labels, penalty)
        score, threshold = threshold_for(messages, probabilities, labels)
        print(f"penalty {penalty:<6} threshold {threshold:.2f}  macro-F1 {score:.3f} (cross-validated)")
        if best is None or score > best[0]:
            best = (score, penalty, threshold)
    _, penalty, threshold = best
    columns = vocabulary(samples)
    w = fit(matrix(samples, columns), np.eye(len(CLASSES))[labels], penalty)
    names = list(columns)
    weights = {name: [round(float(value), 2) for value in w[index]] for index, name in enumerate(names)}
    WEIGHTS_FILE.write_text(
        json.dumps({"classes": CLASSES, "threshold": round(threshold, 2), "bias": [round(float(b), 2) for b in w[-1]], "weights": weights}, indent=0),
        encoding="utf-8",
    )
    print(f"{len(messages)} messages, {len(names)} features, penalty {penalty}, threshold {threshold:.2f} -> {WEIGHTS_FILE.name}")


if __name__ == "__main__":
    main()
