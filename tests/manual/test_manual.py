"""The manual: its words cover the pages, its links open, what it names exists, and every citation is one of its sources."""

import re
from collections import Counter

import pytest
from streamlit.testing.v1 import AppTest

from pagingviz.boards.palette import PALETTES
from pagingviz.core.audit.rules import RULES
from pagingviz.manual import chapters, glossary, sources
from pagingviz.manual.chapters import CHAPTERS
from pagingviz.scenario.scenario import FIELDS, HOME, load
from pagingviz.scenario.table import VIEW_FIELDS
from pagingviz.story.steps import notes
from pagingviz.ui import session
from tests.manual import labels
from tests.ui.serving import PAGES, ROOT

MANUAL = ROOT / "pagingviz/manual"
README = ROOT / "README.md"
MAIN = str(ROOT / "pagingviz/ui/main.py")
MET = {"every page", "options", "sentences", "command line"}
TEXTS = [README, *sorted(MANUAL.glob("*.md"))]
LINK = re.compile(r"\]\(([^)]+)\)")
FOREIGN = re.compile(r"\bour facts\b|\bfacts/|\bissue \d|oracle README|(?<!\w)/work/", re.IGNORECASE)


def slug(heading: str) -> str:
    """The anchor of a heading, as GitHub makes it."""
    return re.sub(r"[^\w\- ]", "", heading.strip().lower()).replace(" ", "-")


def anchors(text: str) -> set[str]:
    """All anchors of a text."""
    return {slug(line.lstrip("#")) for line in text.splitlines() if line.startswith("#")}


# ---- the glossary


@pytest.mark.parametrize("texts", [labels.legend_texts, labels.chips, labels.kinds, labels.choices_of_pages, labels.cards])
def test_the_glossary_explains_every_text_of_the_pages(warm, texts):
    found = texts()
    assert len(found) > 10
    assert sorted(text for text in found if not glossary.explain(text)) == []


def test_the_glossary_explains_every_label_of_the_sidebar(warm):
    app = AppTest.from_file(MAIN, default_timeout=60).run()
    of_fields = {field.name for field in FIELDS} | labels.labels_of_fields()
    kinds = (app.sidebar.expander, app.sidebar.button, app.sidebar.selectbox)
    of_notes = {step.label for note in notes(load(HOME).notes) for step in note.steps}
    found = {element.label for kind in kinds for element in kind} - of_fields - of_notes
    home = f"{load(HOME).number} {load(HOME).question}"
    assert {home, "What to try", "CLEAN", "device"} <= found
    found -= {home}  # it stands for itself
    assert sorted(label for label in found if not glossary.explain(label)) == []


def test_a_word_stands_once_in_order_with_a_text_and_pages_where_it_is_met():
    words = glossary.words()
    order = [word.word.lstrip("#").casefold() for word in words]
    assert order == sorted(order) and len(words) > 100
    pages = {title for title, _ in rows_of("address", "page")}
    for word in words:
        assert len(word.text) > 12 and word.text.endswith((".", ".)")), word.word
        assert set(word.met) <= MET | pages, word
    assert [text for text, n in Counter(text for word in words for text in word.explains).items() if n > 1] == []


def test_buttons_take_their_tooltips_from_the_glossary(warm):
    app = AppTest.from_file(MAIN, default_timeout=60).run()
    assert app.button("do-clean").help == glossary.tooltip("CLEAN") and "SHADOW_OP_CLEAN" in glossary.tooltip("CLEAN")
    assert all(button.help for button in app.sidebar.button if str(button.key).startswith("do-"))
    assert "](" not in "".join(glossary.tooltip(word.word) for word in glossary.words())


def test_a_label_without_an_entry_is_noticed():
    assert glossary.explain("a word that nobody uses") is None and glossary.tooltip("nor this") == ""
    assert glossary.explain("1 cell = 4 frames: the worst of them") == glossary.explain("cell")


def test_a_word_of_the_glossary_is_found_in_a_text_as_it_is_written_or_where_a_sentence_begins_with_it():
    def found(text):
        return [(text[first:behind], word) for first, behind, word in glossary.marks(text)]

    assert found("Guest page tables, then guest page tables.") == [("Guest page tables", "Guest page tables")]
    assert found("Pages are sent until it says STOP.") == [("Pages", "page"), ("STOP", "policy")]
    assert found("They stop, and not a bit is lost.") == []


# ---- links, names, numbers


