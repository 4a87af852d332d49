"""What models cost and how much they can read. The shipped table is dated; the settings may replace any line of it."""

import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType

_SHIPPED = Path(__file__).with_name("models.toml")


@dataclass(frozen=True, slots=True)
class Price:
    """US dollars per million tokens."""

    input: float
    output: float

    def of(self, prompt_tokens: int, completion_tokens: int) -> float:
        return (self.input * prompt_tokens + self.output * completion_tokens) / 1_000_000


@dataclass(frozen=True, slots=True)
class PriceTable:
    prices: Mapping[str, Price] = field(default_factory=lambda: MappingProxyType({}))
    windows: Mapping[str, int] = field(default_factory=lambda: MappingProxyType({}))

    @classmethod
    def shipped(cls) -> "PriceTable":
        table = tomllib.loads(_SHIPPED.read_text("utf-8"))
        return cls(read_prices(table), dict(table.get("windows", {})))

    def with_(self, prices: Mapping[str, Price]) -> "PriceTable":
        return PriceTable({**self.prices, **prices}, self.windows)

    def price(self, provider: str, *models: str) -> Price | None:
        """The price of the first of `models` that is known: as reported, else as asked for."""
        for model in models:
            found = _longest(self.prices, f"{provider}:{model}") or _longest(self.prices, model)
            if found is not None:
                return found
        return None

    def window(self, model: str) -> int | None:
        return _longest(self.windows, model)


def read_prices(table: Mapping[str, object]) -> dict[str, Price]:
    """Prices out of a TOML table `[prices]` of `model = {input = 0.15, output = 0.6}`."""
    prices: dict[str, Price] = {}
    for model, entry in dict(table.get("prices", {})).items():
        if not isinstance(entry, Mapping) or not all(isinstance(entry.get(side), (int, float)) for side in ("input", "output")):
            raise ValueError(f"the price of {model!r} needs input and output, in dollars per million tokens")
        prices[model] = Price(float(entry["input"]), float(entry["output"]))
    return prices


def _longest(table: Mapping[str, object], model: str) -> object | None:
    """The entry with the longest name that `model` begins with: providers report `gpt-4o-mini-2024-07-18`."""
    names = [name for name in table if model == name or model.startswith((f"{name}-", f"{name}:", f"{name}@"))]
    return table[max(names, key=len)] if names else None
