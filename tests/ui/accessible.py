"""What axe-core finds wrong on a page for people who use a keyboard or a screen reader, or need contrast."""

from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Page

AXE = Axe()
GRAVE = ("serious", "critical")


def violations(page: Page) -> list[str]:
    """One line for each rule that is broken gravely: its name, and the first element that breaks it."""
    found = AXE.run(page).response["violations"]
    return [f"{rule['id']}: {rule['nodes'][0]['html'][:200]}" for rule in found if rule["impact"] in GRAVE]