@pytest.mark.parametrize("path", TEXTS, ids=lambda path: path.name)
def test_every_link_opens(path):
    text = path.read_text()
    for target in LINK.findall(text):
        assert "://" not in target, "the manual is complete without the internet"
        file, _, anchor = target.partition("#")
        there = (path.parent / file).resolve() if file else path
        assert there.is_file(), target
        if anchor:
            assert anchor in anchors(there.read_text()), target


@pytest.mark.parametrize("part", CHAPTERS)
def test_every_link_of_a_chapter_opens_on_the_page_too(part):
    shown = chapters.parts(part)
    assert all('" alt="The ' in chapters.picture(content, 720) for kind, content in shown if kind == "picture")
    text = "\n".join(content for kind, content in shown if kind == "text")
    for target in LINK.findall(text):
        page, _, rest = target.partition("?")
        chapter, _, anchor = rest.removeprefix("part=").partition("#")
        assert page == "manual" and chapter in CHAPTERS, target
        assert not anchor or anchor in anchors(chapters.text(chapter)), target
    assert not re.search(r"^##? ", text, re.MULTILINE), "headings are below those of the page"


@pytest.mark.parametrize("path", TEXTS, ids=lambda path: path.name)
def test_files_and_functions_that_a_text_names_exist(path):
    for name, function in re.findall(r"`([\w/]+\.(?:py|js|toml|md|css))(?:: (\w+))?`", path.read_text()):
        file = next((base / name for base in (ROOT / "pagingviz", ROOT) if (base / name).is_file()), None)
        assert file, name
        assert not function or re.search(rf"\b{function}\b", file.read_text()), f"{name}: {function}"
    for name in re.findall(r"`((?:\w+/)+)`", path.read_text()):
        assert any((base / name).is_dir() for base in (ROOT / "pagingviz", ROOT)), name


def test_the_architecture_tells_of_every_room():
    rooms = {path.parent.name for path in (ROOT / "pagingviz").glob("*/__init__.py")}
    text = chapters.text("architecture")
    assert sorted(room for room in rooms if not re.search(rf"^\| (\w+/, )?{room}/[ ,]", text, re.MULTILINE)) == []
    picture = (MANUAL / "architecture.svg").read_text()
    assert sorted(room for room in rooms if f">{room}/<" not in picture and room != "manual") == []


def rows_of(part: str, head: str) -> list[tuple[str, ...]]:
    """The cells of the chapter's table whose first heading is `head`, row by row."""
    lines = chapters.text(part).split(f"| {head} |")[1].splitlines()[2:]
    return [tuple(cell.strip() for cell in line.strip("|").split("|")) for line in lines[: lines.index("")]]


def test_the_address_names_every_page_and_every_key():
    assert [path.strip("`") for _, path in rows_of("address", "page")] == list(PAGES)
    keys = {key for cell, *_ in rows_of("address", "key") for key in re.findall(r"`(\w+)`", cell)}
    assert keys == {"scenario", "do"} | {field.name for field in VIEW_FIELDS}


@pytest.mark.parametrize("field", VIEW_FIELDS, ids=lambda field: field.name)
def test_the_address_says_of_a_key_what_the_table_of_fields_says(field):
    row = next(row for row in rows_of("address", "key") if f"`{field.name}`" in row[0])
    assert row[2] == field.help
    if field.choices:
        assert row[1] == ", ".join(field.choices)


def test_the_command_line_lists_every_field(monkeypatch):
    monkeypatch.setattr(session, "compiled", lambda: False)
    table = read("command-line").table[0].value
    assert list(table["name"]) == [field.name for field in FIELDS]
    assert all(help for help in table["what it does"])


def test_the_rules_are_numbered_and_the_audit_cites_no_others():
    found = re.findall(r"\*\*([SGHF]) (\d+)\.\*\*", chapters.text("rules"))
    by_letter = {letter: [int(n) for known, n in found if known == letter] for letter in "SGHF"}
    assert {letter: numbers == [*range(1, len(numbers) + 1)] for letter, numbers in by_letter.items()} == dict.fromkeys(
        "SGHF", True
    )
    for rule in RULES:
        for letter, number in re.findall(r"\b([SH]) (\d+)", rule.source):
            assert int(number) in by_letter[letter], rule


def test_the_readme_is_short_and_its_commands_exist():
    text = README.read_text()
    assert len(text.splitlines()) <= 90
    assert len(re.findall(r"^!\[", text, re.MULTILINE)) == 2
    makefile = (ROOT / "Makefile").read_text()
    for command in re.findall(r"(?:^ +|`)make (\w+)", text, re.MULTILINE):
        assert re.search(rf"^{command}:.*##", makefile, re.MULTILINE), command
    for path in re.findall(r"`(/[\w-]*)`", text):
        assert path in PAGES, path


