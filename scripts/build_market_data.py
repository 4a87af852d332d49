"""Build the embedded market data of services/market/data/ from the packages that carry it.

Run it in an environment of its own, not in the application's:

    python -m venv build/data-venv
    build/data-venv/bin/pip install skfolio==1.12.2 statsmodels==0.15.0 arch==8.0.0 pytickersymbols==1.17.10
    build/data-venv/bin/python scripts/build_market_data.py

It writes prices.npz, ohlc.npz, macro.npz, instruments.csv and the packages' licences; data/PROVENANCE.md, written by
hand, describes them. The same packages give the same files.
"""

import csv
import importlib.util
import re
from importlib.metadata import distribution, version
from pathlib import Path

import numpy as np
import pandas as pd

DATA = Path(__file__).resolve().parent.parent / "services" / "market" / "data"
PACKAGES = ("skfolio", "statsmodels", "arch", "pytickersymbols")

NAME_LISTS = (
    "S&P 500", "DOW JONES", "NASDAQ 100", "DAX", "CAC_40", "EURO STOXX 50", "FTSE 100", "IBEX 35", "AEX",
    "BEL 20", "Switzerland 20", "OMX Stockholm 30", "OMX Helsinki 25", "NIKKEI 225",
)
EXCHANGES = {  # Yahoo suffix: exchange, currency
    "": ("US", "USD"), "T": ("TSE", "JPY"), "L": ("LSE", "GBP"), "DE": ("XETRA", "EUR"),
    "PA": ("Euronext Paris", "EUR"), "MC": ("BME", "EUR"), "ST": ("Nasdaq Stockholm", "SEK"),
    "AS": ("Euronext Amsterdam", "EUR"), "HE": ("Nasdaq Helsinki", "EUR"), "BR": ("Euronext Brussels", "EUR"),
    "SW": ("SIX", "CHF"), "MI": ("Borsa Italiana", "EUR"), "A": ("US", "USD"), "B": ("US", "USD"),
}


def main() -> None:
    write_prices()
    write_ohlc()
    write_macro()
    write_instruments()
    write_licences()


def days(index) -> np.ndarray:
    """An index of dates as int32 days since 1970-01-01: small, exact and free of time zones."""
    return pd.DatetimeIndex(index).to_numpy().astype("datetime64[D]").astype(np.int32)


def write_prices() -> None:
    """Daily adjusted closes. They have three decimals at source, so thousandths in int32 are exact."""
    from skfolio.datasets import load_sp500_dataset, load_sp500_index

    stocks, index = load_sp500_dataset(), load_sp500_index()
    frame = stocks.join(index.rename(columns={"SP500": "^GSPC"}))
    thousandths = np.rint(frame.to_numpy() * 1000)
    assert np.allclose(thousandths / 1000, frame.to_numpy(), rtol=0, atol=1e-9)
    np.savez_compressed(
        DATA / "prices.npz",
        days=days(frame.index),
        symbols=np.array(frame.columns, dtype="U8"),
        thousandths=thousandths.astype(np.int32).T.copy(),
    )


def write_ohlc() -> None:
    """Daily open, high, low, close and volume of two indices; the indices pay nothing out, so close is adjusted close."""
    from arch.data import nasdaq, sp500

    arrays: dict[str, np.ndarray] = {}
    for symbol, module in (("^GSPC", sp500), ("^IXIC", nasdaq)):
        frame = module.load()
        prices = frame[["Open", "High", "Low", "Close"]].to_numpy().T
        arrays[f"{symbol}.days"] = days(frame.index)
        arrays[f"{symbol}.ohlc"] = np.round(prices, 2)
        arrays[f"{symbol}.volume"] = frame["Volume"].to_numpy().astype(np.int64)
    np.savez_compressed(DATA / "ohlc.npz", **arrays)


def write_macro() -> None:
    """US macro series under the ids FRED gives them. Rates stay in percent, as published."""
    import statsmodels.api as sm
    from arch.data import core_cpi, default, vix

    table = sm.datasets.macrodata.load_pandas().data
    quarters = pd.PeriodIndex.from_fields(
        year=table["year"].astype(int), quarter=table["quarter"].astype(int), freq="Q"
    ).to_timestamp(how="end")
    arrays: dict[str, np.ndarray] = {}
    for series, column in (("GDPC1", "realgdp"), ("CPIAUCSL", "cpi"), ("UNRATE", "unemp"), ("TB3MS", "tbilrate")):
        arrays[f"{series}.days"], arrays[f"{series}.values"] = days(quarters), table[column].to_numpy()
    corporate = default.load()
    for series, frame in (
        ("CPILFESL", core_cpi.load().iloc[:, 0]), ("VIXCLS", vix.load().iloc[:, 0]),
        ("AAA", corporate["AAA"]), ("BAA", corporate["BAA"]),
    ):
        frame = frame.dropna()
        arrays[f"{series}.days"], arrays[f"{series}.values"] = days(frame.index), frame.to_numpy(dtype=float)
    np.savez_compressed(DATA / "macro.npz", **arrays)


def write_instruments() -> None:
    """Names of large companies. Rows of instruments_hand.csv, which is written by hand, go before these."""
    rows: dict[str, tuple[str, str]] = {}
    indices = load_symbol_lists()
    for name in NAME_LISTS:
        for company in indices[name]["companies"]:
            symbol = re.sub(r"\.(PA|AS)\.DE$", r".\1", company.get("symbol") or "")
            if re.fullmatch(r"[A-Z0-9&-]{1,10}(\.[A-Z]{1,2})?", symbol):
                rows.setdefault(symbol, (tidy(company["name"]), symbol.rpartition(".")[2] if "." in symbol else ""))
    with (DATA / "instruments.csv").open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(("symbol", "name", "exchange", "currency", "kind", "aliases"))
        for symbol, (name, suffix) in sorted(rows.items()):
            if suffix in EXCHANGES:
                writer.writerow((symbol, name, *EXCHANGES[suffix], "stock", ""))


def load_symbol_lists() -> dict:
    """The package's data module by its file: importing the package would ask for an HTML parser as well."""
    path = distribution("pytickersymbols").locate_file("pytickersymbols/indices_data.py")
    spec = importlib.util.spec_from_file_location("indices_data", path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module.INDICES


def tidy(name: str) -> str:
    return re.sub(r"\s*\((company|corporation|brand)\)$", "", name.replace("\xa0", " ")).strip()


def write_licences() -> None:
    folder = DATA / "licences"
    folder.mkdir(exist_ok=True)
    for package in PACKAGES:
        files = [f for f in distribution(package).files if "LICENSE" in f.name and ".dist-info" in str(f)]
        text = distribution(package).locate_file(files[0]).read_text(encoding="utf-8")
        (folder / f"{package}-{version(package)}.txt").write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
