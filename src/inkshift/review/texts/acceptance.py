"""What the pages of acceptance say."""

from __future__ import annotations

from collections.abc import Mapping

TEXTS: Mapping[str, tuple[str, str]] = {
    "acceptance": ("Acceptance", "Aceptación"),
    "acceptance_hint": (
        "Which readings can go through without a second look, and what that promises.",
        "Qué lecturas pueden pasar sin una segunda mirada, y qué promete eso.",
    ),
    "accepted_one": ("accepted unseen", "aceptado sin ver"),
    "open_one": ("open", "abierto"),
    "applied": ("Applied to this batch", "Aplicado a este lote"),
    "applied_by": ("Applied by", "Aplicado por"),
    "applied_promise": (
        "at most {error} % wrong, with {confidence} % confidence",
        "como máximo {error} % de errores, con {confidence} % de confianza",
    ),
    "apply": ("Accept these in this batch", "Aceptarlos en este lote"),
    "at_most": ("at most {share} %", "como máximo {share} %"),
    "curve": (
        "Share accepted and error among the accepted, for each least confidence; the slider says the same in words.",
        "Parte aceptada y error entre los aceptados, para cada confianza mínima; el control lo dice con palabras.",
    ),
    "error_bound": (
        "Error among them, with {confidence} % confidence",
        "Error entre ellos, con {confidence} % de confianza",
    ),
    "error_curve": (
        "Error among the accepted: upper bound at {confidence} %, and as counted (dotted)",
        "Error entre los aceptados: cota superior al {confidence} %, y lo contado (punteado)",
    ),
    "labels": ("Labels", "Etiquetas"),
    "labels_blind": ("{n} typed blind", "{n} cargadas a ciegas"),
    "labels_hint": (
        "Only what was typed without sight of the reading counts: double keying, or labels that were there before. "
        "With single keying the reading is in view, and such labels are too kind to it.",
        "Solo cuenta lo cargado sin ver la lectura: doble carga, o etiquetas que ya existían. Con una sola carga la "
        "lectura está a la vista, y esas etiquetas la favorecen.",
    ),
    "labels_lacking": (
        "At best {accepted} are accepted with {wrong} wrong; {labels} or more are missing: {forms} forms or more.",
        "A lo sumo se aceptan {accepted} con {wrong} errores: faltan {labels} o más: {forms} formularios o más.",
    ),
    "labels_needed": (
        "{error} % at {confidence} % confidence takes at least {n} accepted labels without one wrong.",
        "{error} % con {confidence} % de confianza requiere al menos {n} etiquetas aceptadas sin ningún error.",
    ),
    "labels_shown": (
        "{n} settled with the reading in view, biased: counted as read wrong",
        "{n} resueltas con la lectura a la vista, sesgadas: cuentan como mal leídas",
    ),
    "labels_waiting": ("{n} still wait", "{n} aún esperan"),
    "least_confidence": ("Least confidence", "Confianza mínima"),
    "level_text": (
        "Least confidence {threshold}: {accepted} accepted, error {bound}, {straight} of forms straight through",
        "Confianza mínima {threshold}: {accepted} aceptados, error {bound}, {straight} de formularios sin revisión",
    ),
    "no_labels": (
        "Nobody typed a field of such forms blind yet. Let two people key a random sample of forms, as a batch of "
        "its own with double keying.",
        "Nadie cargó aún a ciegas un campo de estos formularios. Haga cargar una muestra al azar de formularios por "
        "dos personas, como un lote propio con doble carga.",
    ),
    "not_fair": (
        "Some of these fields still wait. The queue gives the least certain ones first, so what is settled by now is "
        "no fair sample and promises nothing: settle the batch to its end.",
        "Algunos de estos campos aún esperan. La cola da primero los menos seguros, así que lo resuelto hasta ahora no "
        "es una muestra justa y no promete nada: resuelva el lote hasta el final.",
    ),
    "not_promised": (
        "{error} % with {confidence} % confidence cannot be promised with these labels.",
        "Con estas etiquetas no se puede prometer {error} % con {confidence} % de confianza.",
    ),
    "nothing_possible": (
        "With these labels nothing can be promised.",
        "Con estas etiquetas no se puede prometer nada.",
    ),
    "policy_download": ("Download policy.json", "Descargar policy.json"),
    "possible": (
        "With these labels {error} % could be promised. To choose that now is to look first: say so where you use it.",
        "Con estas etiquetas se podría prometer {error} %. Elegirlo ahora es mirar primero: dígalo donde lo use.",
    ),
    "promise": ("Promise", "Promesa"),
    "promise_ask": ("Test this promise", "Probar esta promesa"),
    "promise_confidence": ("with confidence", "con confianza"),
    "promise_error": ("At most wrong", "Errores como máximo"),
    "promise_hint": (
        "Choose the error first, then test it once. Some of the labelled forms learn where to accept, the others test "
        "it, so that the promise holds for further forms like these.",
        "Elija primero el error y pruébelo una sola vez. Una parte de los formularios etiquetados aprende dónde "
        "aceptar y el resto lo prueba, para que la promesa valga en otros formularios como estos.",
    ),
    "promised": (
        "At most {error} % of accepted numbers wrong, with {confidence} % confidence: {share} % accepted",
        "Como máximo {error} % de errores entre los aceptados, con {confidence} % de confianza: {share} % aceptados",
    ),
    "promised_more": (
        "Accepted from confidence {at}; {straight} % of the forms go straight through. Tested on {forms} forms: {n} "
        "accepted fields, {wrong} of them wrong.",
        "Se acepta desde confianza {at}; {straight} % de los formularios pasan sin revisión. Probado en {forms} "
        "formularios: {n} campos aceptados, {wrong} con error.",
    ),
    "share_accepted": ("Fields accepted", "Campos aceptados"),
    "show_level": ("Show", "Mostrar"),
    "straight": ("Forms straight through", "Formularios sin revisión"),
    "take_back": ("Take back", "Retirar"),
    "taken_back": ("taken back", "retirado"),
    "threshold": ("Threshold", "Umbral"),
    "threshold_hint": (
        "The bound is exact for one threshold chosen beforehand and one field a form. A promise is tested below.",
        "La cota es exacta para un umbral elegido de antemano y un campo por formulario. La promesa se prueba abajo.",
    ),
    "too_few": ("Too few labels for this promise.", "Muy pocas etiquetas para esta promesa."),
    "wrong_accepted": ("Labelled ones wrong", "Etiquetados con error"),
    "wrong_of": ("{wrong} of {n}", "{wrong} de {n}"),
}
