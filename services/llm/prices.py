"""What models cost and how much they can read. The shipped table is dated; the settings may replace any line of it."""

import tomllib
from collections.abc import Container, Mapping
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
            name = known_as(f"{provider}:{model}", self.prices) or known_as(model, self.prices)
            if name is not None:
                return self.prices[name]
        return None

    def window(self, model: str) -> int | None:
        name = known_as(model, self.windows)
        return None if name is None else self.windows[name]


def read_prices(table: Mapping[str, object]) -> dict[str, Price]:
    """Prices out of a TOML table `[prices]` of `model = {input = 0.15, output = 0.6}`."""
    prices: dict[str, Price] = {}
    for model, entry in dict(table.get("prices", {})).items():
        if not isinstance(entry, Mapping) or not all(isinstance(entry.get(side), (int, float)) for side in ("input", "output")):
            raise ValueError(f"the price of {model!r} needs input and output, in dollars per million tokens")
        prices[model] = Price(float(entry["input"]), float(entry["output"]))
    return prices


def known_as(model: str, names: Container[str]) -> str | None:
    """The longest of `names` that `model` is or begins with: providers report `gpt-4o-mini-2024-07-18`."""
    while model not in names:
        cut = max(model.rfind(mark) for mark in "-:@")
        if cut < 0:
            return None
        model = model[:cut]
    return model
