"""The measures agree with empyrical-reloaded and ta to 1e-10, with cases worked by hand, and survive bad prices."""

import time
import warnings

import numpy as np
import pandas as pd
import pytest

from services.market import embedded
from services.market import indicators as ind

warnings.filterwarnings("ignore", category=FutureWarning)
empyrical = pytest.importorskip("empyrical")
CLOSE = 1e-10


@pytest.fixture(scope="module")
def prices() -> np.ndarray:
    return embedded.prices("AAPL").close


@pytest.fixture(scope="module")
def returns(prices: np.ndarray) -> np.ndarray:
    return ind.simple_returns(prices)


@pytest.fixture(scope="module")
def market() -> np.ndarray:
    return ind.simple_returns(embedded.prices("^GSPC").close)


@pytest.mark.parametrize(
    ("ours", "theirs"),
    [
        (ind.total_return, lambda r: empyrical.cum_returns_final(r)),
        (ind.cagr, lambda r: empyrical.cagr(r)),
        (ind.volatility, lambda r: empyrical.annual_volatility(r)),
        (ind.sharpe, lambda r: empyrical.sharpe_ratio(r)),
        (lambda r: ind.sharpe(r, 0.0001), lambda r: empyrical.sharpe_ratio(r, risk_free=0.0001)),
        (ind.sortino, lambda r: empyrical.sortino_ratio(r)),
        (lambda r: ind.historical_var(r, 0.95), lambda r: empyrical.value_at_risk(r, 0.05)),
        (lambda r: ind.historical_var(r, 0.99), lambda r: empyrical.value_at_risk(r, 0.01)),
        (lambda r: ind.historical_cvar(r, 0.95), lambda r: empyrical.conditional_value_at_risk(r, 0.05)),
        (lambda r: ind.historical_cvar(r, 0.99), lambda r: empyrical.conditional_value_at_risk(r, 0.01)),
        (lambda r: ind.max_drawdown(np.concatenate(([1], np.cumprod(1 + r)))).depth, lambda r: empyrical.max_drawdown(r)),
    ],
)
@pytest.mark.parametrize("days", [2, 21, 61, 249, 8312])
def test_a_measure_of_returns_agrees_with_empyrical(ours, theirs, days, returns) -> None:
    assert ours(returns[-days:]) == pytest.approx(float(theirs(returns[-days:])), rel=CLOSE, abs=1e-13)


@pytest.mark.parametrize("days", [21, 249, 8312])
def test_measures_against_a_benchmark_agree_with_empyrical(days, returns, market) -> None:
    r, b = returns[-days:], market[-days:]
    assert ind.beta(r, b) == pytest.approx(empyrical.beta(r, b), rel=CLOSE)
    assert ind.alpha(r, b) == pytest.approx(empyrical.alpha(r, b), rel=CLOSE)
    assert ind.correlation(r, b) == pytest.approx(np.corrcoef(r, b)[0, 1], rel=CLOSE)


@pytest.mark.parametrize("window", [2, 14, 50, 200])
def test_moving_measures_agree_with_pandas(window, prices, returns) -> None:
    series = pd.Series(prices)
    same(ind.sma(prices, window), series.rolling(window).mean())
    same(ind.ema(prices, window), series.ewm(span=window, adjust=False, min_periods=window).mean())
    same(ind.rolling_volatility(returns, window), pd.Series(returns).rolling(window).std() * np.sqrt(252), 1e-7)
    bands = ind.bollinger(prices, window)
    same(bands.upper, series.rolling(window).mean() + 2 * series.rolling(window).std(ddof=0), 1e-7)


def test_macd_agrees_with_ta_where_its_warm_up_is_right(prices) -> None:
    ta = pytest.importorskip("ta")
    theirs = ta.trend.MACD(pd.Series(prices))
    same(ind.macd(prices).line, theirs.macd())


