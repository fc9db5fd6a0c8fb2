"""Numbers of public reports beside the model's: each is met, or it is said why not; the manual's table shows the same."""

import pytest

from pagingviz.experiments import reports
from pagingviz.experiments.reports import CLOSE, REPORTS
from pagingviz.manual import chapters

pytestmark = pytest.mark.slow


def row(text, number):
    """The cells of the table's row of one of the REPORTS."""
    lines = text.split("| report |")[1].splitlines()[2:]
    return [cell.strip() for cell in lines[number].strip("|").split("|")]


@pytest.mark.parametrize("number", range(len(REPORTS)))
def test_a_reported_number_is_met_or_it_is_said_why_not(number):
    one = REPORTS[number]
    found = reports.model(one)
    assert (abs(found / one.reported - 1) <= CLOSE) == (not one.why), found
    cells = row(chapters.text("measured"), number)
    assert cells[0] == one.source and cells[1] == f"{one.what}: {one.setup}"
    assert cells[2] == f"{one.reported:g} {one.unit}" and cells[3] == f"{found:.4g} {one.unit}"
    assert cells[4] == f"{100 * (found / one.reported - 1):+.1f} %" and cells[5] == one.why


def test_six_numbers_and_more_are_met():
    assert sum(not one.why for one in REPORTS) >= 6 and all(one.source and one.setup for one in REPORTS)
