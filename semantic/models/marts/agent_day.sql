-- Written by .venv/bin/python -m callmart.declarations.semantic; nothing is built from it.
select 1
