"""The weekly reports by mail, where callmart sends them and not Tableau.

| module | |
| --- | --- |
| `mailing` | what is due to whom, and what became of it |
| `book` | what became of each mail, so that none goes out twice |
| `letter` | a mail: its words, and the reports attached to it |
| `sending` | hands a letter to the mail server, or puts it into the outbox |
| `places` | the outbox: what is too old, and whose |
"""
