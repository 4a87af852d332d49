import pytest

from services.workflows.verdicts import Verdict, abstention, freshness, label, overall


def view(stance: float, confidence: int, symbol: str | None = None) -> tuple[Verdict, str | None]:
    return Verdict(stance, confidence), symbol


SILENT = (abstention(""), None)


def test_views_that_agree_keep_their_confidence():
    both = overall([view(0.5, 60), view(0.5, 60)])
    assert (both.stance, both.confidence, both.agreement, both.voices) == (0.5, 60, 1.0, 2)


def test_views_that_contradict_halve_it():
    both = overall([view(1, 60), view(-1, 60)])
    assert (both.stance, both.confidence, both.agreement) == (0, 30, 0)
    assert both.because == ("the views differ",)


def test_the_surer_view_weighs_more():
    assert overall([view(1, 90), view(-1, 30)]).stance == pytest.approx(0.5)


def test_missing_and_abstaining_views_lower_the_confidence_alike():
    missing = overall([view(0.5, 60)], missing=1)
    silent = overall([view(0.5, 60), SILENT])
    assert missing.confidence == silent.confidence == 42
    assert (missing.missing, silent.abstained) == (1, 1)


@pytest.mark.parametrize(("days", "confidence"), [(None, 60), (0, 60), (7, 60), (20, 54), (300, 45), (1400, 36)])
def test_old_data_lowers_the_confidence(days, confidence):
    assert overall([view(0.5, 60)], data_age_days=days).confidence == confidence


def test_without_a_voice_there_is_no_view():
    nobody = overall([SILENT], missing=2)
    assert (nobody.confidence, nobody.voices, nobody.agreement, nobody.payload()["label"]) == (0, 0, None, "abstained")


def test_freshness_never_rises_with_age():
    worths = [freshness(days) for days in range(0, 2000, 5)]
    assert worths == sorted(worths, reverse=True)


@pytest.mark.parametrize(("stance", "words"), [(-1, "strongly negative"), (-0.3, "negative"), (0, "neutral"), (0.2, "positive"), (1, "strongly positive")])
def test_a_stance_has_words(stance, words):
    assert label(stance) == words


def test_liking_one_share_and_not_another_is_no_contradiction():
    both = overall([view(0.8, 60, "KO"), view(-0.8, 60, "AAPL"), view(0, 60)])
    assert (both.agreement, both.favoured, both.payload()["bySymbol"]) == (1.0, "KO", {"KO": 0.8, "AAPL": -0.8})


def test_nothing_is_favoured_where_nothing_is_ahead():
    assert overall([view(0.5, 60, "KO"), view(0.45, 60, "PEP")]).favoured is None
    assert overall([view(0.5, 60, "KO")]).favoured is None
