"""Draws reports as pages, on paper, as pictures and as tables. It needs no Tableau, and nothing from a network.

| module | |
| --- | --- |
| `weeks` | weeks, and the days of one that a report counts |
| `reading` | reads a customer's marts, as the customer's role |
| `definitions` | which figures are of an earlier definition |
| `records` | the values of a sheet, for a table |
| `measures`, `language` | what is measured; numbers, days and words in Dutch and English |
| `scene` | what the sheets of one report are drawn from |
| `sheets` | a module per kind of sheet; `focus` says where to look first |
| `charts` | Vega-Lite |
| `page` | what a report says, before it is laid out |
| `html`, `paper`, `values`, `spreadsheet` | lay it out: as a page, as a PDF or picture, as CSV, for Excel |
| `drawing` | all of this for one report |
| `filling`, `shelf`, `places` | all customers' pages: drawing, keeping and removing them |
"""
