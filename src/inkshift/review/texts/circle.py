"""What the pages of data sets, models and studies say."""

from __future__ import annotations

from collections.abc import Mapping

TEXTS: Mapping[str, tuple[str, str]] = {
    "a_model": ("Model", "Modelo"),
    "a_person": ("By", "Por"),
    "although_worse": (
        "I know that it read fewer held-out numbers right",
        "Sé que leyó bien menos números reservados",
    ),
    "any": ("any", "cualquiera"),
    "architecture": ("Network", "Red"),
    "audit_count": ("{n} labels differ from what was read.", "{n} etiquetas difieren de lo leído."),
    "audit_hint": (
        "What differs from what was read, the label most probably wrong first. Open a form to settle its field anew; "
        "a data set made after that has the new label.",
        "Etiquetas que difieren de lo leído, primero la más probablemente equivocada. Abra un formulario para resolver "
        "de nuevo su campo; un conjunto de datos hecho después tendrá la nueva etiqueta.",
    ),
    "audit_none": ("All labels are what was read.", "Todas las etiquetas coinciden con lo leído."),
    "calibration": ("Calibration", "Calibración"),
    "card": ("Card", "Ficha"),
    "classes": ("Classes", "Clases"),
    "compared": (
        "Of {n} held-out numbers (forms: {forms}) it read {new} right, the one before it {old}.",
        "De {n} números reservados (formularios: {forms}) leyó bien {new}; el anterior, {old}.",
    ),
    "compared_with": ("Compared with {name}", "Comparado con {name}"),
    "crop": ("Picture", "Imagen"),
    "data": ("Data", "Datos"),
    "data_counts": ("{n} numbers of {forms} forms", "{n} números de {forms} formularios"),
    "data_left_out": ("{n} without digits left out", "{n} sin dígitos, omitidos"),
    "data_name": ("Name of the data set", "Nombre del conjunto de datos"),
    "data_set": ("Data set", "Conjunto de datos"),
    "default": ("reads now", "lee ahora"),
    "difference": (
        "Difference {d} points; 90 %: {a} to {b}; 95 %: {c} to {d2}.",
        "Diferencia {d} puntos; 90 %: {a} a {b}; 95 %: {c} a {d2}.",
    ),
    "difference_hint": (
        "The verdict goes by the interval at 90 %. The forms are the sample: numbers of one form are of one hand.",
        "El veredicto se toma del intervalo al 90 %. La muestra son los formularios: los números de uno son de una "
        "misma mano.",
    ),
    "do_reread": ("Reading open fields anew", "Nueva lectura de campos abiertos"),
    "do_study": ("Study a data set", "Estudiar un conjunto de datos"),
    "do_teach": ("Teaching", "Entrenamiento"),
    "filter": ("Show", "Mostrar"),
    "folder": ("Folder", "Carpeta"),
    "from_batches": ("Batches", "Lotes"),
    "further": (
        "About {n} more settled numbers would tell a difference of this size.",
        "Unos {n} números resueltos más permitirían reconocer una diferencia de este tamaño.",
    ),
    "further_none": ("It is too small for more labels to tell.", "Es demasiado pequeña para que más etiquetas ayuden."),
    "go_back": ("Go back to {name}", "Volver a {name}"),
    "held_out_numbers": ("Held-out numbers", "Números reservados"),
    "holds": ("Value holds", "El valor contiene"),
    "label": ("Label", "Etiqueta"),
    "label_audit": ("Label audit", "Auditoría de etiquetas"),
    "label_wrong": ("label wrong", "etiqueta errada"),
    "learn_and_hold": (
        "{learn} settled numbers to learn from, {n} held out (forms: {forms})",
        "{learn} números resueltos para aprender, {n} reservados (formularios: {forms})",
    ),
    "learned_from": ("Learned from", "Aprendió de"),
    "length": ("Digits", "Dígitos"),
    "licence": ("Licence of the weights", "Licencia de los pesos"),
    "make_data": ("Make a data set", "Hacer un conjunto de datos"),
    "make_data_hint": (
        "From all fields that are settled on digits: a folder of pictures with labels.csv and numbers.csv.",
        "De todos los campos resueltos con dígitos: una carpeta de imágenes con labels.csv y numbers.csv.",
    ),
    "model_name": ("Name of the new model", "Nombre del nuevo modelo"),
    "models": ("Models", "Modelos"),
    "needs_study": ("This needs an optional part; run", "Esto necesita una parte opcional; ejecute"),
    "next": ("Next", "Siguiente"),
    "no_data": ("No data set is here yet.", "Todavía no hay conjuntos de datos."),
    "no_studies": (
        "No finished study with a report is here yet, nor in the folder runs.",
        "Todavía no hay estudios terminados con informe, tampoco en la carpeta runs.",
    ),
    "none_taught": ("None yet.", "Todavía ninguno."),
    "now": ("now {value}", "ahora {value}"),
    "old_task": ("Composed numbers, the old task", "Números compuestos, la tarea anterior"),
    "one_form": (
        "One form is too few to tell; settle more forms.",
        "Un formulario es muy poco para saberlo; resuelva más formularios.",
    ),
    "only_right": ("Only this one right", "Solo este acertó"),
    "page_of_pages": ("Page {n} of {all}", "Página {n} de {all}"),
    "parameters": ("parameters", "parámetros"),
    "previous": ("Previous", "Anterior"),
    "progress_of": ("Progress {name}", "Progreso {name}"),
    "read_anew": ("Read open fields anew", "Leer de nuevo los campos abiertos"),
    "read_anew_batch": ("{name}: {n} open", "{name}: {n} abiertos"),
    "read_anew_hint": (
        "With the model that reads now. Each open field gets another reading and its new place in the queue; decisions "
        "stay as they are.",
        "Con el modelo que lee ahora. Cada campo abierto recibe otra lectura y su nuevo lugar en la cola; las "
        "decisiones no cambian.",
    ),
    "reads_now": ("Reads numbers now", "Ahora lee números"),
    "reads_now_hint": (
        "New batches of this review are read with it. On the command line:",
        "Los lotes nuevos de esta revisión se leen con él. En la línea de comandos:",
    ),
    "reframing": ("Reframing", "Reencuadre"),
    "report": ("Report", "Informe"),
    "reread_done": ("{n} fields were read anew.", "Se leyeron de nuevo {n} campos."),
    "reread_skipped": (
        "{n} scans are not where they were.",
        "{n} escaneos no están donde estaban.",
    ),
    "right_of": ("Right, of {n}", "Aciertos, de {n}"),
    "scores": ("Scores", "Resultados"),
    "settled_numbers": ("{n} settled numbers", "{n} números resueltos"),
    "share_right": ("Share", "Proporción"),
    "sheet": ("Contact sheet", "Hoja de contactos"),
    "ships": ("Come with inkshift", "Vienen con inkshift"),
    "shown_of": ("{n} of {all} numbers", "{n} de {all} números"),
    "since": ("Since", "Desde"),
    "stage_compare": ("comparing on held-out numbers", "comparando con números reservados"),
    "stage_learn": ("learning; epoch, own numbers right", "aprendiendo; época, números propios acertados"),
    "stage_prepare": ("preparing", "preparando"),
    "stage_reread": ("pages", "páginas"),
    "stage_study": ("epochs", "épocas"),
    "start_study": ("Start the study", "Iniciar el estudio"),
    "studies": ("Studies", "Estudios"),
    "study_hint": (
        "How many labels does it take, and is teaching worth it? It teaches the model that reads now on parts of a "
        "data set, three times each, and writes a report. That takes from minutes to hours.",
        "¿Cuántas etiquetas hacen falta, y vale la pena entrenar? Entrena el modelo que lee ahora con partes de un "
        "conjunto de datos, tres veces cada una, y escribe un informe. Tarda de minutos a horas.",
    ),
    "studying_now": ("One study is running; wait for it, or stop it.", "Hay un estudio en curso; espere o deténgalo."),
    "taught_from": ("taught from {name} on {n} numbers", "entrenado desde {name} con {n} números"),
    "taught_here": ("Taught here", "Entrenados aquí"),
    "teach": ("Teach a model", "Entrenar un modelo"),
    "teach_hint": (
        "The model that reads now learns from settled numbers. A fifth of the forms is held out, and both models read "
        "them; then you decide which one reads.",
        "El modelo que lee ahora aprende de los números resueltos. Se reserva un quinto de los formularios, que leen "
        "ambos modelos; después usted decide cuál lee.",
    ),
    "teaching_now": (
        "One model is being taught; wait for it, or stop it.",
        "Se está entrenando un modelo; espere o deténgalo.",
    ),
    "training": ("Training", "Entrenamiento"),
    "up_to_minutes": ("up to about {n} minutes", "hasta unos {n} minutos"),
    "use_model": ("Use from now on", "Usar desde ahora"),
    "verdict_better": ("Better", "Mejor"),
    "verdict_undecided": ("No difference can be told", "No se reconoce una diferencia"),
    "verdict_worse": ("Worse", "Peor"),
}