def test_the_solved_recursion_is_the_loop(prices) -> None:
    """Wilder's average and the EMA against the recursion written out, over lengths around powers of two."""
    for length in (1, 2, 14, 15, 63, 64, 65, 66, 129, 1000):
        values = prices[:length]
        expected, average = [], values[0]
        for value in values:
            average += 2 / 13 * (value - average)
            expected.append(average)
        got = ind.ema(values, 12)
        assert np.allclose(got[11:], expected[11:], rtol=1e-12, atol=0)
        assert np.isnan(got[:11]).all()


def test_rsi_is_wilders_own_example() -> None:
    """The worked table of Wilder's average: the first fourteen changes are averaged plainly, the rest smoothed."""
    closes = [44.34, 44.09, 44.15, 43.61, 44.33, 44.83, 45.10, 45.42, 45.84, 46.08, 45.89, 46.03, 45.61, 46.28, 46.28, 46.00, 46.03]
    got = ind.rsi(closes)
    assert np.isnan(got[:14]).all()
    changes = np.diff(closes)
    rise, fall = np.maximum(changes[:14], 0).mean(), np.maximum(-changes[:14], 0).mean()
    assert got[14] == pytest.approx(100 - 100 / (1 + rise / fall), rel=1e-12)
    rise, fall = (rise * 13 + max(changes[14], 0)) / 14, (fall * 13 + max(-changes[14], 0)) / 14
    assert got[15] == pytest.approx(100 - 100 / (1 + rise / fall), rel=1e-12)
    assert got[14] == pytest.approx(70.46, abs=0.01)


def test_atr_is_nan_not_zero_until_it_is_known_and_then_worked_by_hand() -> None:
    high, low, close = [10, 12, 13, 12], [8, 9, 11, 10], [9, 11, 12, 11]
    assert ind.true_range(high, low, close).tolist() == [2, 3, 2, 2]
    got = ind.atr(high, low, close, window=3)
    assert np.isnan(got[:2]).all()
    assert got[2:] == pytest.approx([7 / 3, (7 / 3 * 2 + 2) / 3], rel=1e-12)


def test_a_drawdown_has_its_peak_trough_and_recovery() -> None:
    fall = ind.max_drawdown([100, 120, 90, 60, 110, 120, 130])
    assert (fall.depth, fall.peak, fall.trough, fall.recovered) == (-0.5, 1, 3, 5)
    assert ind.max_drawdown([100, 80]).recovered is None
    assert ind.max_drawdown([1, 2, 3]).depth == 0


def test_the_index_fell_56_78_percent_from_2007_to_2009() -> None:
    bars = embedded.prices("^GSPC")
    window = bars.between(*np.array(["2007-01-01", "2009-12-31"], dtype="datetime64[D]").tolist())
    fall = ind.max_drawdown(window.close)
    assert round(fall.depth, 4) == -0.5678
    assert (str(window.dates[fall.peak]), str(window.dates[fall.trough])) == ("2007-10-09", "2009-03-09")


def test_a_position_loses_its_risk_at_the_stop_and_never_costs_more_than_there_is() -> None:
    assert ind.position_size(10_000, 0.01, 100, 95) == pytest.approx(20)
    assert ind.position_size(10_000, 0.01, 100, 99.99) == pytest.approx(100)
    assert np.isnan(ind.position_size(10_000, 0.01, 100, 100))


def test_parametric_tails_are_those_of_the_normal() -> None:
    r = np.array([-0.02, 0.0, 0.02])
    assert ind.parametric_var(r, 0.95) == pytest.approx(-1.6448536269514722 * 0.02, rel=1e-12)
    assert ind.parametric_cvar(r, 0.95) == pytest.approx(-0.10313564037537128 / 0.05 * 0.02, rel=1e-9)


def test_momentum_and_the_52_week_range_look_back_over_trading_days() -> None:
    p = np.arange(1.0, 301.0)
    assert ind.momentum(p, 21) == pytest.approx(300 / 279 - 1)
    assert ind.year_range(p) == (49.0, 300.0)
    assert np.isnan(ind.momentum(p[:21], 21))