def test_the_promise_to_other_programs_stands_where_they_look():
    for part in ("command-line", "address"):
        assert "Stable from now on: names are added, never renamed or removed" in " ".join(chapters.text(part).split())


# ---- sources


def test_every_citation_is_one_of_the_sources():
    assert sources.problems() == []


def test_sources_are_numbered_and_named_once():
    found = sources.sources()
    assert [source.number for source in found] == [*range(1, len(found) + 1)] and len(found) > 50
    assert len({source.title for source in found}) == len(found)


@pytest.mark.parametrize(
    "citation",
    [
        "Source: Xen mm/shadow/common.c (shadow_alloc, shadow_made_up)",
        "shadow/multi.c: sh_no_such_fault, and more",
        "mm/nowhere.c",
        "hvm.c",  # there are two
        "SDM vol. 3, 4.99",
        "APM 15.99",
        "Nobody et al. 2001",
    ],
)
def test_a_citation_that_is_in_no_source_is_found(citation):
    assert list(sources.problem(citation))


@pytest.mark.parametrize(
    "citation",
    [
        "Xen mm/shadow/set.c (shadow_set_l1e ... l4e), multi.c (sh_unhook_*_mappings), oos.c (oos_fixup_add, master)",
        "hvm.c: hvm_emulate_write",
        "SDM vol. 3, 4.3 to 4.8; APM vol. 2, 15.25",
        "Hines, Deshpande and Gopalan 2009 (prepaging)",
        "e.g. self.c(x) in code, or a file of ours such as tests/model.py",
    ],
)
def test_a_good_citation_is_none(citation):
    assert list(sources.problem(citation)) == []


def test_nothing_refers_to_what_is_not_in_the_repository():
    kinds = ("pagingviz/**/*.py", "pagingviz/**/*.js", "pagingviz/**/*.md", "pages/*.py", "tests/**/*.py", "*.md", "Makefile")
    for path in {path for kind in kinds for path in ROOT.glob(kind)} - {ROOT / "tests/manual/test_manual.py"}:
        assert not FOREIGN.search(path.read_text()), path


def test_no_text_is_taken_for_markup_of_the_page():
    """Streamlit reads `:word[...]` outside of code as a colour, and what stands between two dollars as a formula."""
    for part in CHAPTERS:
        text = re.sub(r"`[^`]*`|^ {4}.*$", "", chapters.text(part), flags=re.MULTILINE)
        assert not re.search(r":\w+\[|\$", text), part


# ---- the page


def read(part: str = "") -> AppTest:
    """The page Manual as somebody has it who opens it at a chapter."""
    app = AppTest.from_file(MAIN, default_timeout=60)
    if part:
        app.query_params["part"] = part
    app.run()
    app.switch_page("../../pages/manual.py").run()
    assert not app.exception and not app.error
    return app


@pytest.mark.parametrize("part", CHAPTERS)
def test_a_deep_link_opens_its_chapter_before_anything_is_compiled(part, monkeypatch):
    monkeypatch.setattr(session, "compiled", lambda: False)
    app = read(part)
    assert [header.value for header in app.header] == [CHAPTERS[part]]
    first = next(content for kind, content in chapters.parts(part) if kind == "text")
    assert first[:60] in [text.value[:60] for text in app.markdown]
    assert app.query_params.get("part", "first-steps") == part


def test_another_chapter_is_chosen_and_stands_in_the_address(monkeypatch):
    monkeypatch.setattr(session, "compiled", lambda: False)
    app = read()
    next(item for item in app.button_group if item.label == "Chapter").set_value("glossary").run()
    assert app.query_params["part"] == "glossary" and app.header[0].value == "Glossary"


def test_an_unknown_chapter_is_refused_in_one_sentence(warm):
    app = AppTest.from_file(MAIN, default_timeout=60)
    app.query_params["part"] = "nowhere"
    assert "The chapter 'nowhere' is not known" in app.run().error[0].value


def test_the_pictures_are_small_and_the_drawing_can_be_read_on_any_ground():
    assert (MANUAL / "first-steps.png").stat().st_size < 60_000
    drawing = (MANUAL / "architecture.svg").read_text()
    assert '<rect width="' in drawing and PALETTES["light"].ground in drawing
