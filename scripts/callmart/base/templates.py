"""Templates of pages and mails. They stand beside the code that fills them in."""

from functools import cache
from importlib.resources import files

from jinja2 import Environment, StrictUndefined, Template


@cache
def template(package: str, name: str) -> Template:
    """The template in a file of a package. In one for HTML, what is filled in is escaped; a name without a value is an
    error.
    """
    environment = Environment(
        autoescape=name.endswith(".html.j2"), undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    return environment.from_string(files(package).joinpath(name).read_text(encoding="utf-8"))