MEASURES = (ind.total_return, ind.cagr, ind.volatility, ind.sharpe, ind.sortino, ind.historical_var, ind.historical_cvar, ind.parametric_var)


def test_nothing_gives_nothing() -> None:
    assert all(np.isnan(measure([])) for measure in MEASURES)
    assert ind.max_drawdown([]) is None
    for moving in (ind.sma([], 3), ind.ema([], 3), ind.rsi([]), ind.rolling_volatility([], 3), ind.bollinger([]).upper, ind.macd([]).line):
        assert len(moving) == 0


def test_one_return_has_a_size_but_no_spread() -> None:
    assert ind.total_return([0.1]) == pytest.approx(0.1)
    assert ind.historical_var([0.1]) == pytest.approx(0.1)
    assert np.isnan(ind.volatility([0.1])) and np.isnan(ind.sharpe([0.1]))


def test_constant_prices_have_no_ratio() -> None:
    flat = ind.simple_returns([5.0] * 40)
    assert ind.volatility(flat) == 0 and ind.total_return(flat) == 0
    assert np.isnan(ind.sharpe(flat)) and np.isnan(ind.sortino(flat)) and np.isnan(ind.beta(flat, flat))
    assert np.isnan(ind.correlation(flat, flat))
    assert ind.rsi([5.0] * 40)[-1] == 50
    assert ind.rolling_volatility(flat, 21)[-1] == 0


def test_a_gap_is_left_out_of_a_measure_and_blanks_a_moving_one() -> None:
    prices = np.array([1.0, 2, np.nan, 4, 5, 6])
    returns = ind.simple_returns(prices)
    assert ind.total_return(returns) == pytest.approx(2 * 1.25 * 1.2 - 1)
    assert np.isnan(ind.sma(prices, 2)[2:4]).all() and ind.sma(prices, 2)[4] == 4.5


def test_a_price_at_or_below_zero_is_no_base_for_a_return() -> None:
    returns = ind.simple_returns([10.0, -5.0, 20.0, 0.0, 10.0])
    assert returns[0] == -1.5 and returns[2] == -1.0
    assert np.isnan(returns[[1, 3]]).all()
    assert np.isnan(ind.log_returns([10.0, -5.0])).all()


def test_returns_of_different_length_are_refused() -> None:
    with pytest.raises(ValueError, match="3 and 2 days"):
        ind.beta([0.1, 0.2, 0.3], [0.1, 0.2])


def test_twenty_symbols_of_20_000_bars_take_under_150_ms() -> None:
    from datetime import date

    from services.market.bars import Bars, History
    from services.market.embedded import NOTE
    from services.market.instruments import Instrument
    from services.market.measures import measure

    rng = np.random.default_rng(1)
    dates = np.datetime64("1950-01-01") + np.arange(20_000)
    histories = []
    for n in range(20):
        close = 100 * np.exp(np.cumsum(rng.normal(0.0002, 0.01, 20_000)))
        bars = Bars(dates, close, close, close * 1.01, close * 0.99, close)
        histories.append(History(Instrument(f"S{n}", f"S{n}", "", "USD"), bars, date(1950, 1, 1), bars.last, NOTE))
    measure(histories[0], histories[1], more=True)
    best = min(timed(lambda: [measure(h, histories[0], more=True) for h in histories]) for _ in range(3))
    assert best < 0.150


def timed(work) -> float:
    begun = time.process_time()
    work()
    return time.process_time() - begun


def same(ours: np.ndarray, theirs: pd.Series, tolerance: float = CLOSE) -> None:
    expected = theirs.to_numpy()
    assert (np.isnan(ours) == np.isnan(expected)).all()
    known = ~np.isnan(expected)
    assert np.allclose(ours[known], expected[known], rtol=tolerance, atol=1e-12)
