"""What the pages of new batches say."""

from __future__ import annotations

from collections.abc import Mapping

TEXTS: Mapping[str, tuple[str, str]] = {
    "batch_name": ("Name of the batch", "Nombre del lote"),
    "keying": ("Keying", "Carga"),
    "new_batch": ("New batch", "Nuevo lote"),
    "no_template": (
        "Choose one of the templates and a way of keying.",
        "Elija una de las plantillas y una forma de carga.",
    ),
    "batch_no_templates": (
        "There is no template yet. Design one, or start the program once with pages and their template:",
        "Todavía no hay plantillas. Diseñe una, o inicie una vez el programa con páginas y su plantilla:",
    ),
    "pages": ("Pages", "Páginas"),
    "pages_hint": (
        "PDF, JPEG, PNG, TIFF, HEIC or WebP, several at once, 256 MB together",
        "PDF, JPEG, PNG, TIFF, HEIC o WebP, varias a la vez, 256 MB en total",
    ),
    "read_pages": ("Read the pages", "Leer las páginas"),
    "reading_begin": (
        "What is read can be keyed already.",
        "Lo que ya se leyó se puede cargar.",
    ),
    "reading_done": ("{n} forms were read.", "Se leyeron {n} formularios."),
    "reading_other": (
        "Another batch is being read now; wait until it is done.",
        "Ahora se lee otro lote; espere a que termine.",
    ),
    "reading_pages": ("Reading the pages", "Lectura de las páginas"),
    "reading_show": ("Show them", "Mostrarlos"),
    "template": ("Template", "Plantilla"),
    "upload_read": ("Upload and read", "Subir y leer"),
}
