"""What the pages say in each language: every text, and every message of the program that a page may show."""

from __future__ import annotations

import ast
import importlib
import itertools
import re
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from types import ModuleType

import pytest

from inkshift.forms.reading import FormReading, PageNote
from inkshift.models.package import load_model, shipped, show_value
from inkshift.review.app import AppSettings
from inkshift.review.core.intake import add_batch
from inkshift.review.core.words import CATALOGUES, LANGUAGES, MESSAGES, Words, _pattern, language
from review_app import client, opened, said_as, token
from review_forms import TALLY

SRC = Path(__file__).parents[1] / "src" / "inkshift"
SHOWN = (
    *(
        path
        for path in (SRC / "review").rglob("*.py")
        if not {"serve.py", "store.py", "backup.py", "migrations"} & set(path.parts)
    ),
    *(SRC / "forms" / "page").glob("*.py"),
    *(SRC / "forms" / name for name in ("template.py", "rules.py", "registration/register.py")),
    SRC / "pictures.py",
    SRC / "remote.py",
    SRC / "datasets" / "labels.py",
)
# Said to whoever programs or types commands, never on a page.
NOT_SHOWN = (
    "picture: expected",
    "is no name that the server makes",
    "in this folder",
    "cannot be searched",
    "expected a file or folder",
    "archive",
    "or one CSV file",
    "relative path",
    "address or query",
    "one for each field",
    "address without user",
    "give the path",
)
OTHERS = [code for code in LANGUAGES if code != "en"]


def written(node: ast.expr | None, module: ModuleType) -> str:
    """A text of the program, its constants filled in, `7` in all other blanks; empty where it is none."""
    if isinstance(node, ast.Constant):
        return str(node.value)
    if isinstance(node, ast.JoinedStr):
        return "".join(written(part, module) for part in node.values)
    if isinstance(node, ast.FormattedValue):
        return str(getattr(module, node.value.id, 7)) if isinstance(node.value, ast.Name) else "7"
    return ""


def messages() -> Iterator[tuple[str, str]]:
    """Where a message is raised, and the message."""
    for path in SHOWN:
        module = importlib.import_module(".".join(path.with_suffix("").relative_to(SRC.parent).parts))
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if not (isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id.endswith("Error")):
                continue
            given = node.args[0] if node.args else None
            texts = given.values if isinstance(given, ast.BoolOp) else [given]
            for text in (written(one, module) for one in texts):
                if re.search("[a-z] ", text) and not any(part in text for part in NOT_SHOWN):
                    yield f"{path.name}:{node.lineno}", text


@pytest.mark.parametrize("code", OTHERS)
def test_a_language_says_all_that_the_pages_say(code: str) -> None:
    assert set(CATALOGUES[code]) == set(CATALOGUES["en"])
    for key, text in CATALOGUES["en"].items():
        blanks = set(re.findall(r"\{\w+\}", said_as(text)[-1]))
        for form in (*said_as(text), *said_as(CATALOGUES[code][key])):
            assert set(re.findall(r"\{\w+\}", form)) == blanks, key


@pytest.mark.parametrize("code", LANGUAGES)
def test_a_text_with_a_count_has_a_form_for_one_and_for_others(code: str) -> None:
    tables = {key: text for key, text in CATALOGUES[code].items() if not isinstance(text, str)}
    assert tables and all(list(forms) == ["one", "other"] for forms in tables.values())


def test_counts_and_moments_are_said_as_the_language_does() -> None:
    english, spanish = Words("en"), Words("es")
    assert [english("audit_count", n=n)[:8] for n in (0, 1, 2)] == ["0 labels", "1 label ", "2 labels"]
    assert [spanish("reread_done", n=n) for n in (1, 1_000_000)] == [
        "Se leyó de nuevo 1 campo.",
        "Se leyeron de nuevo 1000000 campos.",
    ]
    assert [words.grouped("9999 of 38028, 0.12345") for words in (english, spanish)] == [
        "9999 of 38,028, 0.12345",
        "9999 of 38\u202f028, 0.12345",
    ]
    moment = datetime(2026, 11, 9, 15, 3, tzinfo=UTC)
    assert english.when(moment).replace("\u202f", " ") == "Nov 9, 2026, 3:03 PM UTC"
    assert (spanish.day(moment), spanish.when(moment)) == ("9 nov 2026", "9 nov 2026, 15:03 UTC")
    assert (english.card("2026-11-09"), spanish.card("2026-11-09")) == ("Nov 9, 2026", "9 nov 2026")
    assert [words.who(name) for words in (english, spanish) for name in ("model", "local", "ana")] == [
        *("model", "this computer", "ana"),
        *("modelo", "esta computadora", "ana"),
    ]


@pytest.mark.parametrize("code", OTHERS)
def test_a_language_says_all_messages_that_a_page_may_show(code: str) -> None:
    words, found = Words(code), dict(messages())
    assert len(found) > 120
    assert {where: text for where, text in found.items() if words.told(text) == text} == {}
    for english, text in MESSAGES[code].items():
        assert set(re.findall(r"\{\d\}", text)) <= set(re.findall(r"\{\d\}", english)), english


