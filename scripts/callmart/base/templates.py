"""Templates of pages, mails and letters. They stand beside the code that fills them in."""

from functools import cache

from jinja2 import Environment, PackageLoader, StrictUndefined, Template


@cache
def template(package: str, name: str) -> Template:
    """The template in a file of a package. In one for HTML, what is filled in is escaped; a name without a value is an
    error.
    """
    environment = Environment(
        loader=PackageLoader(package, ""),
        autoescape=name.endswith(".html.j2"),
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    return environment.get_template(name)
