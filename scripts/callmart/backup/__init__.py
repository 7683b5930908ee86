"""Backs up the database and the keys, and restores them elsewhere.

| file of a backup | what it is |
| --- | --- |
| `database.dump` | the database, by pg_dump |
| `keys.sealed` | the customers' keys and the installation's, encrypted with the passphrase |
| `manifest.json` | what the backup holds, and the hashes of the other files; written last |

Roles, passwords and rights are in no backup. A restore makes them anew, as `callmart access apply` does.
"""
