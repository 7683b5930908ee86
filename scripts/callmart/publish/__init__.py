"""Publishes each customer's reports to Tableau: compares the desired with the actual state, and applies the difference.

| module | |
| --- | --- |
| `desired` | the types of what a customer should have |
| `actual` | the types of what it has |
| `reading` | reads that from Tableau, by lists that are whole (`listing`) |
| `planning` | the difference, as steps (`plans`); mail by itself (`planned_mail`) |
| `applying` | carries out the steps: those of the site (`site_work`), and those per customer (`customer_work`) |
| `sites` | all of this for all customers, on each of their sites |
| `deriving` | works out from the database what is desired |
| `bookkeeping` | what the database knows of each site, and the outcome that it records |

All installations on a site share one project. In it, every customer has a locked project, and on the site a group.
callmart recognises both by their marks (`marks`), never by the customer's name, and leaves alone whatever has no mark
of this installation. The tag of a data source or workbook has the hash of its contents. It is set only after the
upload has finished; content without the right tag is published again.
"""
