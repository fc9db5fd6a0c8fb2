"""Which step of a migration is due, by its phase; and what a lost link or host means in each."""

from pagingviz.migration import postcopy, precopy
from pagingviz.migration.effects import Step
from pagingviz.migration.ending import give_up
from pagingviz.migration.remus import fail_over
from pagingviz.migration.send import send
from pagingviz.migration.situation import Situation
from pagingviz.migration.state import BROKEN, EPOCH, LOST, ROLLING, STATE, WAITING


def next_step(now: Situation) -> Step:
    """What is to be done when the guest has run for as long as the link was busy."""
    st = now.state
    if st.phase == WAITING:
        return precopy.begin(now)
    if st.phase == STATE:
        return postcopy.go_on(now)
    if st.phase == BROKEN:
        return postcopy.recovered(now)
    if st.phase == EPOCH:
        return precopy.suspend(now)
    unsent = st.at < st.rounds[-1].planned
    if unsent and st.total_sent >= int(now.fail[1]):
        if now.fail[0] == "link" and not st.repaired:
            return link_lost(now)
        if now.fail[0] == "host":
            return host_lost(now)
    if st.phase == ROLLING:
        return postcopy.push(now)
    return send(now) if unsent and not precopy.switch_due(now) else precopy.round_over(now)


def link_lost(now: Situation) -> Step:
    """The link is lost, and what is left of the round cannot be sent any more (scenario: fail=link:N)."""
    st = now.state
    lost = f"The link was lost after {st.total_sent:,} pages"
    if st.phase == ROLLING:
        return postcopy.interrupted(now, lost)
    if st.checkpoints:
        return fail_over(now, lost)
    return give_up(now, f"{lost}: the source goes on, and has lost nothing.")


def host_lost(now: Situation) -> Step:
    """The host from which the guest moves is lost, and what it had not sent with it (scenario: fail=host:N)."""
    st = now.state
    lost = f"The source host was lost after {st.total_sent:,} pages"
    if st.checkpoints:
        return fail_over(now, lost)
    return give_up(now, f"{lost}, and the guest with it: no host has all of its memory.", LOST)