def test_what_fills_a_blank_is_said_as_well() -> None:
    told = Words("es").told
    assert told("a: b.png page 2: the page is all black; scan it again") == (
        "a: b.png página 2: la página es toda negra; escanéela de nuevo"
    )
    page = "the page could lie 4 px left and 3 px down: its print fits there nearly as well; scan it whole, or "
    assert "corrida 4 px a la izquierda y 3 px hacia abajo:" in told(
        f'{page}give the template a picture of the empty form ("reference")'
    )
    assert told("batch 'x': is there already; choose another name\nnothing") == (
        "lote 'x': ya existe; elija otro nombre\nnada"
    )
    assert Words("en").told("the page is all black") == "the page is all black"
    assert told("no such words") == "no such words"


def test_a_blank_ends_where_its_words_first_come() -> None:
    """And is not tried further, so that the longest message takes time in proportion to its length alone."""
    pattern = _pattern("{0}: {1} of {2}")
    found = pattern.fullmatch("a: b of c: d of e")
    assert found and found.groups() == ("a", "b", "c: d of e")
    assert _pattern("{0}: {1} of").fullmatch("a: b of c of") is None
    for text in (": " * 5000, "x page " * 3000, "rule 'a': " * 2000, "{0}" * 3000):
        assert language("es", "").told(text).startswith(text[:1])


def test_pages_show_messages_in_the_language_of_who_asks(tmp_path: Path) -> None:
    with opened(tmp_path) as store:
        why = "scans/a.png page 1: the page does not fit the template: 12% of its print found; is it this form, and "
        note = PageNote("scans/a.png", 1, error=f"{why}scanned whole?")
        add_batch(store, "Votos", [FormReading("a", (), (note,))], template=TALLY)
        browser = client(store, AppSettings(files=tmp_path / "files"))
        browser.headers["Accept-Language"] = "es"
        for path in ("/batches/1", "/pages/1", "/forms/1"):
            text = browser.get(path).text
            assert "la página no coincide con la plantilla: se encontró 12% de su impresión" in text, path
            assert "the page" not in text, path
        given = {"csrf": token(browser), "name": "acta", "page": "1"}
        answer = browser.post("/templates", data=given, files={"file": ("acta.pdf", b"not a pdf")})
        assert answer.status_code == 400 and "acta.pdf: se esperaba" in answer.text and "expected" not in answer.text
        answer = browser.post("/models/back", data={"csrf": token(browser)})
        assert "antes no leía ningún otro modelo; elija uno" in answer.text
        assert "Lee de una vez un número entero" in browser.get("/models").text
        browser.headers["Accept-Language"] = "en"
        assert f"{why}scanned whole?" in browser.get("/pages/1").text.replace("a.png page 1", "scans/a.png page 1")


def test_the_card_of_a_model_is_said() -> None:
    """Names of sets, licences that are names and figures stay as they are."""
    for folder in shipped().values():
        manifest = load_model(folder).manifest
        texts = [manifest.licence, *(source.licence for source in manifest.sources)]
        for part in (manifest.training, manifest.scores, manifest.calibration):
            texts += [*part, *map(show_value, part.values())]
        for code, text in itertools.product(OTHERS, texts):
            if re.search("[a-z]{3}", text) and not re.fullmatch(r"\S*\d\S*", text):
                assert Words(code).card(text) != text, text
        for code, key in itertools.product(LANGUAGES, manifest.calibration):
            assert Words(code).card(key) != key, "what only the program calls so"


# Words that only a `tú` or a `vos` is told, and what begins a clause where one of them is told to do something: within
# a clause "usa" is what somebody else does.
TUTEO = re.compile(
    r"\b(tú|tus?|te|ti|contigo|tuy[oa]s?|vos|puedes|podés|quieres|querés|debes|debés|tienes|tenés|necesitas|eres|"
    r"[a-z]+aste|hiciste|elegiste|escribiste|[a-z]+[aei]rás|[a-z]+[áé]te|haz|elegí|abrí|hacé|poné|asegúrate|fíjate)\b"
    r"|(?:^|[.;:¿¡(]) ?(?:no )?(abre|agrega|añade|aparta|archiva|arrastra|arregla|borra|busca|cambia|cierra|"
    r"comprueba|confirma|copia|corrige|da|decide|deja|detén|devuelve|dibuja|di|elige|envía|escanea|escoge|escribe|espera|"
    r"gira|guarda|habla|indica|ingresa|inicia|intenta|libera|llama|mira|muestra|pide|pon|presiona|"
    r"pulsa|quita|recorta|recuerda|repite|resuelve|revisa|selecciona|sube|toca|toma|usa|ve|verifica|vuelve)\b",
    re.IGNORECASE,
)


def test_spanish_says_usted_throughout() -> None:
    catalogue = {key: text for key, text in CATALOGUES["es"].items() if not key.startswith("d_key_")}  # what a key does
    texts = [said for text in catalogue.values() for said in said_as(text)] + [*MESSAGES["es"].values()]
    assert {text: found[0] for text in texts if (found := TUTEO.search(text))} == {}
    for tu in ("Elige un lote.", "no existe; elige otro", "¿Qué quieres hacer?", "Guardaste tu clave"):
        assert TUTEO.search(tu), tu
