"""Which step of a migration is due, by its phase; and what a lost link means in each."""

from pagingviz.migration import postcopy, precopy
from pagingviz.migration.effects import Step
from pagingviz.migration.ending import give_up
from pagingviz.migration.remus import fail_over
from pagingviz.migration.send import send
from pagingviz.migration.situation import Situation
from pagingviz.migration.state import EPOCH, LOST, ROLLING, STATE, WAITING


def next_step(now: Situation) -> Step:
    """What is to be done when the guest has run for as long as the link was busy."""
    st = now.state
    if st.phase == WAITING:
        return precopy.begin(now)
    if st.phase == STATE:
        return postcopy.go_on(now)
    if st.phase == EPOCH:
        return precopy.suspend(now)
    unsent = st.at < st.rounds[-1].planned
    if unsent and now.fail[0] == "link" and st.total_sent >= int(now.fail[1]):
        return link_lost(now)
    if st.phase == ROLLING:
        return postcopy.push(now)
    return send(now) if unsent and not precopy.switch_due(now) else precopy.round_over(now)


def link_lost(now: Situation) -> Step:
    """The link is lost, and what is left of the round cannot be sent any more (scenario: fail=link:N)."""
    st = now.state
    lost = f"The link was lost after {st.total_sent:,} pages"
    if st.phase == ROLLING:
        return give_up(now, f"{lost}, and the guest with it: neither host has all of its memory.", LOST)
    if st.checkpoints:
        return fail_over(now, lost)
    return give_up(now, f"{lost}: the source goes on, and has lost nothing.")
