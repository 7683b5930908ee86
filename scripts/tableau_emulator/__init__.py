"""An emulator of the Tableau REST API, as a server of its own: docs/emulator.md says what it does.

It holds what is published to it on disk, answers in the shape that Tableau documents, lets each user do only what
Tableau would, and fails on request. `process` starts and stops it; `app` puts the endpoints together, one module a
resource; `client` serves tests.
"""
