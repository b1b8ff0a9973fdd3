"""`inkshift template`: make, check and try templates."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from inkshift.cli.app import app
from inkshift.cli.show import note, note_missing_pictures
from inkshift.errors import InputError, RegistrationError, SettingError, TemplateError
from inkshift.files import whole_file, write_whole

if TYPE_CHECKING:
    from inkshift.arrays import Gray
    from inkshift.forms.design.starter import StarterTemplate
    from inkshift.forms.page.files import PageRef

template_app = typer.Typer(no_args_is_help=True, help="Make, check and try templates: where a form's fields are.")
app.add_typer(template_app, name="template")

Template = Annotated[Path, typer.Argument(help="The template, a JSON file.", metavar="FILE", show_default=False)]
Pages = Annotated[
    list[Path],
    typer.Argument(help="Pages of the form: pictures, PDFs, folders.", metavar="PICTURE...", show_default=False),
]
Page = Annotated[
    Path, typer.Argument(help="A page of the form; of a file with several, the first.", show_default=False)
]


@template_app.command()
def check(
    files: Annotated[list[Path], typer.Argument(help="Templates to check.", metavar="FILE", show_default=False)],
) -> None:
    """Check templates; print each problem as `file:line: setting: what is wrong and how to mend it`.

    Example: inkshift template check examples/*/template.json
    """
    from inkshift.forms.template import load_template

    wrong = False
    for file in files:
        try:
            template = load_template(file)
        except TemplateError as e:
            typer.echo(str(e))
            wrong = True
        else:
            typer.echo(
                f"{file}: fine; pages: {len(template.pages)}, fields: {len(template.fields)}, "
                f"rules: {len(template.rules)}"
            )
            note_missing_pictures(file, template)
    raise typer.Exit(1 if wrong else 0)


@template_app.command()
def schema() -> None:
    """Print the JSON schema of templates, for editors that complete and check as you type.

    Example: inkshift template schema > template.schema.json
    """
    from inkshift.forms.design.starter import schema_json

    typer.echo(schema_json(), nl=False)


@template_app.command()
def new(
    pages: Pages,
    out: Annotated[
        Path,
        typer.Option(
            help="The template to write, or a folder for it; never over one that is there.",
            metavar="JSON",
            show_default=False,
        ),
    ],
) -> None:
    """Write a first template from pages of a form: a picture of what is printed on it, marks, lines and fields.

    Give one blank page, or better three or more filled ones, up to 24: what they have in common is taken for print,
    what differs is blanked. Pages that do not show the same form are named and left out; the exit status is then 1.
    Coordinates are pixels of the picture, which is written beside the template.

    Examples:

      inkshift template new blank.png --out form.json

      inkshift template new scans/ --out form.json
    """
    from inkshift.forms.design.printed import as_reference
    from inkshift.forms.design.starter import as_json, start
    from inkshift.forms.page.files import load_page

    file = out if out.suffix.lower() == ".json" else out / "template.json"
    picture = file.with_name(f"{file.stem}-reference.png")
    _must_be_new(file, picture)
    refs, wrong = _some(pages)
    taken, grays = [], []
    for ref in refs:
        try:
            grays.append(as_reference(load_page(ref)))
            taken.append(ref)
        except InputError as e:
            wrong.append(str(e))
    if not grays:
        raise InputError(wrong[0])
    try:
        started = start(grays, file.stem if out == file else out.name, picture.name)
    except RegistrationError as e:
        raise RegistrationError(f"{refs[0].source}: {e}") from None
    file.parent.mkdir(parents=True, exist_ok=True)
    _write_both(file, as_json(started.template), picture, started.picture)
    note(f"wrote {file} and {picture}")
    _tell_start(started, file, taken[started.used[-1]].source)
    left = [
        f"{taken[i].source} page {taken[i].page}: does not show the same form as the others; left out"
        for i in started.left_out
    ]
    _finish(left + wrong)


def _tell_start(started: StarterTemplate, file: Path, page_to_try: str) -> None:
    """What a template holds that was begun, and what to do with it."""
    from inkshift.forms.design.propose import WIDE

    page = started.template.pages[0]
    proposed = [spec.name for spec in page.fields if spec.name != "example"]
    note(f"  print: {_learnt_from(len(started.used))}")
    marks = "four corner marks" if page.marks else "no corner marks"
    note(f"  beside its print, to find it by: {marks}, {len(page.lines)} lines")
    if proposed:
        note(f"  fields proposed: {len(proposed)}, from {proposed[0]} to {proposed[-1]} in reading order")
        if wide := [s.name for s in page.fields if not s.cells and s.box[2] > WIDE * s.box[3]]:
            note(f'  so wide that words may belong in them, then "kind": "text" for "digits": {", ".join(wide)}')
        todo = "name the fields, and delete or move those that are wrong"
    else:
        note("  no boxes to write in were found; there is one field, an example")
        todo = "put your fields in place of the example"
    note(f"next: {todo}; then")
    note(f"  inkshift template try {file} {page_to_try} --out try.png")
    note("what each key means: docs/make-a-template.md, or  inkshift template schema")


@template_app.command()
def reference(file: Template, pages: Pages) -> None:
    """Add the picture of what is printed to a template that has none, from pages of the form.

    Give one blank page, or better three or more filled ones. They are laid by the template's marks or lines; the
    picture is written beside the template, which then names it. The template is written anew, one entry a line.

    Example: inkshift template reference form.json scans/
    """
    from inkshift.forms.design.starter import flattened, learn_reference, register_on_any, with_reference
    from inkshift.forms.page.files import load_page
    from inkshift.forms.page.known import references
    from inkshift.forms.template import load_template

    template = load_template(file)
    wanted = [n for n, page in enumerate(template.pages) if not page.reference]
    if not wanted:
        raise RegistrationError(f"{file}: every page has a reference picture; delete its `reference` to learn it anew")
    suffixes = {n: f"-{n + 1}" if len(template.pages) > 1 else "" for n in wanted}
    pictures = {n: file.with_name(f"{file.stem}-reference{suffixes[n]}.png") for n in wanted}
    _must_be_new(*pictures.values())
    known = references(template, file.parent)
    refs, wrong = _some(pages)
    laid: dict[int, list[tuple[str, Gray]]] = {n: [] for n in wanted}
    for ref in refs:
        name = f"{ref.source} page {ref.page}"
        try:
            design, page = register_on_any(load_page(ref), template, known)
        except (InputError, RegistrationError) as e:
            wrong.append(str(e) if isinstance(e, InputError) else f"{name}: {e}")
            continue
        if design in laid:
            laid[design].append((name, flattened(page, template.pages[design])))
    for n, found in laid.items():
        if not found:
            wrong.append(f"{file}: no page of these is page {n + 1} of the template; it stays without a picture")
            continue
        learnt = learn_reference([gray for _, gray in found], template.pages[n])
        text = with_reference(file.read_text(encoding="utf-8-sig"), n, pictures[n].name)
        _write_both(file, text, pictures[n], learnt.picture)
        note(f"wrote {pictures[n]}, named in {file}; print: {_learnt_from(len(learnt.used))}")
        wrong += [f"{found[i][0]}: does not show the same form as the others; left out" for i in learnt.left_out]
    _finish(wrong)


@template_app.command("try")
def try_template(
    file: Template,
    page: Page,
    out: Annotated[Path, typer.Option(metavar="PNG", help="The picture to write.", show_default=False)],
    model: Annotated[str, typer.Option(help="A shipped model or the folder of another.", show_default="digits")] = "",
) -> None:
    """Draw a template over a page, with what is read in each field: a picture to look at.

    Boxes are green, or orange where a person should look. A page that is not read is drawn too, with the reason and
    which of the template's marks and lines are there (blue) and which are missing (red); the exit status is then 1.

    Example: inkshift template try form.json scan.jpg --out try.png
    """
    from inkshift.forms.out.overlay import preview
    from inkshift.forms.page.files import PageRef, load_page
    from inkshift.forms.reader import Reader

    picture, refused = preview(Reader(file, model=model), load_page(PageRef(str(page), 1)), str(page))
    with whole_file(out) as temporary:
        picture.save(temporary, "PNG")
    note(f"wrote {out}")
    if refused:
        note(f"{page} page 1: {refused}", "red")
        raise typer.Exit(1)


def _some(pages: list[Path]) -> tuple[list[PageRef], list[str]]:
    """Pages to learn from, and why others are none."""
    from inkshift.forms.design.starter import some_pages

    refs, there, wrong = some_pages(pages)
    if there > len(refs):
        note(f"taking {len(refs)} of {there:,} pages, spread evenly")
    return refs, wrong


def _must_be_new(*files: Path) -> None:
    for file in files:
        if file.exists():
            raise SettingError(f"{file}: is there already and is not overwritten; choose another name, or move it away")


def _write_both(file: Path, text: str, picture: Path, pixels: Gray) -> None:
    """A template and the picture that it names; without the one there is not the other."""
    from PIL import Image

    with whole_file(picture) as temporary:
        Image.fromarray(pixels).save(temporary, "PNG", optimize=True)
    try:
        write_whole(file, text.encode())
    except SettingError:
        picture.unlink(missing_ok=True)
        raise


def _learnt_from(pages: int) -> str:
    if pages == 1:
        return (
            "as on the one page, blanked inside the fields; if it is filled in, what is written elsewhere stays: "
            "with three or more filled pages only print does"
        )
    return f"what {pages} pages have in common" + ("; three or more make it surer" if pages == 2 else "")


def _finish(wrong: list[str]) -> None:
    for line in wrong:
        note(f"  {line}", "red")
    raise typer.Exit(1 if wrong else 0)
