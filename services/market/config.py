"""What the market services may use, read once from an environment. By default: no network at all."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

ORDER = ("yahoo", "twelvedata", "alphavantage", "finnhub", "embedded")
ADDRESSES = {
    "yahoo": "https://query1.finance.yahoo.com",
    "twelvedata": "https://api.twelvedata.com",
    "alphavantage": "https://www.alphavantage.co",
    "finnhub": "https://finnhub.io",
    "fred": "https://api.stlouisfed.org",
    "sec": "https://data.sec.gov",
    "sec_files": "https://www.sec.gov",
}
KEYS = {
    "twelvedata": "TWELVEDATA_API_KEY", "alphavantage": "ALPHAVANTAGE_API_KEY", "finnhub": "FINNHUB_API_KEY",
    "fred": "FRED_API_KEY", "sec": "SEC_CONTACT", "yahoo": "YAHOO_CHART",
}
OFF = ("", "0", "false", "no", "off")


@dataclass(frozen=True)
class MarketSettings:
    """`keys` holds what is configured, by source; its repr shows names only. Times are seconds."""

    keys: Mapping[str, str] = field(default_factory=dict, repr=False)
    addresses: Mapping[str, str] = field(default_factory=lambda: dict(ADDRESSES))
    order: tuple[str, ...] = ORDER
    source_timeout: float = 4.0
    quote_ttl: float = 60.0
    sec_per_second: float = 10.0

    @classmethod
    def from_environ(cls, environ: Mapping[str, str]) -> MarketSettings:
        """Settings from names such as FINNHUB_API_KEY, MARKET_SOURCES, MARKET_TIMEOUT and FINNHUB_BASE_URL."""
        keys = {source: environ.get(name, "").strip() for source, name in KEYS.items()}
        addresses = {
            source: (environ.get(f"{source.upper()}_BASE_URL") or address).rstrip("/")
            for source, address in ADDRESSES.items()
        }
        named = tuple(name.strip().lower() for name in environ.get("MARKET_SOURCES", "").split(",") if name.strip())
        unknown = set(named) - set(ORDER)
        if unknown:
            raise ValueError(f"MARKET_SOURCES names no such source: {', '.join(sorted(unknown))}")
        return cls(
            keys={source: key for source, key in keys.items() if key.lower() not in OFF},
            addresses=addresses,
            # The embedded set is the last resort whatever the order says: an answer without a network must stay possible.
            order=tuple(dict.fromkeys((*named, "embedded"))) if named else ORDER,
            source_timeout=float(environ.get("MARKET_TIMEOUT") or cls.source_timeout),
        )

    def configured(self, source: str) -> bool:
        return source == "embedded" or source in self.keys

    @property
    def networked(self) -> bool:
        """Whether any source of prices beyond the embedded set is configured."""
        return any(self.configured(s) for s in self.order if s != "embedded")
