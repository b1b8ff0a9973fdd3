"""From the folders of a study to its report: `results` or `number_results` (read back), `compare`
and `analysis` (differences and intervals), `page` or `number_page` (HTML), `figures`, `tables`.
"""
