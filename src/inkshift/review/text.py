"""What the pages say, in English and Spanish."""

from __future__ import annotations

import re
from collections.abc import Mapping

LANGUAGES = {"en": "English", "es": "Español"}

_TEXTS: Mapping[str, tuple[str, str]] = {
    "accepted": ("accepted by the reader", "aceptados por el lector"),
    "accounts_hint": (
        "Nobody has to log in yet. As soon as a supervisor with a password is added, everybody has to.",
        "Todavía nadie tiene que iniciar sesión. En cuanto haya un supervisor con contraseña, todos deberán hacerlo.",
    ),
    "add": ("Add", "Agregar"),
    "add_user": ("Add a person", "Agregar una persona"),
    "agreement": ("How far they agree", "Cuánto coinciden"),
    "agreement_hint": (
        "Correlation says whether two make their mistakes on the same fields; from 0, not at all, to 1, always.",
        "La correlación dice si dos se equivocan en los mismos campos; de 0, nunca, a 1, siempre.",
    ),
    "all_done": ("All done", "Todo listo"),
    "all_done_hint": (
        "No field of this batch waits for you.",
        "Ningún campo de este lote espera por usted.",
    ),
    "answer": ("Number", "Número"),
    "answers": ("Two people disagree. They typed", "Dos personas no coinciden. Escribieron"),
    "batch": ("Batch", "Lote"),
    "batches": ("Batches", "Lotes"),
    "blank": ("blank", "en blanco"),
    "broken": ("Rule broken", "Regla incumplida"),
    "by": ("by", "por"),
    "cancel": ("Close", "Cerrar"),
    "candidates": ("Read as", "Leído como"),
    "change": ("Set password", "Cambiar contraseña"),
    "change_answer": ("change", "cambiar"),
    "cell_title": ("Written {truth}, read as {read}", "Escrito {truth}, leído como {read}"),
    "confidence": ("confidence", "confianza"),
    "confusions": ("Confusions", "Confusiones"),
    "confusions_hint": (
        "Settled fields only: rows are the digits that people settled on, columns what the model read; ∅ is a digit "
        "that is missing on one side. Choose a number to see the crops behind it.",
        "Solo campos resueltos: las filas son los dígitos que decidieron las personas, las columnas lo que leyó el "
        "modelo; ∅ es un dígito que falta de un lado. Elija un número para ver los recortes.",
    ),
    "correlation": ("correlation of errors", "correlación de errores"),
    "crop_of": ("Picture of field {name}", "Imagen del campo {name}"),
    "crossed-out": ("crossed out", "tachado"),
    "decided": ("Decided", "Decidido"),
    "decide_first": (
        "Type the number first, or choose blank, crossed out or cannot read.",
        "Escriba primero el número, o elija en blanco, tachado o ilegible.",
    ),
    "decisions": ("decisions", "decisiones"),
    "delete_first": ("Delete the digits first, then press the letter.", "Borre primero los dígitos y pulse la letra."),
    "disputed": ("disputed", "en disputa"),
    "double": ("keyed twice, blind", "doble carga, a ciegas"),
    "double_model": ("keyed by one person and the model, blind", "cargado por una persona y el modelo, a ciegas"),
    "download": ("Download", "Descargar"),
    "error_400": ("This cannot be done", "No se puede hacer"),
    "error_403": ("This is not yours to do", "No tiene permiso"),
    "error_403_hint": (
        "Load the page again if you logged in since; some pages are for supervisors only.",
        "Vuelva a cargar la página si inició sesión después; algunas páginas son solo para supervisores.",
    ),
    "error_404": ("There is no such page", "No existe esa página"),
    "error_405": ("This cannot be done", "No se puede hacer"),
    "error_409": ("Somebody was quicker", "Alguien fue más rápido"),
    "export": ("Export", "Exportar"),
    "export_open": ("their decided value is empty.", "su valor decidido queda vacío."),
    "offline": (
        "The server does not answer. Nothing that was saved is lost; try again.",
        "El servidor no responde. No se perdió nada de lo guardado; intente de nuevo.",
    ),
    "shut_out": ("shut out", "quitar acceso"),
    "export_csv": ("A row for each field, for any program.", "Una fila por campo, para cualquier programa."),
    "export_jsonl": ("A JSON object for each field.", "Un objeto JSON por campo."),
    "export_label": ("Tasks with pictures, for Label Studio.", "Tareas con imágenes, para Label Studio."),
    "export_xlsx": (
        "A spreadsheet with each picture beside its value.",
        "Una planilla con cada imagen junto a su valor.",
    ),
    "field": ("Field", "Campo"),
    "fields": ("fields", "campos"),
    "form": ("Form", "Formulario"),
    "forms": ("Forms", "Formularios"),
    "held": ("being keyed now", "en carga ahora"),
    "history": ("History", "Historial"),
    "home": ("Back to the batches", "Volver a los lotes"),
    "in": ("in", "en"),
    "key": ("keyed", "cargó"),
    "keys": ("Keys", "Teclas"),
    "keyer": ("keyer", "operador"),
    "left": ("{n} left", "quedan {n}"),
    "local": ("this computer", "esta computadora"),
    "log_in": ("Log in", "Iniciar sesión"),
    "log_out": ("Log out", "Cerrar sesión"),
    "login_failed": ("Name and password do not fit.", "El nombre y la contraseña no coinciden."),
    "login_wait": ("Too many tries; wait a minute.", "Demasiados intentos; espere un minuto."),
    "model": ("model", "modelo"),
    "name": ("Name", "Nombre"),
    "no_accounts": ("no accounts", "sin cuentas"),
    "no_batches": ("No batch is here yet.", "Todavía no hay lotes."),
    "no_batches_hint": (
        "Stop the program and start it with pages and their template:",
        "Detenga el programa e inícielo con páginas y su plantilla:",
    ),
    "no_confusions": ("No field with digits is settled yet.", "Todavía no hay campos resueltos con dígitos."),
    "no_crop": ("There is no picture of this field.", "No hay imagen de este campo."),
    "none": ("none", "ninguno"),
    "open": ("open", "abiertos"),
    "page": ("Whole page", "Página completa"),
    "page_of": ("Page of {form}, field {name} outlined", "Página de {form}, campo {name} marcado"),
    "page_gone": ("The page cannot be shown", "No se puede mostrar la página"),
    "pair": ("Pair", "Par"),
    "agreed": ("agreed", "coinciden"),
    "password": ("Password", "Contraseña"),
    "password_hint": ("at least 10 characters", "al menos 10 caracteres"),
    "people": ("People", "Personas"),
    "read_as": ("Read as {value}. Enter accepts it.", "Leído como {value}. Enter lo acepta."),
    "role": ("Role", "Rol"),
    "save": ("Save", "Guardar"),
    "seconds": ("{n} s each", "{n} s cada uno"),
    "settle": ("settled", "resolvió"),
    "settled": ("settled", "resueltos"),
    "settled_of": ("{n} of {all} settled", "{n} de {all} resueltos"),
    "single": ("keyed once", "una sola carga"),
    "skip": ("Skip to the content", "Ir al contenido"),
    "start": ("Start keying", "Empezar a cargar"),
    "state": ("State", "Estado"),
    "supervisor": ("supervisor", "supervisor"),
    "taken": (
        "Somebody else has that field now; here is the next one.",
        "Otra persona tiene ese campo; aquí el próximo.",
    ),
    "undo": ("undo", "deshacer"),
    "undone": ("Taken back: here it is again.", "Deshecho: aquí está de nuevo."),
    "undone_elsewhere": ("Taken back.", "Deshecho."),
    "nothing_to_undo": ("There is nothing to take back.", "No hay nada para deshacer."),
    "unreadable": ("cannot read", "ilegible"),
    "user_last": (
        "The last supervisor keeps a password, or else everybody could get in.",
        "El último supervisor conserva su contraseña; si no, cualquiera podría entrar.",
    ),
    "user_first": (
        "The first person with a password must be a supervisor.",
        "La primera persona con contraseña debe ser supervisor.",
    ),
    "user_off": ("shut out", "sin acceso"),
    "user_on": ("may log in", "puede entrar"),
    "written": ("written", "escrito"),
}


class Words:
    """The texts in one language: `words("left", n=3)`."""

    def __init__(self, code: str) -> None:
        self.code = code
        self._at = list(LANGUAGES).index(code)
        self.languages = LANGUAGES

    def __call__(self, key: str, **given: object) -> str:
        return _TEXTS[key][self._at].format(**given)

    def of(self, state: str, value: str = "") -> str:
        """A decision or reading in words: its digits, or its state."""
        return value or (self(state) if state in _TEXTS else state)

    def answer(self, shown: str) -> str:
        """The same for one that is written as digits or as the name of a state."""
        return shown if shown.isdigit() else self.of(shown)


_WORDS = {code: Words(code) for code in LANGUAGES}


def language(chosen: str, accepted: str) -> Words:
    """The texts in the language that was chosen, else the first known one that the browser accepts, else English."""
    codes = [chosen, *(code[:2].lower() for code in re.split(r"[,;]\s*", accepted[:200]))]
    return _WORDS[next((code for code in codes if code in _WORDS), "en")]
