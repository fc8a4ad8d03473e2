"""When a grant is renewed and lost: the decisions, in simulated time."""

from __future__ import annotations

from dataclasses import dataclass

import pytest

from konductor._renewal import NOT_RENEWED, TAKEN_BACK, Attempt, Ended, Pause, Renewal, Renewed

HELD = (Renewed.HELD, 0.0)
SILENCE = (Renewed.UNKNOWN, 3600.0)
REFUSED = (Renewed.UNKNOWN, 0.0)


@dataclass
class Case:
    """Answers, each after so many seconds, the last one repeated; and what follows from them."""

    claim: str
    answers: list[tuple[Renewed, float]]
    until: float
    sent: list[float]
    lost: tuple[float, str] | None = None


CASES = [
    Case("renewals that are confirmed keep it", [HELD], 45, [10, 20, 30, 40]),
    Case("one that hangs is given up, and another is sent", [SILENCE, HELD], 26, [10, 15, 25]),
    Case("without an answer it is lost at 4/5", [SILENCE], 60, [10, 16, 22], (24, NOT_RENEWED)),
    Case(
        "the TTL counts from before the renewal was sent",
        [(Renewed.HELD, 4.0), SILENCE],
        60,
        [10, 20, 26, 32],
        (34, NOT_RENEWED),
    ),
    Case(
        "taken back is lost at once",
        [HELD, (Renewed.TAKEN_BACK, 0.0)],
        60,
        [10, 20],
        (20, TAKEN_BACK),
    ),
    Case("refusals are sent again at a thirtieth", [REFUSED], 14.5, [10, 11, 12, 13, 14]),
]
CASES[1].sent = [10, 16, 26]


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.claim)
def test_a_renewal_is_sent_at_a_third_and_lost_at_four_fifths(case: Case) -> None:
    renewal = Renewal(30, 0)
    now, sent = 0.0, list[float]()
    lost = None
    while now <= case.until:
        step: Pause | Attempt | Ended | None = renewal.step(now)
        if isinstance(step, Pause):
            now += step.seconds
            continue
        if isinstance(step, Attempt):
            renewed, after = case.answers[min(len(sent), len(case.answers) - 1)]
            begun = now
            sent.append(round(now, 6))
            now += min(after, step.limit)
            step = renewal.answer(renewed if after <= now - begun else Renewed.UNKNOWN, begun, now)
        if isinstance(step, Ended):
            lost = (round(now, 6), step.why)
            break
    assert (sent, lost) == (case.sent, case.lost)


def test_a_loss_is_noticed_within_a_second_of_waking() -> None:
    # Timers stand still during sleep, so no pause is longer than a second.
    renewal = Renewal(3600, 0)
    step = renewal.step(300)
    assert isinstance(step, Pause)
    assert step.seconds <= 1
    assert renewal.step(300 + 3600) == Ended(NOT_RENEWED)
