"""An emulator of the Tableau REST API, as a server of its own. README.md describes what it does.

It keeps what is published to it on disk, answers in the shape that Tableau documents, lets each user do only what
Tableau would, and fails on request. `cli` is the command, `serve` runs the server, `process` starts and stops it in the
background, `app` puts the endpoints together, one module per resource, and `client` serves tests.
"""

__version__ = "0.1.0"
