"""`inkshift template`: make, check and try templates."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from inkshift.cli.app import app, err

template_app = typer.Typer(no_args_is_help=True, help="Make, check and try templates: where a form's fields are.")
app.add_typer(template_app, name="template")

Template = Annotated[Path, typer.Argument(help="The template, a JSON file.", metavar="FILE", show_default=False)]
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
    from inkshift.errors import TemplateError
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
    raise typer.Exit(1 if wrong else 0)


@template_app.command()
def schema() -> None:
    """Print the JSON schema of templates, for editors that complete and check as you type.

    Example: inkshift template schema > template.schema.json
    """
    from inkshift.forms.starter import schema_json

    typer.echo(schema_json(), nl=False)


@template_app.command()
def new(
    page: Page,
    out: Annotated[Path, typer.Option(help="The template to write; never one that is there.", show_default=False)],
) -> None:
    """Write a first template from a page: its size, corner marks or long lines, and one field to copy.

    A straight, clean scan is best, of a blank form if there is one. Coordinates are its pixels.

    Example: inkshift template new blank.png --out form.json
    """
    from inkshift.errors import RegistrationError, SettingError
    from inkshift.files import whole_file
    from inkshift.forms.pages import PageRef, load_page
    from inkshift.forms.starter import as_json, starter

    if out.exists():
        raise SettingError(f"{out}: is there already and is not overwritten; choose another name")
    try:
        template = starter(load_page(PageRef(str(page), 1)), out.stem)
    except RegistrationError as e:
        raise RegistrationError(f"{page}: {e}") from None
    with whole_file(out) as temporary:
        temporary.write_text(as_json(template), encoding="utf-8")
    found = "four corner marks" if template.pages[0].marks else f"{len(template.pages[0].lines)} lines"
    err.print(f"wrote {out}, to register on {found}; next:", markup=False, highlight=False)
    err.print(f"  put your fields in place of the example, then  inkshift template try {out} {page} --out try.png")


@template_app.command("try")
def try_template(
    file: Template,
    page: Page,
    out: Annotated[Path, typer.Option(metavar="PNG", help="The picture to write.", show_default=False)],
    model: Annotated[str, typer.Option(help="A shipped model or the folder of another.", show_default="digits")] = "",
) -> None:
    """Draw a template over a page, with what is read in each field: a picture to look at.

    Boxes are green, or orange where a person should look.

    Example: inkshift template try form.json scan.jpg --out try.png
    """
    from inkshift.files import whole_file
    from inkshift.forms.pages import PageRef, load_page
    from inkshift.forms.preview import preview
    from inkshift.forms.reader import Reader

    picture = preview(Reader(file, model=model), load_page(PageRef(str(page), 1)), str(page))
    with whole_file(out) as temporary:
        picture.save(temporary, "PNG")
    err.print(f"wrote {out}", markup=False, highlight=False)
